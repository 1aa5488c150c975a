"""Connections through the fault proxy, refused, reset and encrypted, on real sockets."""

import asyncio
import os
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from redis_manager_fastapi.redis_py import is_unacknowledged
from redis_manager_fastapi.testing import FaultProxy, ProxyStats, RedisServer
from tests.kit.managers import open_descriptors
from tests.kit.servers import CERTIFICATES
from tests.kit.waiting import DEADLINE, eventually, until
from tests.kit.wire import INCR, PONG, counter, ends, wire

CERTIFICATE = CERTIFICATES / "localhost.pem"


@asynccontextmanager
async def connection(
    proxy: FaultProxy,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's streams, with TLS if the proxy speaks it, cut off at the end."""
    tls = ssl.create_default_context(cafile=CERTIFICATE) if "rediss" in proxy.url else None
    async with asyncio.timeout(0.5):
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port, ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


class TestPassing:
    async def test_bytes_and_connections_are_counted(self, fault_proxy: FaultProxy) -> None:
        before = time.monotonic()

        async with wire(fault_proxy.port) as one, wire(fault_proxy.port) as other:
            assert await one.ask(b"PING") == PONG
            assert await other.ask(b"PING") == PONG
            stats = await fault_proxy.stats()

        assert (stats.accepted, stats.open) == (2, 2)
        assert (stats.to_server, stats.to_client, stats.lost) == (12, 14, 0)
        assert before < stats.connect_times[0] < stats.connect_times[1] < time.monotonic()
        await ends(fault_proxy)

    async def test_large_values_arrive_whole(self, fault_proxy: FaultProxy) -> None:
        value = os.urandom(1 << 20)
        async with Redis.from_url(fault_proxy.url, protocol=2) as client:
            await client.set("key", value)

            assert await client.get("key") == value

    async def test_end_of_the_server_reaches_the_client(
        self, fault_proxy: FaultProxy, redis_server: RedisServer
    ) -> None:
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG

            await redis_server.kill()

            assert await client.rest() == b""
        await ends(fault_proxy)

    async def test_unreachable_server_resets_the_client(
        self, fault_proxy: FaultProxy, redis_server: RedisServer
    ) -> None:
        await redis_server.kill()

        with pytest.raises(ConnectionResetError):  # the reset may come before connecting returns
            async with wire(fault_proxy.port) as client:
                await client.rest()

        await redis_server.start()
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG

    async def test_stalled_loop_does_not_stall_the_proxy(self, fault_proxy: FaultProxy) -> None:
        """Blocking sockets on the loop's own thread are answered."""
        address = (fault_proxy.host, fault_proxy.port)
        with socket.create_connection(address, DEADLINE) as client:
            client.sendall(b"PING\r\n")

            assert client.recv(100) == PONG

    @pytest.mark.measures
    async def test_small_pieces_do_not_wait_for_one_another(
        self, redis_server: RedisServer, fault_proxy: FaultProxy
    ) -> None:
        """A client's kernel may wait 40 ms for something to send before it acknowledges."""
        message = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n1\r\n"
        pong = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
        async with wire(fault_proxy.port) as subscriber, redis_server.client() as publisher:
            subscriber.send(b"SUBSCRIBE news\r\n")
            await subscriber.piece()
            began = time.monotonic()

            for _ in range(50):
                subscriber.send(b"PING\r\n")
                assert await subscriber.read(len(pong)) == pong
                await publisher.publish("news", 1)
                await publisher.publish("news", 1)
                assert await subscriber.read(2 * len(message)) == 2 * message

            assert time.monotonic() - began < 1.0


class TestRefuse:
    async def test_new_connections_are_refused_and_old_ones_live(
        self, fault_proxy: FaultProxy
    ) -> None:
        async with wire(fault_proxy.port) as old:
            assert await old.ask(b"PING") == PONG
            await fault_proxy.refuse()

            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(fault_proxy.host, fault_proxy.port)
            assert await old.ask(b"PING") == PONG

        await fault_proxy.pass_through()
        async with wire(fault_proxy.port) as new:
            assert await new.ask(b"PING") == PONG

    async def test_cut_ends_the_old_ones_too(self, fault_proxy: FaultProxy) -> None:
        async with wire(fault_proxy.port) as old:
            assert await old.ask(b"PING") == PONG

            await fault_proxy.refuse(cut=True)

            with pytest.raises(ConnectionResetError):
                await old.rest()


class TestReset:
    async def test_open_connections_are_reset_and_new_ones_work(
        self, fault_proxy: FaultProxy
    ) -> None:
        async with wire(fault_proxy.port) as old:
            assert await old.ask(b"PING") == PONG

            assert await fault_proxy.reset() == 1

            with pytest.raises(ConnectionResetError):
                await old.rest()
        async with wire(fault_proxy.port) as new:
            assert await new.ask(b"PING") == PONG
        assert (await fault_proxy.stats()).open <= 1

    @pytest.mark.parametrize("n", range(1, len(PONG)))
    async def test_reply_is_cut_at_the_byte(self, fault_proxy: FaultProxy, n: int) -> None:
        await fault_proxy.reset_at(n)

        async with wire(fault_proxy.port) as client:
            client.send(b"PING\r\n")
            assert await client.read(n) == PONG[:n]
            with pytest.raises(ConnectionResetError):
                await client.rest()

    @pytest.mark.parametrize(("n", "executed"), [(0, 0), (len(INCR) - 1, 0), (len(INCR), 1)])
    async def test_request_is_cut_at_the_byte(
        self, fault_proxy: FaultProxy, redis_server: RedisServer, n: int, executed: int
    ) -> None:
        await fault_proxy.reset_at(n, direction="to_server")

        async with wire(fault_proxy.port) as client:
            client.send(2 * INCR)
            with pytest.raises(ConnectionResetError):
                await client.rest()

        async def gone() -> bool:
            return len(await redis_server.command("CLIENT LIST")) == 1

        await eventually(gone)
        assert await counter(redis_server) == executed

    async def test_bytes_count_from_now_on_an_old_connection(self, fault_proxy: FaultProxy) -> None:
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG
            await fault_proxy.reset_at(3)

            client.send(b"PING\r\n")

            assert await client.read(3) == b"+PO"
            with pytest.raises(ConnectionResetError):
                await client.rest()

    async def test_once_cuts_one_connection(self, fault_proxy: FaultProxy) -> None:
        await fault_proxy.reset_at(1, once=True)

        async with wire(fault_proxy.port) as first:
            with pytest.raises(ConnectionResetError):
                await first.ask(b"PING")
        async with wire(fault_proxy.port) as second:
            assert await second.ask(b"PING") == PONG


class TestTLS:
    @pytest.fixture
    async def tls_proxy(self, redis_server: RedisServer) -> FaultProxy:
        return FaultProxy(
            redis_server.host, redis_server.port, cert_file=CERTIFICATE, key_file=CERTIFICATE
        )

    async def test_tls_client_reaches_a_server_without_tls(self, tls_proxy: FaultProxy) -> None:
        async with (
            tls_proxy as proxy,
            Redis.from_url(proxy.url, protocol=2, ssl_ca_certs=str(CERTIFICATE)) as client,
        ):
            value = os.urandom(1 << 18)
            await client.set("key", value)

            assert proxy.url.startswith("rediss://")
            assert await client.get("key") == value

    async def test_faults_work_within_tls(self, tls_proxy: FaultProxy) -> None:
        async with tls_proxy as proxy:
            async with connection(proxy) as (reader, writer):
                writer.write(b"PING\r\n")
                assert await reader.readline() == PONG

                assert await proxy.half_close() == 1

                assert await reader.read() == b""
            async with connection(proxy) as (reader, writer):
                writer.write(b"PING\r\n")
                assert await reader.readline() == PONG

                assert await proxy.reset() >= 1

                with pytest.raises(ConnectionResetError):
                    await reader.read()

    async def test_client_without_tls_is_turned_away(self, tls_proxy: FaultProxy) -> None:
        async with tls_proxy as proxy:
            async with wire(proxy.port) as stranger:
                stranger.send(b"PING\r\n")
                assert PONG not in await stranger.rest()

            async with connection(proxy):
                pass

    async def test_unfinished_handshake_does_not_hold_up_the_end(
        self, tls_proxy: FaultProxy
    ) -> None:
        async with tls_proxy as proxy, wire(proxy.port) as mute:
            await mute.assert_silent()

            async with asyncio.timeout(1):
                await proxy.aclose()

    async def test_black_hole_takes_the_handshake(self, tls_proxy: FaultProxy) -> None:
        async with tls_proxy as proxy:
            await proxy.black_hole(to_server=False)

            with pytest.raises(TimeoutError):
                async with connection(proxy):
                    pass

            assert (await proxy.stats()).accepted == 1
            await proxy.pass_through()
            async with connection(proxy):
                pass


@pytest.mark.skipif(sys.platform != "linux", reason="another kernel has no such filter")
class TestUnplugged:
    async def test_nothing_is_acknowledged_until_the_cable_is_back(
        self, fault_proxy: FaultProxy
    ) -> None:
        async with connection(fault_proxy) as (reader, writer):
            writer.write(b"PING\r\n")
            assert await reader.readline() == PONG
            await fault_proxy.unplug()
            writer.write(b"PING\r\n")
            await until(lambda: is_unacknowledged(writer.transport))
            with pytest.raises(TimeoutError):
                async with connection(fault_proxy):
                    pass

            await fault_proxy.pass_through()

            async with asyncio.timeout(DEADLINE), connection(fault_proxy):
                assert await reader.readline() == PONG
            assert not is_unacknowledged(writer.transport)

    async def test_open_connections_may_go_on(self, fault_proxy: FaultProxy) -> None:
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG
            await fault_proxy.unplug(existing=False)

            assert await client.ask(b"PING") == PONG
            with pytest.raises(TimeoutError):
                async with connection(fault_proxy):
                    pass


class TestLife:
    async def test_nothing_is_left_behind(self, redis_server: RedisServer) -> None:
        before = open_descriptors()

        async with FaultProxy(redis_server.host, redis_server.port) as proxy:
            await proxy.black_hole()
            async with wire(proxy.port) as client:
                client.send(b"PING\r\n")

        assert open_descriptors() == before

    async def test_end_resets_what_is_open(self, redis_server: RedisServer) -> None:
        proxy = FaultProxy(redis_server.host, redis_server.port)
        async with proxy, wire(proxy.port) as client:
            assert await client.ask(b"PING") == PONG

            await proxy.aclose()

            with pytest.raises(ConnectionResetError):
                await client.rest()

    async def test_failure_of_the_process_is_shown(self, redis_server: RedisServer) -> None:
        proxy = FaultProxy(redis_server.host, redis_server.port, cert_file="/no/such/file")

        with pytest.raises(RuntimeError, match="No such file"):
            async with proxy:
                pass

    async def test_commands_need_a_running_proxy(self, fault_proxy: FaultProxy) -> None:
        with pytest.raises(RuntimeError, match="running already"):
            await fault_proxy.start()
        await fault_proxy.aclose()

        with pytest.raises(RuntimeError, match="not running"):
            await fault_proxy.reset()

    async def test_cancelled_command_does_not_shift_the_replies(
        self, fault_proxy: FaultProxy
    ) -> None:
        for turns in range(4):
            cancelled = asyncio.create_task(fault_proxy.half_close())
            for _ in range(turns):
                await asyncio.sleep(0)
            cancelled.cancel()

            assert isinstance(await fault_proxy.stats(), ProxyStats)

    @pytest.mark.parametrize("tls", [False, True])
    async def test_faults_meet_clients_that_leave_at_that_moment(
        self, redis_server: RedisServer, tls: bool
    ) -> None:
        address = redis_server.host, redis_server.port
        async with FaultProxy(*address, cert_file=CERTIFICATE if tls else None) as proxy:
            for end in (proxy.reset, proxy.half_close) * 20:
                async with connection(proxy) as (reader, writer):
                    writer.write(b"PING\r\n")
                    assert await reader.readline() == PONG
                await end()

            await ends(proxy)


def test_most_connects_finds_the_densest_window() -> None:
    stats = ProxyStats(5, 0, 0, 0, 0, connect_times=(0.0, 0.9, 1.0, 1.8, 5.0))

    assert stats.most_connects() == 3
    assert stats.most_connects(0.05) == 1
    assert ProxyStats(0, 0, 0, 0, 0, ()).most_connects() == 0
