"""Where an app keeps its managers: the lifespan state, which reaches sub-apps and WebSockets."""

from typing import Any

from starlette.requests import HTTPConnection

from redis_manager_fastapi.errors import RedisNotStartedError
from redis_manager_fastapi.lifespan import KEY_PREFIX
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.web.responses import install_handlers


def get_managers(connection: HTTPConnection) -> list[RedisManager]:
    """Return every manager that the app's lifespan opened.

    Raises:
        RedisNotStartedError: There is none.
    """
    state: dict[str, Any] = connection.scope.get("state", {})
    managers = [manager for key, manager in state.items() if key.startswith(KEY_PREFIX)]
    if not managers:
        raise RedisNotStartedError(_not_in_app("state" in connection.scope), instance="default")
    return managers


def get_manager(connection: HTTPConnection, name: str = "default") -> RedisManager:
    """Return the manager of that name, in any route, sub-app or WebSocket.

    From here on, the app that serves *connection* answers the library's errors;
    see `redis_error_handler`.

    Raises:
        RedisNotStartedError: No lifespan opened one of that name.
    """
    install_handlers(connection)
    manager: RedisManager | None = connection.scope.get("state", {}).get(KEY_PREFIX + name)
    if manager is None:
        raise RedisNotStartedError(_not_among(name, get_managers(connection)), instance=name)
    return manager


def _not_among(name: str, managers: list[RedisManager]) -> str:
    known = ", ".join(repr(manager.name) for manager in managers)
    return (
        f"no Redis manager is named {name!r}; the app's lifespan opened {known}: ask for one of"
        " these, `get_manager(request, name)`, or give yours this name,"
        f" `RedisManager(name={name!r})`"
    )


def _not_in_app(has_state: bool) -> str:
    # Servers and the TestClient give every request a state; httpx.ASGITransport gives none.
    also = "it opened no Redis manager" if has_state else "its state did not reach this request"
    return (
        f"redis 'default' is not started in this app: the app's lifespan has not run, or {also}."
        " Pass the manager's to the outermost app, `FastAPI(lifespan=manager.lifespan)` or"
        " `manager.wrap(your_lifespan)`; that of a mounted sub-app never runs. In tests, run it:"
        " `with TestClient(app) as client:`, or give ASGITransport what `run_app(app)` returned,"
        " `httpx.ASGITransport(await run_app(app))`, with the fixture of"
        " redis_manager_fastapi[testing]. `async with manager:` opens a manager for your own code,"
        " not for an app's routes"
    )
