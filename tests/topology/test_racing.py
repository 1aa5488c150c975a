"""A name with several addresses, of which some are dead."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.asyncio.connection import SSLConnection

from redis_manager_fastapi import RedisManager, RedisTLSError, RedisUnavailableError
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from redis_manager_fastapi.topology.racing import RacingConnection
from tests.kit.servers import CERTIFICATES
from tests.kit.tls_relay import tls_relay

NAME = "redis.example"
CONNECT = 1.0

Known = Callable[..., None]


class Dead:
    """A port of another loopback address whose queue is full: the kernel swallows each SYN."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.2", 0))
        self._listener.listen(0)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._callers = [socket.socket() for _ in range(4)]
        for caller in self._callers:
            caller.setblocking(False)
            caller.connect_ex(self.address)

    def close(self) -> None:
        for each in (self._listener, *self._callers):
            each.close()


@pytest.fixture
def dead() -> Iterator[tuple[str, int]]:
    """An address that never answers."""
    port = Dead()
    yield port.address
    port.close()


@pytest.fixture
def refusing() -> Iterator[tuple[str, int]]:
    """An address that refuses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.3", 0))
        yield bound.getsockname()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Known:
    """Tells what the name resolves to."""
    addresses: list[tuple[str, int]] = []
    real = asyncio.BaseEventLoop.getaddrinfo

    async def getaddrinfo(loop: Any, host: Any, port: Any, **hints: Any) -> list[Any]:
        if host != NAME:
            return await real(loop, host, port, **hints)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return lambda *given: addresses.__setitem__(slice(None), given)


def manager(**settings: Any) -> RedisManager:
    return RedisManager(
        host=NAME, timeout={"connect": CONNECT}, startup={"policy": "fail"}, **settings
    )


@pytest.mark.parametrize("dead_ones", [1, 3])
async def test_a_dead_address_costs_less_than_the_limit(
    redis_server: RedisServer, dead: tuple[str, int], known: Known, dead_ones: int
) -> None:
    """Row 64: connected within T_connect, on every kind of connection."""
    known(*[dead, ("127.0.0.9", 1), dead][:dead_ones], ("127.0.0.1", redis_server.port))
    started = time.monotonic()
    async with manager() as opened:
        assert time.monotonic() - started < CONNECT
        await opened.redis.set("k", 1)
        assert await opened.redis.blpop(["none"], timeout=0.05) is None


async def test_an_address_that_refuses_costs_nothing(
    redis_server: RedisServer, refusing: tuple[str, int], known: Known
) -> None:
    known(refusing, ("127.0.0.1", redis_server.port))
    async with manager() as opened:
        assert await opened.redis.ping()


async def test_tls_checks_the_name_whichever_address_answers(
    redis_server: RedisServer, dead: tuple[str, int], known: Known
) -> None:
    tls = {"ca_file": CERTIFICATES / "ca.pem"}
    async with FaultProxy(
        redis_server.host, redis_server.port, cert_file=CERTIFICATES / "valid.pem"
    ) as proxy:
        known(dead, ("127.0.0.1", proxy.port))
        with pytest.raises(RedisTLSError, match="Hostname mismatch"):
            await manager(tls={"enabled": True, **tls}).open()
        async with manager(tls={"enabled": True, **tls, "verify": "ca"}) as opened:
            assert await opened.redis.ping()


async def test_all_addresses_dead_or_refusing_is_told(
    dead: tuple[str, int], refusing: tuple[str, int], known: Known
) -> None:
    known(refusing)
    with pytest.raises(RedisUnavailableError, match="connection refused"):
        await manager().open()

    known(refusing, dead)
    with pytest.raises(RedisUnavailableError, match="no connection within 1 s"):
        await manager().open()


async def test_sentinels_are_found_by_any_of_their_addresses(
    dead: tuple[str, int], known: Known
) -> None:
    """What answers here is no Sentinel: its refusal tells that it was reached."""
    async with RedisServer() as server:
        known(dead, ("127.0.0.1", server.port))
        sentinel: Any = {"nodes": f"{NAME}:26379", "service": "m"}
        opened = RedisManager(
            sentinel=sentinel, timeout={"connect": CONNECT}, startup={"policy": "fail"}
        )
        with pytest.raises(RedisUnavailableError, match="is no Sentinel"):
            await opened.open()


async def test_when_the_address_in_use_dies_the_next_one_takes_over(
    redis_server: RedisServer, dead: tuple[str, int], known: Known
) -> None:
    """Within grace, so that no caller hears of it."""
    async with FaultProxy(redis_server.host, redis_server.port) as proxy:
        known(("127.0.0.1", proxy.port), ("127.0.0.1", redis_server.port))
        async with manager() as opened:
            await opened.redis.set("k", "v")
            assert (await proxy.stats()).open
            known(dead, ("127.0.0.1", redis_server.port))
            await proxy.reset()

            assert await opened.redis.get("k") == "v"
            assert await opened.redis.blpop(["none"], timeout=0.05) is None
            assert not (await proxy.stats()).open


class Encrypted(RacingConnection, SSLConnection):
    """A connection with TLS, and nothing of a pool's."""


async def test_a_connect_that_is_cancelled_leaves_no_number_to_another_connection(
    redis_server: RedisServer,
) -> None:
    """TLS may still read from the socket: what gets its number cannot connect then."""
    loop, place = asyncio.get_running_loop(), (redis_server.host, redis_server.port)
    turns = 0
    async with tls_relay(redis_server, CERTIFICATES / "valid.pem") as (url, _):
        port = int(url.rpartition(":")[2].partition("/")[0])
        while not await cancelled_after(turns, port):
            turns += 1
            others = [socket.socket() for _ in range(4)]
            for other in others:
                other.setblocking(False)
                await loop.sock_connect(other, place)
            for other in others:
                other.close()

    assert turns > 5


async def cancelled_after(turns: int, port: int) -> bool:
    """Cancel a connect after so many turns of the loop; return whether it was connected by then."""
    connection = Encrypted(host="127.0.0.1", port=port, ssl_ca_certs=str(CERTIFICATES / "ca.pem"))
    connecting = asyncio.create_task(connection._connect())
    for _ in range(turns):
        await asyncio.sleep(0)
    connected = connecting.done()
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    await connection.disconnect(nowait=True)
    return connected
