"""How WebSockets end: with their client, and with the process."""

import asyncio
import itertools
import signal
from contextlib import suppress
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

from benchmarks.crowd import Crowd, crowd
from redis_manager_fastapi import RedisDep, RedisManager, RedisUnavailableError
from redis_manager_fastapi.testing import RedisServer
from tests.kit.serving import ENDS, PATIENCE, ROOT, SLACK, environment, server_process


async def test_an_outage_after_the_client_has_gone_closes_nothing(
    redis_server: RedisServer,
) -> None:
    """Nothing is sent to a client that has gone, which some servers insist on."""
    app = FastAPI()

    @app.websocket("/")
    async def count(websocket: WebSocket, r: RedisDep) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        finally:
            await r.decr("online")

    heard: list[dict[str, Any]] = [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1006},
    ]
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return heard.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async with RedisManager(url=redis_server.url, outage={"grace": 0}) as manager:
        await redis_server.kill()
        scope = {
            "type": "websocket",
            "path": "/",
            "query_string": b"",
            "headers": [],
            "state": {"redis_manager:default": manager},
        }
        with suppress(RedisUnavailableError):
            await app(scope, receive, send)
    assert sent == ["websocket.accept"]


async def all_listen(server: RedisServer, channel: str, heard: Crowd) -> None:
    """Publish until a message has reached all."""
    async with asyncio.timeout(PATIENCE):
        for number in itertools.count():
            await server.command("PUBLISH", channel, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await heard.until(lambda: max(heard.texts.values(), default=0) >= heard.size)
                    return


@pytest.mark.measures
@pytest.mark.parametrize(
    ("app", "path", "channel"),
    [("news:app", "/news", "news"), ("chat:app", "/rooms/a", "room:a")],
)
async def test_sigterm_ends_websockets_within_a_second(
    redis_server: RedisServer, app: str, path: str, channel: str
) -> None:
    """Those that only hear, and those that also send."""
    env, loop = environment(REDIS_URL=redis_server.url), asyncio.get_running_loop()
    async with (
        server_process(app, directory=ROOT / "examples", env=env) as process,
        crowd(50, await process.url(), path) as heard,
    ):
        await all_listen(redis_server, channel, heard)
        begun = loop.time()
        process.signal(signal.SIGTERM)
        closings = await asyncio.gather(*(socket.closed for socket in heard.sockets))
        assert await process.ended() in (0, -signal.SIGTERM)
        took = loop.time() - begun

    assert {code for _, code in closings} == {1012}
    assert max(at for at, _ in closings) - begun < ENDS
    assert took < ENDS + SLACK
    assert process.log.count("Traceback") == 0
