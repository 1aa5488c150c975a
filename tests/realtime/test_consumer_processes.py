"""Consumers whose process ends: killed, or told to (rows 49 and 52)."""

import asyncio
import itertools
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.crowd import crowd
from redis_manager_fastapi.testing import RedisServer
from tests.kit.consuming import GROUP, STREAM, add, consumed, delivered, members, numbers, pending
from tests.kit.managers import opened
from tests.kit.serving import ROOT, environment, server_process
from tests.kit.waiting import eventually


@asynccontextmanager
async def consumer_process(server: RedisServer, **options: Any) -> AsyncIterator[Process]:
    """Run a consumer until the block ends."""
    command = (sys.executable, "-m", "tests.kit.consumer_process", server.url, json.dumps(options))
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)), stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode().split()


async def test_a_killed_process_entries_are_claimed(redis_server: RedisServer) -> None:
    """Row 49."""
    await add(redis_server, range(20))
    async with consumer_process(redis_server, batch=10, body=60) as process:
        assert await line_of(process) == ["begins", "0", "1"]
        process.kill()
        await process.wait()

    assert len(await pending(redis_server)) == 10
    async with opened(redis_server.url) as manager:
        found = await consumed(manager, 20, claim_after=0.3)
    assert sorted(numbers(found)) == list(range(20))
    assert {each.delivered for each in found if int(each.fields["n"]) < 10} == {2}
    assert {each.delivered for each in found if int(each.fields["n"]) >= 10} == {1}
    assert await pending(redis_server) == []


APP = f"""
import asyncio
from contextlib import suppress
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from redis_manager_fastapi import RedisManager, StreamEntry

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)

@manager.consumer({STREAM!r}, group={GROUP!r}, concurrency=20, batch=50)
async def handle(entry: StreamEntry) -> None:
    await manager.redis.rpush("begun", entry.fields["n"])
    await asyncio.sleep(0.5)
    await manager.redis.rpush("through", entry.fields["n"])

@manager.background
async def consume() -> None:
    async with manager.consume("others", group={GROUP!r}) as entries:
        async for entry in entries:
            await asyncio.sleep(0.5)
            await manager.redis.rpush("others:through", entry.fields["n"])

@app.get("/ping")
async def ping() -> str:
    return "pong"

@app.websocket("/news")
async def news(websocket: WebSocket) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        async with manager.subscribe("news", until=websocket) as messages:
            async for message in messages:
                await websocket.send_json({{"text": message.data}})
        await websocket.close(1012)
"""


async def publish(server: RedisServer) -> None:
    async with server.client() as client:
        for number in itertools.count():
            await client.publish("news", number)
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("listeners", [0, pytest.param(1000, marks=pytest.mark.measures)])
async def test_sigterm_ends_it_and_loses_nothing(
    redis_server: RedisServer, tmp_path: Path, listeners: int
) -> None:
    """Row 52."""
    (tmp_path / "consuming_app.py").write_text(APP)
    loop = asyncio.get_running_loop()
    env = environment(PYTHONPATH=str(ROOT), REDIS_URL=redis_server.url)
    async with server_process("consuming_app:app", directory=tmp_path, env=env) as process:
        async with httpx.AsyncClient(base_url=await process.url()) as http:
            assert (await http.get("/ping")).status_code == 200
        async with crowd(listeners, await process.url(), "/news") as heard:
            publishing = asyncio.create_task(publish(redis_server))
            await heard.until(lambda: max(heard.texts.values(), default=0) >= listeners)
            await add(redis_server, range(200))
            await add(redis_server, range(10), "others")

            async def has_begun() -> bool:
                return bool(await redis_server.command("LLEN", "begun") >= 30)

            await eventually(has_begun)
            began = loop.time()
            process.signal(signal.SIGTERM)
            await process.ended()
            took = loop.time() - began
            publishing.cancel()
            closings = await asyncio.gather(*(each.closed for each in heard.sockets))
        log = process.log

    begun = await redis_server.command("LRANGE", "begun", 0, -1)
    through = await redis_server.command("LRANGE", "through", 0, -1)
    left = await pending(redis_server)
    assert took < 5.0, log[-2000:]
    assert {code for _, code in closings} <= {1012}
    assert log.count("Traceback") == 0
    assert sorted(begun) == sorted(through)
    assert len(set(through)) == len(through)
    assert len(await delivered(redis_server)) - len(left) == len(through)
    assert {times for _, _, times in left} == {0}
    assert len(await members(redis_server)) <= 1
    cut = {entry_id for entry_id, _, times in await pending(redis_server, "others") if times}
    through = await redis_server.command("LRANGE", "others:through", 0, -1)
    assert len(cut) <= 1
    assert through == [str(number) for number in range(len(through))]
