"""What ends with a request, what does not wait for its end, and that nothing is left behind."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from redis_manager_fastapi import ClientEndedError, Redis, RedisDep, RedisManager
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import block
from tests.kit.serving import PATIENCE, Serve, Site, clients_fall_to, serving
from tests.kit.waiting import TICK, until

MANY = 1000


@pytest.fixture
def manager(redis_url: str) -> RedisManager:
    return RedisManager(url=redis_url)


@pytest.fixture
def app(manager: RedisManager) -> FastAPI:
    return FastAPI(lifespan=manager.lifespan)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = (record for record in caplog.records if record.levelno >= logging.WARNING)
    return [record.getMessage() for record in records]


@pytest.mark.parametrize(
    ("forgotten", "named"),
    [("pub/sub", "a pub/sub"), ("WATCH", "a pipeline"), ("pinned", "a pinned connection")],
)
async def test_what_a_route_forgets_is_closed_with_one_warning(
    serve: Serve,
    app: FastAPI,
    manager: RedisManager,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    forgotten: str,
    named: str,
) -> None:
    """A connection left open by a route is closed at the request's end, and the log names it."""
    kept: list[Any] = []

    @app.get("/")
    async def route(r: RedisDep) -> int:
        if forgotten == "pub/sub":
            kept.append(pubsub := r.pubsub())
            await pubsub.subscribe("news")
        elif forgotten == "WATCH":
            kept.append(pipeline := r.pipeline())
            await pipeline.watch("key")
        else:
            kept.append(pinned := r.client())
            await pinned.initialize()
        return manager.stats().leased

    site = await serve(app)
    during = (await site.http.get("/")).json()
    await site.http.get("/openapi.json")

    assert during == 1
    assert manager.stats().leased == 0
    assert [named in text for text in warnings(caplog)] == [True]
    await clients_fall_to(1, redis_server)
    for each in kept:  # redis-py warns once more of a pinned client that is collected unclosed
        await each.aclose()


async def test_client_is_refused_after_its_request(
    serve: Serve, app: FastAPI, manager: RedisManager
) -> None:
    """A client carried out of its request says so, whatever it is asked to do."""
    carried: list[Redis] = []

    @app.get("/")
    async def route(r: RedisDep) -> None:
        carried.append(r)

    site = await serve(app)
    await site.http.get("/")
    await site.http.get("/openapi.json")
    (client,) = carried

    with pytest.raises(ClientEndedError, match="after its request"):
        await client.get("key")
    with pytest.raises(ClientEndedError):
        await client.blpop(["key"], timeout=1)
    pipeline = client.pipeline()
    pipeline.set("key", 1)
    with pytest.raises(ClientEndedError):
        await pipeline.execute()
    with pytest.raises(ClientEndedError):
        await client.pubsub().subscribe("news")
    assert manager.stats().leased == 0


async def test_streaming_response_uses_the_client_to_its_end(
    serve: Serve, app: FastAPI, manager: RedisManager
) -> None:
    """The generator of a streamed body still has the client; it ends with the body."""

    @app.get("/")
    async def route(r: RedisDep) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            for _ in range(3):
                yield f"{await r.incr('parts')} "

        return StreamingResponse(body())

    site = await serve(app)
    response = await site.http.get("/")
    await site.http.get("/openapi.json")

    assert response.text == "1 2 3 "
    assert manager.stats().clients == 0


async def test_slow_downloads_hold_no_connection(
    serve: Serve, app: FastAPI, manager: RedisManager
) -> None:
    """A hundred clients that read slowly keep nobody else from Redis."""

    @app.get("/slow")
    async def slow(r: RedisDep) -> StreamingResponse:
        await r.incr("downloads")
        await block(r, 0.01)  # a dedicated connection, given back

        async def body() -> AsyncIterator[bytes]:
            for _ in range(MANY):
                yield bytes(64 * 1024)

        return StreamingResponse(body())

    @app.get("/fast")
    async def fast(r: RedisDep) -> int:
        return int(await r.get("downloads") or 0)

    site = await serve(app, timeout_graceful_shutdown=1)
    host, port = site.url.removeprefix("http://").split(":")
    readers, writers = [], []
    for _ in range(100):
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: slow\r\n\r\n")
        readers.append(reader)
        writers.append(writer)
    for reader in readers:
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    stats, response = manager.stats(), await site.http.get("/fast")
    for writer in writers:
        writer.transport.abort()

    assert (stats.clients, stats.leased) == (100, 0)
    assert response.json() == 100


async def disconnected(site: Site, path: str, entered: asyncio.Event) -> None:
    """Send a request, and break the connection when the route has begun."""
    host, port = site.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    await entered.wait()
    entered.clear()
    writer.transport.abort()


@pytest.mark.parametrize("path", ["/blocked", "/stream"])
async def test_client_that_disconnects_leaves_nothing_behind(
    serve: Serve, app: FastAPI, manager: RedisManager, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """When a client breaks off, the route's connection comes back and nothing is logged."""
    entered = asyncio.Event()

    @app.get("/blocked")
    async def blocked(r: RedisDep) -> None:
        entered.set()
        await block(r, 0.3)

    @app.get("/stream")
    async def stream(r: RedisDep) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            for _ in range(MANY):
                yield str(await r.incr("parts")) * 1000
                entered.set()
                await asyncio.sleep(TICK)

        return StreamingResponse(body())

    site = await serve(app)
    for _ in range(3):
        await disconnected(site, path, entered)
    await until(lambda: manager.stats().clients == 0, PATIENCE)

    assert manager.stats().leased == 0
    assert warnings(caplog) == []


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.usefixtures("pipelining")
async def test_nothing_leaks_over_an_app_s_life(redis_server: RedisServer, redis_url: str) -> None:
    """Sockets and tasks are as before, once an app that used all of it has ended."""

    async def life() -> None:
        app = FastAPI(lifespan=RedisManager(url=redis_url).lifespan)

        @app.get("/")
        async def route(r: RedisDep) -> None:
            await asyncio.gather(*(r.incr("hits") for _ in range(50)))
            await block(r, 0.01)
            async with r.pubsub() as pubsub:
                await pubsub.subscribe("news")

        async with serving(app) as site:
            responses = await asyncio.gather(*(site.http.get("/") for _ in range(20)))
            assert {response.status_code for response in responses} == {200}

    await life()  # what is loaded and opened once is open now
    gc.collect()
    descriptors, tasks = open_descriptors(), len(asyncio.all_tasks())
    for _ in range(3):
        await life()
    gc.collect()

    assert open_descriptors() == descriptors
    assert len(asyncio.all_tasks()) == tasks
    await clients_fall_to(0, redis_server)


async def test_a_client_ends_with_a_plain_with_block(manager: RedisManager) -> None:
    """Neither end of the block waits, so `with` does what `async with` does."""
    async with manager:
        with manager.client() as r:
            assert await r.echo("in time") == "in time"
            assert manager.stats().clients == 1
        assert manager.stats().clients == 0
        with pytest.raises(ClientEndedError):
            await r.echo("too late")
