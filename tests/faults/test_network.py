"""The path breaks: resets at any byte, half-closed connections, a drip."""

import asyncio
import random
import time
from functools import partial
from typing import Any

import pytest

from redis_manager_fastapi import CommandTimeoutError, RedisManager, RedisUnavailableError
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.invariants import QUICK, upheld
from tests.kit.lag import TICK
from tests.kit.trial import SLACK
from tests.kit.waiting import eventually, until

SEED = 9
OFFSETS = 10


async def connections_ended(proxy: FaultProxy) -> int:
    """How many connections through *proxy* are over."""
    stats = await proxy.stats()
    return stats.accepted - stats.open


async def more_ended_than(number: int, proxy: FaultProxy) -> bool:
    """Whether another connection is over."""
    return await connections_ended(proxy) > number


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
async def test_reset_at_random_bytes(
    redis_server: RedisServer,
    bystander: RedisServer,
    fault_proxy: FaultProxy,
    mode: dict[str, Any],
    direction: Any,
) -> None:
    """Row 9: reads survive, writes are reported as lost, and only known errors are raised."""
    random_ = random.Random(SEED)
    async with upheld(redis_server, bystander, fault_proxy, extra_connects=100, **mode) as trial:
        async with trial.traffic(200):
            for _ in range(OFFSETS):
                ended = await connections_ended(fault_proxy)
                await asyncio.sleep(TICK)  # one that is being accepted counts as ended
                ended = min(ended, await connections_ended(fault_proxy))
                await fault_proxy.reset_at(random_.randrange(400), direction=direction, once=True)
                await eventually(partial(more_ended_than, ended, fault_proxy))
                await trial.healed()
                assert await trial.readers(5) == []  # a read is sent again once, not twice

        assert trial.errors("read") == {}
        assert set(trial.errors()) <= {"ReplyLostError"}


async def test_half_close_while_idle(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, mode: dict[str, Any]
) -> None:
    """Row 10: idle connections that the server closed cause no error."""
    async with upheld(redis_server, bystander, fault_proxy, **mode) as trial:
        await trial.warm(5)

        assert await fault_proxy.half_close() >= 2
        await asyncio.sleep(0.05)

        assert await trial.readers(10) + await trial.writers(10) == []
        assert await trial.block() is None


async def test_half_close_with_commands_in_flight(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, mode: dict[str, Any]
) -> None:
    """Row 10: the stream ends instead of a reply: reads survive, writes are reported as lost."""
    async with upheld(redis_server, bystander, fault_proxy, **mode) as trial:
        await trial.warm()
        await fault_proxy.delay(to_client=0.1)
        calls = [asyncio.create_task(call()) for call in (trial.read, trial.write) * 3]
        await asyncio.sleep(0.05)
        await fault_proxy.half_close()
        await fault_proxy.pass_through()
        await asyncio.gather(*calls)

        assert trial.errors("read") == {}
        assert set(trial.errors("write")) == {"ReplyLostError"}


@pytest.mark.measures
async def test_drip_in_the_handshake(fault_proxy: FaultProxy, mode: dict[str, Any]) -> None:
    """Row 11: however slowly bytes arrive, the whole connect takes at most T_connect."""
    limits = {**QUICK, **mode, "startup": {"policy": "fail"}, "password": "wrong but long enough"}
    await fault_proxy.drip(direction="to_client")
    manager = RedisManager(url=fault_proxy.url, **limits)

    began = time.monotonic()
    with pytest.raises(RedisUnavailableError, match=r"no connection within 0\.3 s"):
        await manager.open()

    assert time.monotonic() - began < 0.3 + 2 * SLACK


async def test_drip_of_replies(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, mode: dict[str, Any]
) -> None:
    """Row 11: a reply that trickles in ends at T_cmd, and its bytes reach no other caller."""
    async with upheld(redis_server, bystander, fault_proxy, **mode) as trial:
        assert await trial.block() is None
        await fault_proxy.drip(direction="to_client")
        began = trial.now
        with pytest.raises((CommandTimeoutError, RedisUnavailableError)):
            await trial.redis.echo("x" * 1000)
        took = await trial.net(began)
        await fault_proxy.pass_through()

        assert took <= trial.manager.settings.timeout.command + SLACK
        await until(lambda: trial.manager.is_ready)


async def test_idle_connections_cut_by_a_balancer(
    redis_server: RedisServer,
    bystander: RedisServer,
    fault_proxy: FaultProxy,
    mode: dict[str, Any],
) -> None:
    """Row 25: the server closes connections idle for 1 s, a balancer resets the rest: no error."""
    await redis_server.config_set("timeout", 1)
    async with upheld(redis_server, bystander, fault_proxy, **mode) as trial:
        for round_ in range(3):
            await asyncio.sleep(2.1 if round_ == 0 else 0.2)
            assert await trial.read() is None
            assert await trial.write() is None
            assert await trial.block() is None
            await fault_proxy.reset()
