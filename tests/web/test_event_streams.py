"""Server-sent events under a real uvicorn: resume, outages, the end of the process."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from redis_manager_fastapi.testing import RedisServer
from tests.kit.servers import PROMPT
from tests.kit.serving import (
    ENDS,
    PATIENCE,
    ROOT,
    SLACK,
    ServerProcess,
    environment,
    server_process,
)
from tests.kit.sse import HELLO, EventSource
from tests.kit.waiting import TICK, until

SURE: dict[str, Any] = {"appendonly": "yes", "appendfsync": "always", **PROMPT}
END = "end"

READS = """
from collections.abc import AsyncIterator
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from redis_manager_fastapi import RedisDep, RedisManager

manager = RedisManager(outage={"grace": 0.2})
app = FastAPI(lifespan=manager.lifespan)

@app.get("/events", response_class=EventSourceResponse)
async def events(r: RedisDep) -> AsyncIterator[str]:
    while True:
        yield str(await r.get("key"))

@app.get("/lines")
async def lines(r: RedisDep) -> StreamingResponse:
    async def read():
        while True:
            yield str(await r.get("key"))
    return StreamingResponse(read())

@app.get("/global", response_class=EventSourceResponse)
async def of_the_manager() -> AsyncIterator[str]:
    while True:
        yield str(await manager.redis.get("key"))

@app.websocket("/socket")
async def socket(websocket: WebSocket, r: RedisDep) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text(str(await r.get("key")))
"""


@asynccontextmanager
async def listening(
    process: ServerProcess, server: RedisServer, count: int
) -> AsyncIterator[tuple[httpx.AsyncClient, list[EventSource], list[asyncio.Task[None]]]]:
    """So many clients of a room."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=await process.url(), timeout=PATIENCE, limits=limits
    ) as http:
        sources = [EventSource("/rooms/room") for _ in range(count)]
        tasks = [asyncio.create_task(source.follow(http, END)) for source in sources]
        try:
            while not all(source.data for source in sources):  # its tail is entered
                await server.command("XADD", "room:room", "*", "text", HELLO)
                await asyncio.sleep(TICK)
            yield http, sources, tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_events_go_on_after_a_restart_and_after_a_new_connection() -> None:
    async with RedisServer(SURE) as server:
        env = environment(REDIS_URL=server.url, REDIS_OUTAGE__GRACE="10")
        async with (
            server_process("events:app", directory=ROOT / "examples", env=env) as process,
            listening(process, server, 10) as (http, sources, tasks),
        ):
            for number in range(6):
                if number == 2:
                    await server.restart(crash=True)
                if number == 4:  # this one connects again with its last ID
                    tasks[0].cancel()
                await server.command("XADD", "room:room", "*", "text", str(number))
            await until(lambda: all(len(each.said) == 6 for each in sources[1:]), PATIENCE)
            tasks[0] = asyncio.create_task(sources[0].follow(http, END))
            await server.command("XADD", "room:room", "*", "text", END)
            await asyncio.wait_for(asyncio.gather(*tasks[1:], tasks[0]), PATIENCE)
            log = process.log

    for source in sources:
        assert source.said == [*map(str, range(6)), END]
    assert "Traceback" not in log


@pytest.mark.measures
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_sigterm_ends_streams_of_events_within_a_second(
    loop: str, redis_server: RedisServer
) -> None:
    env = environment(REDIS_URL=redis_server.url)
    async with (
        server_process(
            "events:app", "--loop", loop, directory=ROOT / "examples", env=env
        ) as process,
        listening(process, redis_server, 20) as (_, sources, _tasks),
    ):
        await redis_server.command("XADD", "room:room", "*", "text", "last words")
        await until(lambda: any(source.said for source in sources))
        begun = asyncio.get_running_loop().time()
        process.signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.ended(), PATIENCE) in (0, -signal.SIGTERM)
        took = asyncio.get_running_loop().time() - begun
        await until(lambda: all(source.said == ["last words"] for source in sources), 2)

    assert 0.0 < max(source.cut for source in sources) - begun < ENDS
    assert took < ENDS + SLACK
    assert "Traceback" not in process.log


async def test_sigterm_ends_streams_of_several_workers(redis_server: RedisServer) -> None:
    env = environment(REDIS_URL=redis_server.url)
    async with (
        server_process(
            "events:app", "--workers", "2", directory=ROOT / "examples", env=env
        ) as process,
        listening(process, redis_server, 10),
    ):
        begun = asyncio.get_running_loop().time()
        process.signal(signal.SIGTERM)
        await asyncio.wait_for(process.ended(), PATIENCE)
        took = asyncio.get_running_loop().time() - begun

    assert took < 3.0
    assert "Traceback" not in process.log


HAPPENS = """
from collections.abc import AsyncIterator
from fastapi import FastAPI, WebSocket
from fastapi.sse import EventSourceResponse
from redis_manager_fastapi import RedisManager

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)

@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[str]:
    async for event in manager.events():
        yield type(event).__name__

@app.websocket("/socket")
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    async for event in manager.events():
        await websocket.send_text(type(event).__name__)
    await websocket.close(1012)
"""


async def test_sigterm_ends_what_a_manager_s_events_feed(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """Its server waits for each of them before it ends the lifespan."""
    (tmp_path / "happens.py").write_text(HAPPENS)
    env = environment(REDIS_URL=redis_server.url)
    async with (
        server_process("happens:app", directory=tmp_path, env=env) as process,
        httpx.AsyncClient(base_url=await process.url(), timeout=PATIENCE) as http,
        connect((await process.url()).replace("http", "ws", 1) + "/socket") as socket,
        http.stream("GET", "/events") as response,
    ):
        await redis_server.restart(crash=True)
        assert await socket.recv() == "StateChanged"
        process.signal(signal.SIGTERM)
        text = (await asyncio.wait_for(response.aread(), PATIENCE)).decode()
        await asyncio.wait_for(socket.wait_closed(), PATIENCE)
        await asyncio.wait_for(process.ended(), PATIENCE)

    assert "StateChanged" in text
    assert socket.close_code == 1012
    assert "Application shutdown complete" in process.log
    assert "Traceback" not in process.log


async def until_cut_off(url: str, http: httpx.AsyncClient) -> str:
    """Receive what there is; return how it ended."""
    try:
        async with http.stream("GET", url) as response:
            assert response.status_code == 200
            async for _ in response.aiter_bytes():
                pass
    except httpx.RemoteProtocolError:
        return "cut off"
    return "ended"


@pytest.mark.parametrize(
    ("path", "ending"), [("/events", "ended"), ("/global", "ended"), ("/lines", "cut off")]
)
async def test_an_outage_in_streams_that_have_begun_is_one_line(
    path: str, ending: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    (tmp_path / "reads.py").write_text(READS)
    env = environment(REDIS_URL=redis_server.url)
    async with server_process("reads:app", directory=tmp_path, env=env) as process:
        url = await process.url()
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
            clients = [asyncio.create_task(until_cut_off(path, http)) for _ in range(24)]
            await served(process, path, 24)
            await redis_server.kill()
            endings = await asyncio.gather(*clients)
        log = process.log

    assert set(endings) == {ending}
    assert "Traceback" not in log
    assert log.count("ended a response that had begun") == 1


async def served(process: ServerProcess, path: str, count: int) -> None:
    await until(lambda: process.log.count(f"GET {path}") >= count, PATIENCE)
