"""Lost, late and broken bytes, on real sockets before a real server."""

import asyncio
import time

import pytest

from redis_manager_fastapi.testing import FaultProxy, RedisServer
from redis_manager_fastapi.testing.proxy_process.flow import DIRECTIONS, Direction
from tests.kit.lanes import LinkProxy
from tests.kit.waiting import TICK, eventually
from tests.kit.wire import INCR, PONG, counter, ends, wire


class TestBlackHole:
    async def test_everything_is_lost_and_nothing_closes(
        self, fault_proxy: FaultProxy, redis_server: RedisServer
    ) -> None:
        async with wire(fault_proxy.port) as old:
            assert await old.ask(b"PING") == PONG
            await fault_proxy.black_hole()

            async with wire(fault_proxy.port) as new:
                old.send(INCR)
                new.send(INCR)
                await old.assert_silent()
                await new.assert_silent()

            stats = await fault_proxy.stats()
            assert (stats.accepted, stats.lost) == (2, 2 * len(INCR))
            assert await counter(redis_server) == 0

    @pytest.mark.parametrize(("direction", "executed"), [("to_server", 0), ("to_client", 1)])
    async def test_one_way_loses_one_way(
        self,
        fault_proxy: FaultProxy,
        redis_server: RedisServer,
        direction: Direction,
        executed: int,
    ) -> None:
        async with wire(fault_proxy.port) as old, wire(fault_proxy.port) as untouched:
            assert await old.ask(b"PING") == PONG
            await fault_proxy.black_hole(**{name: name == direction for name in DIRECTIONS})

            async with wire(fault_proxy.port) as new:
                old.send(INCR)
                await old.assert_silent()
                assert await counter(redis_server) == executed
                new.send(INCR)
                await new.assert_silent()
                assert await counter(redis_server) == 2 * executed

            await fault_proxy.pass_through()
            assert await untouched.ask(b"PING") == PONG

    async def test_hole_on_one_connection_leaves_the_others(
        self, redis_server: RedisServer
    ) -> None:
        async with (
            LinkProxy(redis_server.host, redis_server.port) as proxy,
            wire(proxy.port) as one,
            wire(proxy.port) as other,
        ):
            assert await one.ask(b"PING") == await other.ask(b"PING") == PONG
            await proxy.black_hole_on([one.port])

            one.send(INCR)
            await one.assert_silent()

            assert await other.ask(b"PING") == PONG
            async with wire(proxy.port) as new:
                assert await new.ask(b"PING") == PONG
        assert await counter(redis_server) == 0

    async def test_connection_that_lost_bytes_stays_dead(self, fault_proxy: FaultProxy) -> None:
        """A later reply must not take the place of the lost one."""
        async with wire(fault_proxy.port) as client:
            await fault_proxy.black_hole(to_server=False)
            client.send(b"ECHO lost\r\n")
            await client.assert_silent()
            await fault_proxy.pass_through()

            client.send(b"ECHO later\r\n")

            await client.assert_silent()
        async with wire(fault_proxy.port) as new:
            assert await new.ask(b"PING") == PONG

    async def test_connection_that_lost_nothing_lives_on(self, fault_proxy: FaultProxy) -> None:
        async with wire(fault_proxy.port) as old:
            assert await old.ask(b"PING") == PONG
            await fault_proxy.black_hole()
            async with wire(fault_proxy.port) as new:
                await fault_proxy.pass_through()

                assert await old.ask(b"PING") == PONG
                assert await new.ask(b"PING") == PONG

    async def test_scope_can_be_old_or_new_connections(self, fault_proxy: FaultProxy) -> None:
        async with wire(fault_proxy.port) as old:
            assert await old.ask(b"PING") == PONG
            await fault_proxy.black_hole(existing=False)
            async with wire(fault_proxy.port) as new:
                assert await old.ask(b"PING") == PONG
                new.send(b"PING\r\n")
                await new.assert_silent()

            await fault_proxy.pass_through()
            await fault_proxy.black_hole(new=False)
            async with wire(fault_proxy.port) as new:
                assert await new.ask(b"PING") == PONG
                old.send(b"PING\r\n")
                await old.assert_silent()

    async def test_client_does_not_hear_of_the_servers_end(
        self, fault_proxy: FaultProxy, redis_server: RedisServer
    ) -> None:
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG
            await fault_proxy.black_hole(to_server=False)

            await redis_server.kill()
            client.send(b"PING\r\n")
            await client.assert_silent()
            client.send(b"PING\r\n")
            await client.assert_silent()
        await ends(fault_proxy)


class TestSlowness:
    @pytest.mark.measures
    async def test_delay_postpones_without_slowing_down(self, fault_proxy: FaultProxy) -> None:
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG
            await fault_proxy.delay(to_server=0.05, to_client=0.05)
            start = time.monotonic()

            for _ in range(5):
                client.send(b"PING\r\n")
                await asyncio.sleep(TICK)
            replies = await client.read(5 * len(PONG))

            assert replies == 5 * PONG
            assert 0.1 <= time.monotonic() - start < 0.3

    async def test_end_of_a_delay_releases_what_waits(self, fault_proxy: FaultProxy) -> None:
        async with wire(fault_proxy.port) as client:
            await fault_proxy.delay(to_server=60)
            client.send(b"PING\r\n")
            await client.assert_silent()

            await fault_proxy.pass_through()

            assert await client.read(len(PONG)) == PONG

    @pytest.mark.parametrize("direction", DIRECTIONS)
    async def test_drip_passes_a_few_bytes_at_a_time(
        self, fault_proxy: FaultProxy, direction: Direction
    ) -> None:
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG
            await fault_proxy.drip(2, 0.02, direction=direction)
            start = time.monotonic()

            client.send(b"PING\r\n")
            first = await client.piece()
            await client.read(len(PONG) - len(first))

            assert time.monotonic() - start >= 2 * 0.02
            assert len(first) == (2 if direction == "to_client" else len(PONG))

    async def test_faults_add_up(self, fault_proxy: FaultProxy) -> None:
        await fault_proxy.delay(to_client=0.05)
        await fault_proxy.drip(2, 0.02, direction="to_client")
        start = time.monotonic()

        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG

        assert time.monotonic() - start >= 0.05 + 3 * 0.02


class TestBrokenStreams:
    async def test_half_close_ends_one_direction(
        self, fault_proxy: FaultProxy, redis_server: RedisServer
    ) -> None:
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG

            assert await fault_proxy.half_close() == 1

            assert await client.rest() == b""
            client.send(INCR)

            async def executed() -> bool:
                return await counter(redis_server) == 1

            await eventually(executed)
        await ends(fault_proxy)

    async def test_injected_bytes_come_before_the_reply(self, fault_proxy: FaultProxy) -> None:
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG

            assert await fault_proxy.inject(b"\x00garbage\n") == 1

            assert await client.ask(b"PING") == b"\x00garbage\n"
            assert await client.read(len(PONG)) == PONG

    async def test_nothing_can_be_injected_after_the_end(self, fault_proxy: FaultProxy) -> None:
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG
            await fault_proxy.half_close()

            assert await fault_proxy.inject(b"more") == 0

            assert await client.rest() == b""

    @pytest.mark.parametrize("n", range(len(PONG)))
    async def test_reply_is_truncated(self, fault_proxy: FaultProxy, n: int) -> None:
        await fault_proxy.truncate_at(n, once=True)

        async with wire(fault_proxy.port) as client:
            client.send(b"PING\r\n")

            assert await client.rest() == PONG[:n]
        async with wire(fault_proxy.port) as client:
            assert await client.ask(b"PING") == PONG
