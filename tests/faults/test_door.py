"""Row 55: what a server says instead of letting anybody in, in our words."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager, RedisTLSError, RedisUnavailableError
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.invariants import QUICK
from tests.kit.servers import CERTIFICATES

FAIL: dict[str, Any] = {**QUICK, "startup": {"policy": "fail"}}

PROTECTED = (
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no"
    b" password is set for the default user. In this mode connections are only accepted from the"
    b" loopback interface. If you want to connect from external computers to Redis you may adopt"
    b" one of the following solutions: 1) Just disable protected mode sending the command\r\n"
)
BANNERS = {
    PROTECTED: "runs in protected mode",
    b"-NOPROTO unsupported protocol version\r\n": "does not speak RESP3: set REDIS_PROTOCOL=2",
    b"-ERR max number of clients + cluster connections reached\r\n": "max number of clients",
    b"HTTP/1.1 400 Bad Request\r\nServer: secret.internal\r\n\r\n": "is not Redis",
    b"SSH-2.0-OpenSSH_9.6\r\n": "what answers there is not Redis",
    b"\x15\x03\x01\x00\x02\x02\x46": "speaks TLS there: set REDIS_TLS__ENABLED=true",
    b"-ERR upstream secret.internal is away\r\n": r"refused the handshake \(ERR\)",
    b"*1000000000000\r\n": "what answers there is not Redis",
}


@asynccontextmanager
async def saying(banner: bytes, *, at_once: bool, hang_up: bool) -> AsyncIterator[str]:
    """A server that says one thing to everybody; its `redis://` URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not at_once:
                await reader.read(1)
            writer.write(banner)
            await writer.drain()
            if hang_up:
                writer.write_eof()
            while await reader.read(4096):
                if not hang_up:
                    writer.write(banner)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def refusal(url: str, **settings: Any) -> RedisUnavailableError:
    """Return what an opening ends with."""
    manager = RedisManager(url=url, **{**FAIL, **settings})
    with pytest.raises(RedisUnavailableError) as raised:
        await manager.open()
    assert "secret.internal" not in str(raised.value)
    assert not raised.value.maybe_executed
    return raised.value


@pytest.mark.parametrize("banner", BANNERS, ids=lambda banner: repr(banner[:12]))
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "to a command"])
@pytest.mark.parametrize("hang_up", [True, False], ids=["then closed", "and stays"])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_words_at_the_door(
    banner: bytes, at_once: bool, hang_up: bool, protocol: int
) -> None:
    async with saying(banner, at_once=at_once, hang_up=hang_up) as url:
        error = await refusal(url, protocol=protocol)

        assert type(error) is RedisUnavailableError
        assert re.search(BANNERS[banner], str(error))


def _address_of_this_machine() -> str | None:
    """An address that is not loopback; nothing is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("protocol", [2, 3])
async def test_protected_mode_of_a_real_server(protocol: int) -> None:
    address = _address_of_this_machine()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    async with RedisServer({"bind": "0.0.0.0", "protected-mode": "yes"}) as server:  # noqa: S104
        url = f"redis://{address}:{server.port}/0"
        # Where the server hangs up between two writes, the socket may forget what it said.
        errors = [str(await refusal(url, protocol=protocol)) for _ in range(30)]

        assert any("runs in protected mode" in error for error in errors)


async def test_tls_where_plain_was_meant(redis_server: RedisServer) -> None:
    async with FaultProxy(
        redis_server.host, redis_server.port, cert_file=CERTIFICATES / "valid.pem"
    ) as proxy:
        error = await refusal(proxy.url.replace("rediss://", "redis://"))

        assert "TLS" in str(error)


async def test_plain_where_tls_was_meant(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("redis://", "rediss://")
    error = await refusal(url, tls={"ca_file": CERTIFICATES / "ca.pem"})

    # It may wait for more of what it takes for a command.
    if type(error) is RedisTLSError:
        assert "does not speak TLS there" in str(error)
    else:
        assert "by TLS" in str(error)
