"""A name with several addresses, of which some are dead."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from redis.asyncio.connection import SSLConnection

from redis_manager_fastapi import (
    ProbeFailed,
    RedisAuthError,
    RedisManager,
    RedisTLSError,
    RedisUnavailableError,
)
from redis_manager_fastapi.pool.dialer import Dialer
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from redis_manager_fastapi.topology.racing import RacingConnection
from redis_manager_fastapi.topology.standalone import Standalone
from tests.kit.cancelling import MOMENTS
from tests.kit.managers import open_descriptors, pool_of
from tests.kit.naming import CONNECT, NAME, Known, manager
from tests.kit.servers import CERTIFICATES
from tests.kit.stepping import Moment, Stepper
from tests.kit.tls_relay import tls_relay
from tests.kit.waiting import until


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
        assert await opened.redis.with_options(dedicated=True).get("none") is None


async def test_an_address_that_refuses_costs_nothing(
    redis_server: RedisServer, refusing: tuple[str, int], known: Known
) -> None:
    known(refusing, ("127.0.0.1", redis_server.port))
    async with manager() as opened:
        assert await opened.redis.ping()


class Accepting:
    """An address that accepts connections, and does no more with them than a test says."""

    def __init__(self, does: str) -> None:
        self.does = does
        self.accepted = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.does == "resets":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        elif self.does == "answers garbage":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif self.does == "is loading":
            while await reader.read(4096):
                writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")
        with suppress(ConnectionError):
            while await reader.read(4096):
                pass
        writer.close()


@asynccontextmanager
async def accepting(does: str) -> AsyncIterator[tuple[Accepting, tuple[str, int]]]:
    """Such an address."""
    it = Accepting(does)
    server = await asyncio.start_server(it.serve, "127.0.0.4", 0)
    try:
        yield it, server.sockets[0].getsockname()
    finally:
        server.close()


@pytest.mark.parametrize("does", ["hangs", "resets", "answers garbage", "is loading"])
@pytest.mark.parametrize("encrypted", [False, True])
async def test_an_address_that_accepts_and_does_not_serve_costs_less_than_the_limit(
    redis_server: RedisServer, known: Known, does: str, encrypted: bool
) -> None:
    """Row 64; it is not tried again by those who lease a connection afterwards."""
    certificate = CERTIFICATES / "valid.pem"
    tls: Any = {"enabled": True, "verify": "ca", "ca_file": CERTIFICATES / "ca.pem"}
    settings = {"tls": tls} if encrypted else {}
    async with (
        FaultProxy(
            redis_server.host, redis_server.port, cert_file=certificate if encrypted else None
        ) as proxy,
        accepting(does) as (bad, address),
    ):
        known(address, ("127.0.0.1", proxy.port))
        before = open_descriptors()
        started = time.monotonic()
        async with manager(**settings) as opened:
            assert time.monotonic() - started < CONNECT
            assert bad.accepted == 1
            for _ in range(2):
                async with opened.connection() as held, opened.connection() as another:
                    assert await held.ping()
                    assert await another.ping()
            assert await opened.redis.get("none") is None
            assert bad.accepted == 1
        await until(lambda: open_descriptors() <= before)


@pytest.mark.parametrize("other", ["another password", "no password"])
async def test_a_server_that_refuses_us_does_not_stand_for_the_others(
    known: Known, other: str
) -> None:
    """Each address may be another server; one that refused is the last to be tried again."""
    refusing = RedisServer(password="other" if other == "another password" else None)
    async with refusing, RedisServer(password="right") as server:
        known(("127.0.0.1", refusing.port), ("127.0.0.1", server.port))
        async with manager(password="right") as opened:
            assert await opened.redis.set("k", 1)
            async with opened.connection() as held, opened.connection() as another:
                assert await held.ping()
                assert await another.ping()
            assert opened.stats().connects == 4


async def test_servers_that_all_refuse_us_are_asked_one_at_a_time(known: Known) -> None:
    """Row 18: once each of them has, there is one AUTH in each step of the backoff."""
    events: list[Any] = []
    settings: Any = {"health": {"backoff_base": 0.02, "backoff_cap": 0.1}}
    async with RedisServer(password="a") as first, RedisServer(password="b") as second:
        known(("127.0.0.1", first.port), ("127.0.0.1", second.port))
        settings |= {"startup": {"policy": "degraded"}, "listeners": [events.append]}
        async with RedisManager(host=NAME, password="c", **settings) as opened:
            failed = lambda: [each for each in events if isinstance(each, ProbeFailed)]  # noqa: E731
            await until(lambda: len(failed()) > 5)

            assert opened.stats().connects <= len(failed()) + 2
            assert all(isinstance(each.error, RedisAuthError) for each in failed())


# What may be at an address of a name in the place of what is meant.
STRANGERS: dict[str, Callable[[], RedisServer]] = {
    "a server": RedisServer,
    "a sentinel": lambda: RedisServer(mode="sentinel"),
    "a sentinel with a password": lambda: RedisServer({"requirepass": "secret"}, mode="sentinel"),
    "a node without slots": lambda: RedisServer({"cluster-enabled": "yes"}),
}


@pytest.mark.parametrize("other", ["a server", "a sentinel", "a sentinel with a password"])
async def test_what_is_no_sentinel_of_the_service_does_not_stand_for_the_others(
    known: Known, other: str
) -> None:
    async with STRANGERS[other]() as bad, SentinelDeployment(replicas=0, sentinels=1) as deployment:
        known(("127.0.0.1", bad.port), ("127.0.0.1", deployment.sentinels[0].port))
        sentinel: Any = {"nodes": [(NAME, 26379)], "service": deployment.service}
        async with RedisManager(sentinel=sentinel, startup={"policy": "fail"}) as opened:
            assert await opened.redis.set("k", 1)
            await until(lambda: opened.stats().sentinels == 1)


@pytest.mark.parametrize("other", ["a server", "a sentinel", "a node without slots"])
async def test_what_is_no_node_of_the_cluster_does_not_stand_for_the_others(
    known: Known, other: str
) -> None:
    async with STRANGERS[other]() as bad, ClusterDeployment(shards=1, replicas=0) as deployment:
        settings: Any = {"cluster": {"nodes": [(NAME, 6379)]}, "startup": {"policy": "fail"}}
        known(("127.0.0.1", bad.port))
        words = "knows of any slots" if "node" in other else "there is no node of a Cluster"
        with pytest.raises(RedisUnavailableError, match=words):
            await RedisManager(**settings).open()

        known(("127.0.0.1", bad.port), ("127.0.0.1", deployment.primaries[0].port))
        async with RedisManager(**settings) as opened:
            assert await opened.cluster.set("k", 1)


async def test_a_slow_address_is_tried_again_when_the_faster_one_does_not_serve(
    redis_server: RedisServer, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was left for one that accepted first."""
    loop_class: Any = type(asyncio.get_running_loop())
    real, slow = loop_class.sock_connect, ("127.0.0.1", redis_server.port)

    async def sock_connect(loop: Any, sock: socket.socket, address: Any) -> None:
        if address == slow:
            await asyncio.sleep(0.35)
        await real(loop, sock, address)

    monkeypatch.setattr(loop_class, "sock_connect", sock_connect)
    async with accepting("answers garbage") as (bad, address):
        known(slow, address)
        started = time.monotonic()
        async with manager() as opened:
            assert time.monotonic() - started < CONNECT
            assert await opened.redis.ping()
        assert bad.accepted == 1


@pytest.mark.parametrize("place", ["the sentinels' primary", "a cluster's seed"])
async def test_an_address_that_does_not_serve_costs_little_elsewhere_too(
    known: Known, place: str
) -> None:
    async with accepting("hangs") as (bad, address), AsyncExitStack() as stack:
        settings: Any
        if place == "a cluster's seed":
            cluster = await stack.enter_async_context(ClusterDeployment(shards=1, replicas=0))
            settings = {"cluster": {"nodes": [(NAME, 6379)]}}
            port = cluster.primaries[0].port
        else:
            deployment = SentinelDeployment(replicas=0, sentinels=1)
            await stack.enter_async_context(deployment)
            settings = {"url": deployment.url, "address_map": lambda _: (NAME, 6379)}
            port = deployment.servers[0].port
        known(address, ("127.0.0.1", port))
        limits: Any = {"timeout": {"connect": CONNECT}, "startup": {"policy": "fail"}}
        started = time.monotonic()
        async with RedisManager(**settings, **limits) as opened:
            assert time.monotonic() - started < 2 * CONNECT
            client: Any = opened.cluster if "cluster" in settings else opened.redis
            assert await client.set("k", 1)
        assert bad.accepted


@pytest.mark.parametrize("does", ["hangs", "resets", "answers garbage"])
async def test_a_name_of_several_sentinels_is_asked_at_one_that_answers(
    known: Known, does: str
) -> None:
    """At the start, and to be told of a fail-over."""
    async with accepting(does) as (bad, address), SentinelDeployment() as deployment:
        known(address, *(("127.0.0.1", each.port) for each in deployment.sentinels))
        sentinel: Any = {"nodes": [(NAME, 26379)], "service": deployment.service}
        limits: Any = {"timeout": {"connect": CONNECT}, "startup": {"policy": "fail"}}
        started = time.monotonic()
        async with RedisManager(sentinel=sentinel, **limits) as opened:
            assert time.monotonic() - started < 2 * CONNECT
            old = deployment.servers[0]
            await deployment.failover()
            new = await deployment.elected(old)
            pool: Any = pool_of(opened)
            await until(lambda: pool.address[1] == new.port)
        assert bad.accepted


async def test_slow_servers_at_all_addresses_are_reached(
    redis_server: RedisServer, known: Known
) -> None:
    """Each has less than the limit for itself at first, and the whole of it the next time."""
    async with (
        FaultProxy(redis_server.host, redis_server.port) as first,
        FaultProxy(redis_server.host, redis_server.port) as second,
    ):
        for proxy in (first, second):
            await proxy.delay(to_client=0.35)
        known(("127.0.0.1", first.port), ("127.0.0.1", second.port))
        waiting: Any = {"startup": {"policy": "wait", "timeout": 10.0}}
        async with RedisManager(host=NAME, timeout={"connect": CONNECT}, **waiting) as opened:
            assert await opened.redis.ping()


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_connect_by_several_addresses_that_is_cancelled_leaves_no_socket(
    redis_server: RedisServer, dead: tuple[str, int], known: Known, moment: Moment
) -> None:
    """Row 27, at each of its awaits."""
    async with accepting("resets") as (_, address):
        known(address, dead, ("127.0.0.1", redis_server.port))
        settings = RedisSettings(host=NAME, timeout={"connect": CONNECT})
        dialer = Dialer(Standalone(settings), settings, instance="x")
        before, step, tasks = open_descriptors(), 0, asyncio.all_tasks()
        while True:
            step += 1
            dialer.reach.failed.clear()
            stepper = Stepper(dialer.dial(), step, moment)
            try:
                connection = await asyncio.ensure_future(stepper.run())
            except asyncio.CancelledError:
                assert stepper.cancelled
            else:
                connection.abort()
                if not stepper.cancelled:
                    break
            await until(lambda: open_descriptors() <= before)
            assert asyncio.all_tasks() <= tasks
        assert step > 5


async def test_tls_checks_the_name_whichever_address_answers(
    redis_server: RedisServer, dead: tuple[str, int], known: Known
) -> None:
    tls = {"ca_file": CERTIFICATES / "ca.pem"}
    async with FaultProxy(
        redis_server.host, redis_server.port, cert_file=CERTIFICATES / "valid.pem"
    ) as proxy:
        for addresses in ((dead, ("127.0.0.1", proxy.port)), (("127.0.0.1", proxy.port), dead)):
            known(*addresses)
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
            assert await opened.redis.with_options(dedicated=True).get("none") is None
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
