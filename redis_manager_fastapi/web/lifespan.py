"""A manager as the lifespan of an app, alone or around the app's own."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from redis_manager_fastapi.web.state import STATE_KEY, Manager

AppLifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]


@asynccontextmanager
async def run_lifespan(manager: Manager) -> AsyncIterator[dict[str, Any]]:
    """Open the manager, put it into the lifespan state, close it at the end."""
    await manager.open()
    try:
        yield {STATE_KEY: {manager.name: manager}}
    finally:
        await manager.aclose()


def wrap_lifespan(manager: Manager, lifespan: AppLifespan) -> AppLifespan:
    """Return a lifespan that runs *lifespan* while the manager is open and merges their states."""

    @asynccontextmanager
    async def wrapped(app: Any) -> AsyncIterator[dict[str, Any]]:
        async with run_lifespan(manager) as ours, lifespan(app) as theirs:
            state = dict(theirs or {})
            state[STATE_KEY] = {**state.get(STATE_KEY, {}), **ours[STATE_KEY]}
            yield state

    return wrapped
