"""What is sent to a WebSocket whose client has gone: nothing, which some servers insist on."""

from contextlib import suppress
from typing import Any

from fastapi import FastAPI, WebSocket

from redis_manager_fastapi import RedisDep, RedisManager, RedisUnavailableError
from redis_manager_fastapi.testing import RedisServer


async def test_an_outage_after_the_client_has_gone_closes_nothing(
    redis_server: RedisServer,
) -> None:
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
