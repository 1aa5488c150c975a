"""A manager as the lifespan of an app, alone or around the app's own."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.streaming import end_streams

KEY_PREFIX = "redis_manager:"
"""A key for each manager, so that the states of an app's and its routers' lifespans merge."""

AppLifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
"""An app's own lifespan; it may yield a state or nothing."""

StatefulLifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]
"""A lifespan that yields a state, as `lifespan=` of FastAPI and Starlette takes it."""


class Openable(Protocol):
    """What a lifespan needs of a manager."""

    @property
    def name(self) -> str:
        """Its name, which makes its key in the state."""
        ...

    async def open(self, *, workers: bool = True) -> None:
        """Open the pool, and begin what is registered to run beside the app."""
        ...

    def working(self) -> AbstractAsyncContextManager[None]:
        """Run what is registered, when it was not begun."""
        ...

    async def aclose(self) -> None:
        """Close the pool."""
        ...


@asynccontextmanager
async def run_lifespan(
    manager: Openable, app: Any, *, workers: bool = True
) -> AsyncIterator[dict[str, Any]]:
    """Open the manager, put it into the lifespan state, close it at the end."""
    await manager.open(workers=workers)
    end_streams(app)
    try:
        yield {KEY_PREFIX + manager.name: manager}
    finally:
        await manager.aclose()


def wrap_lifespan(manager: Openable, lifespan: AppLifespan) -> StatefulLifespan:
    """Return a lifespan that runs *lifespan* while the manager is open and merges their states.

    Raises:
        RedisConfigError: At the start: both open a manager of the same name.
    """

    @asynccontextmanager
    async def wrapped(app: Any) -> AsyncIterator[dict[str, Any]]:
        opened = run_lifespan(manager, app, workers=False)
        async with opened as ours, lifespan(app) as theirs:
            state = dict(theirs or {})
            if not state.keys().isdisjoint(ours):
                raise RedisConfigError(_twice(manager.name), instance=manager.name)
            async with manager.working():
                yield state | ours

    return wrapped


def _twice(name: str) -> str:
    return (
        f"two Redis managers of this app are named {name!r}; give one of them another name,"
        " such as RedisManager(name='cache')"
    )
