"""Pytest fixtures for an app's own outage tests.

They come with the package's `pytest11` entry point, in pytest-asyncio's strict
and auto modes.  Nothing heavy is imported before a test asks for a fixture.
Each test gets a server for itself: starting one takes 40 ms, and a fresh
process is the only state that cannot leak.
"""

import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from redis_manager_fastapi.testing.proxy import FaultProxy
    from redis_manager_fastapi.testing.running import RunningApp
    from redis_manager_fastapi.testing.server import RedisServer


_PLAIN: dict[str, Any] = {
    "username": None,
    "password": None,
    "password_file": None,
    "tls": {"enabled": False, "ca_file": None, "cert_file": None, "key_file": None},
}


def _async_fixture(function: Callable[..., Any]) -> Callable[..., Any]:
    """`pytest_asyncio.fixture`, or a fixture that names the extra which brings it."""
    if importlib.util.find_spec("pytest_asyncio") is not None:
        import pytest_asyncio

        fixture: Callable[..., Any] = pytest_asyncio.fixture(function)
        return fixture

    @pytest.fixture(name=function.__name__)
    def missing() -> None:
        pytest.fail(
            f"the fixture {function.__name__!r} needs pytest-asyncio:"
            " pip install 'redis_manager_fastapi[testing]'",
            pytrace=False,
        )

    return missing


@_async_fixture
async def redis_server() -> "AsyncIterator[RedisServer]":
    """A server for this test alone: stop it, kill it, pause it, restart it."""
    from redis_manager_fastapi.testing.server import RedisServer

    async with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: "RedisServer") -> str:
    """The URL of `redis_server`."""
    return redis_server.url


@_async_fixture
async def fault_proxy(redis_server: "RedisServer") -> "AsyncIterator[FaultProxy]":
    """A proxy in front of `redis_server` that delays, loses and breaks what passes through."""
    from redis_manager_fastapi.testing.proxy import FaultProxy

    async with FaultProxy(redis_server.host, redis_server.port) as proxy:
        yield proxy


@_async_fixture
async def redis_manager(redis_url: str) -> AsyncIterator[Any]:
    """An open `RedisManager` on `redis_server`.

    The environment's `REDIS_*` tune it, except for credentials and TLS.
    """
    from redis_manager_fastapi.manager import RedisManager

    async with RedisManager(url=redis_url, **_PLAIN) as manager:
        yield manager


@_async_fixture
async def run_app() -> "AsyncIterator[Callable[[ASGIApp], Awaitable[RunningApp]]]":
    """Run an app's lifespan until the test ends, for a client that drives it without a server.

    `running = await run_app(app)`, and then `httpx.ASGITransport(running)`.
    """
    from contextlib import AsyncExitStack

    from redis_manager_fastapi.testing.running import RunningApp

    async with AsyncExitStack() as stack:
        yield lambda app: stack.enter_async_context(RunningApp(app))
