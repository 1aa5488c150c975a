"""Row 12: bytes that no server should send, in RESP2 and RESP3.

The reply that was spoilt may be lost.  The connection that carried it is not
used again, and whoever asks next gets the answer to the own question.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from redis_manager_fastapi import CommandTimeoutError, ReplyLostError
from tests.kit.fake_server import FakeServer
from tests.kit.invariants import upheld
from tests.kit.waiting import until

SPOILT = {
    "garbage": b"\x00\xff what is this\r\n",
    "too-short": b"$1\r\nabcdef\r\n",
    "bad-length": b"$x\r\nabc\r\n",
    "negative-length": b"*-7\r\n",
    "huge-length": b"*99999999999999\r\n",
    "empty-line": b"\r\n",
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.fixture
async def fake_server() -> AsyncIterator[FakeServer]:
    async with FakeServer() as server:
        yield server


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def wire_mode(request: pytest.FixtureRequest, mode: dict[str, Any]) -> dict[str, Any]:
    return {**mode, "protocol": request.param}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
async def test_broken_reply_to_a_write(
    fake_server: FakeServer, bystander: Any, wire_mode: dict[str, Any], spoilt: bytes
) -> None:
    """Row 12: the write is reported as lost, and the next caller gets its own reply."""
    async with upheld(fake_server, bystander, **wire_mode) as trial:
        assert await trial.block() is None
        fake_server.replies = [spoilt]
        error = await trial.write()

        if spoilt != SPOILT["too-short"]:  # hiredis takes its first byte for the reply
            assert type(error) is ReplyLostError
        assert await trial.readers(10) + await trial.writers(10) == []


@pytest.mark.parametrize("spoilt", [b"$x\r\n", b"!!!\r\n"])
async def test_broken_reply_to_a_read(
    fake_server: FakeServer, bystander: Any, wire_mode: dict[str, Any], spoilt: bytes
) -> None:
    """Row 12: a read is sent again on another connection."""
    async with upheld(fake_server, bystander, **wire_mode) as trial:
        fake_server.replies = [spoilt]

        assert await trial.read() is None


async def test_a_reply_too_many(
    fake_server: FakeServer, bystander: Any, wire_mode: dict[str, Any]
) -> None:
    """Row 12: an unexpected reply does not go to the next caller."""
    async with upheld(fake_server, bystander, **wire_mode) as trial:
        fake_server.replies = [b":1\r\n$5\r\nstray\r\n"]

        assert await trial.write() is None
        assert await trial.readers(10) == []


async def test_truncated_reply_and_the_end(
    fake_server: FakeServer, bystander: Any, wire_mode: dict[str, Any]
) -> None:
    """Row 12: half a reply is none: the write is reported as lost, the read is sent again."""
    async with upheld(fake_server, bystander, **wire_mode) as trial:
        fake_server.hang_up = True
        fake_server.replies = [b"$11\r\nhello"]
        assert type(await trial.write()) is ReplyLostError
        fake_server.replies = [b"$11\r\nhello"]
        assert await trial.read() is None


async def test_truncated_reply_and_silence(
    fake_server: FakeServer, bystander: Any, wire_mode: dict[str, Any]
) -> None:
    """Row 12: the rest of a reply never comes: the call ends at T_cmd, the connection is closed."""
    async with upheld(fake_server, bystander, **wire_mode) as trial:
        fake_server.replies = [b"$100000\r\nhello"]
        error = await trial.write()

        assert type(error) in (CommandTimeoutError, ReplyLostError)
        await until(lambda: trial.manager.is_ready)
        assert await trial.readers(10) == []
