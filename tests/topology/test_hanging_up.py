"""What hangs up on each connection as it accepts it, before anything was sent."""

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest
import uvloop

from redis_manager_fastapi import RedisManager, RedisUnavailableError

_RESET = struct.pack("ii", 1, 0)


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def refused_by(scheme: str, database: str) -> RedisUnavailableError:
    """Return the error for a start there."""
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"{scheme}://user:password@127.0.0.1:{port}/{database}"
        manager = RedisManager(url=url, startup={"policy": "fail", "timeout": 0.2})
        with pytest.raises(RedisUnavailableError) as caught:
            await manager.open()
        return caught.value


@pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
@pytest.mark.parametrize(
    ("scheme", "database", "words"),
    [
        ("redis", "0", "the server closed the connection before it answered"),
        ("redis+sentinel", "0/mymaster", "no Sentinel names a primary: "),
        ("redis+cluster", "0", "no node of the cluster serves: the server closed the connection"),
    ],
)
def test_it_is_told_as_that(
    loop: Callable[[], asyncio.AbstractEventLoop], scheme: str, database: str, words: str
) -> None:
    """A write to a connection that is closed by then raises RuntimeError with uvloop."""
    with asyncio.Runner(loop_factory=loop) as runner:
        error = runner.run(refused_by(scheme, database))

    assert type(error) is RedisUnavailableError
    assert words in str(error)
    assert "Error" not in str(error)
