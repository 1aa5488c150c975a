"""A manager as the lifespan of an app, alone or around the app's own."""

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncContextDecorator, asynccontextmanager
from types import TracebackType
from typing import Annotated, Any, Protocol, Self

from redis_manager_fastapi.client.parameters import NoDependency
from redis_manager_fastapi.errors import RedisConfigError, RedisUnavailableError
from redis_manager_fastapi.streaming import end_streams

KEY_PREFIX = "redis_manager:"
"""A key for each manager, so that the states of an app's and its routers' lifespans merge."""

AppLifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
"""An app's own lifespan; it may yield a state or nothing."""

StatefulLifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]
"""A lifespan that yields a state, as `lifespan=` of FastAPI and Starlette takes it."""


App = Annotated[
    Any,
    NoDependency(
        "a manager is an app's lifespan, `FastAPI(lifespan=manager)`, and no dependency: write"
        " `r: RedisDep`, or `Depends(get_redis_manager)` for the manager itself"
    ),
]
"""The app whose lifespan it is."""

_NO_APP: Any = object()


class Named(Protocol):
    """A manager, as far as the state is concerned."""

    @property
    def name(self) -> str:
        """Its name, which makes its key in the state."""
        ...


def state_of(*managers: Named) -> dict[str, Any]:
    """Return the lifespan state in which apps find *managers*."""
    return {KEY_PREFIX + manager.name: manager for manager in managers}


class Openable:
    """What opens and closes with an app: a manager, or a registry of several."""

    async def open(self, *, workers: bool = True) -> None:
        """Open it, and begin what is registered to run beside the app."""
        raise NotImplementedError

    def working(self) -> AbstractAsyncContextManager[None]:
        """Run what is registered, when it was not begun."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close it."""
        raise NotImplementedError

    def lifespan_state(self) -> dict[str, Any]:
        """Return the lifespan state in which apps find what is opened."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def lifespan(self, app: App = _NO_APP) -> AbstractAsyncContextManager[Mapping[str, Any]]:
        """Open and close with an app: `FastAPI(lifespan=manager.lifespan)`.

        Raises:
            TypeError: It was called by someone else than that app.
        """
        if app is _NO_APP:
            raise TypeError(
                "a lifespan is called by the app that it is given to: pass it without calling it,"
                " `FastAPI(lifespan=manager.lifespan)`"
            )
        return self._run(app, workers=True)

    __call__ = lifespan
    """So that `FastAPI(lifespan=manager)` does the same."""

    def wrap(self, lifespan: AppLifespan) -> StatefulLifespan:
        """Return a lifespan that runs *lifespan* while this is open; its state is kept.

        What is registered to run beside the app begins after that has begun, and ends before.

        Raises:
            TypeError: It is no lifespan, as one that was called already.
            RedisConfigError: At the start: both open a manager of the same name.
        """
        if isinstance(lifespan, AsyncContextDecorator) or not callable(lifespan):
            raise TypeError("pass your lifespan without calling it: `manager.wrap(your_lifespan)`")
        if inspect.isasyncgenfunction(lifespan):
            name = getattr(lifespan, "__name__", "your lifespan")
            raise TypeError(f"{name} is no lifespan yet: decorate it with @asynccontextmanager")

        @asynccontextmanager
        async def wrapped(app: Any) -> AsyncIterator[dict[str, Any]]:
            async with self._run(app, workers=False) as ours, lifespan(app) as theirs:
                state = dict(theirs or {})
                for key in ours.keys() & state.keys():
                    name = key.removeprefix(KEY_PREFIX)
                    raise RedisConfigError(_twice(name), instance=name)
                async with self.working():
                    yield state | ours

        return wrapped

    @asynccontextmanager
    async def _run(self, app: Any, *, workers: bool) -> AsyncIterator[dict[str, Any]]:
        try:
            await self.open(workers=workers)
        except RedisUnavailableError as error:
            # The server prints a traceback of what is raised here; the log has told the rest.
            raise type(error)(str(error), instance=error.instance) from None
        end_streams(app)
        try:
            yield self.lifespan_state()
        finally:
            await self.aclose()


def _twice(name: str) -> str:
    return (
        f"two Redis managers of this app are named {name!r}; give one of them another name,"
        " such as RedisManager(name='cache')"
    )
