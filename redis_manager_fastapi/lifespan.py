"""A manager as the lifespan of an app, alone or around the app's own."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from redis_manager_fastapi.errors import RedisConfigError

KEY_PREFIX = "redis_manager:"
"""A key for each manager, so that the states of an app's and its routers' lifespans merge."""

AppLifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
"""An app's own lifespan; it may yield a state or nothing."""

StatefulLifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]
"""A lifespan that yields a state, as `lifespan=` of FastAPI and Starlette takes it."""


class Openable(Protocol):
    """What a lifespan opens and closes: a manager, or a registry of several."""

    async def open(self, *, workers: bool = True) -> None:
        """Open the pool, and begin what is registered to run beside the app."""
        ...

    def working(self) -> AbstractAsyncContextManager[None]:
        """Run what is registered, when it was not begun."""
        ...

    async def aclose(self) -> None:
        """Close the pool."""
        ...


class Named(Protocol):
    """A manager, as far as the state is concerned."""

    @property
    def name(self) -> str:
        """Its name, which makes its key in the state."""
        ...


def state_of(*managers: Named) -> dict[str, Any]:
    """Return the lifespan state in which apps find *managers*."""
    return {KEY_PREFIX + manager.name: manager for manager in managers}


@asynccontextmanager
async def run_lifespan(
    opened: Openable, state: dict[str, Any], *, workers: bool = True
) -> AsyncIterator[dict[str, Any]]:
    """Open it, hand out the lifespan *state*, close it at the end."""
    await opened.open(workers=workers)
    try:
        yield state
    finally:
        await opened.aclose()


def wrap_lifespan(
    opened: Openable, state: dict[str, Any], lifespan: AppLifespan
) -> StatefulLifespan:
    """Return a lifespan that runs *lifespan* while all is open, and merges their states.

    Raises:
        RedisConfigError: At the start: both open a manager of the same name.
    """

    @asynccontextmanager
    async def wrapped(app: Any) -> AsyncIterator[dict[str, Any]]:
        async with run_lifespan(opened, state, workers=False) as ours, lifespan(app) as theirs:
            merged = dict(theirs or {})
            for key in ours:
                if key in merged:
                    name = key.removeprefix(KEY_PREFIX)
                    raise RedisConfigError(_twice(name), instance=name)
            async with opened.working():
                yield merged | ours

    return wrapped


def _twice(name: str) -> str:
    return (
        f"two Redis managers of this app are named {name!r}; give one of them another name,"
        " such as RedisManager(name='cache')"
    )
