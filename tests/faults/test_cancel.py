"""Rows 27 and 28: cancelled at await number n, for every n, as it waits and as it is woken.

Each operation runs again and again, cancelled one await later each time, until
it ends without having been cancelled.  After each run nothing may be missing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.cancelling import MOMENTS, OPERATIONS, Operation, lease, storm
from tests.kit.invariants import QUICK, upheld
from tests.kit.managers import assert_at_rest, block, open_descriptors, pool_of
from tests.kit.stepping import Moment, Stepper
from tests.kit.waiting import until

ENOUGH = 500  # awaits, far beyond the longest operation


async def cancelled_everywhere(
    moment: Moment, operation: Callable[[], Coroutine[Any, Any, Any]], after: Callable[[], Any]
) -> int:
    """Run *operation* with each await cancelled in turn, and *after* it; return how many."""
    for n in range(1, ENOUGH):
        stepper = Stepper(operation(), n, moment)
        task = asyncio.ensure_future(stepper.run())
        await asyncio.wait({task})
        if not stepper.cancelled:
            assert not task.cancelled()
            task.result()
            return n - 1
        assert task.cancelled(), f"the cancellation at await {n} was swallowed"
        checked = after()
        if isinstance(checked, Awaitable):
            await checked
    raise AssertionError(f"still not done after {ENOUGH} awaits")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_cancelled_at_each_await(
    redis_server: RedisServer, bystander: RedisServer, operation: Operation, moment: Moment
) -> None:
    """Row 27: cancelled anywhere from acquire to release, on a new and on a used connection."""
    async with upheld(redis_server, bystander, extra_connects=1000) as trial:

        async def in_order() -> None:
            assert_at_rest(trial.manager)
            assert await trial.redis.echo("next") == "next"

        async def on_a_new_connection() -> None:
            capacity = pool_of(trial.manager).leases
            capacity.close_all(capacity.capacity.weed(-1, trial.now))
            await operation(trial)

        warm = await cancelled_everywhere(moment, lambda: operation(trial), in_order)
        cold = await cancelled_everywhere(moment, on_a_new_connection, in_order)

        assert min(warm, cold) >= 1


@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancelled_in_the_queue(
    redis_server: RedisServer, bystander: RedisServer, moment: Moment
) -> None:
    """Row 28: the next waiter is served at once, wherever the first one is cancelled."""
    async with upheld(redis_server, bystander, pool={"max_connections": 1}) as trial:
        pool = trial.manager.connection_pool
        for n in range(1, 12):
            held = await pool.get_connection()
            doomed = Stepper(lease(trial), n, moment)
            first = asyncio.ensure_future(doomed.run())
            second = asyncio.ensure_future(lease(trial))
            for _ in range(5):
                await asyncio.sleep(0)
            await pool.release(held)

            async with asyncio.timeout(0.3):
                await second
            await asyncio.wait({first})
            assert_at_rest(trial.manager)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancelled_while_it_heals(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, moment: Moment
) -> None:
    """Row 27: a caller that waits out an outage may be cancelled at any await."""
    async with upheld(redis_server, bystander, fault_proxy, extra_connects=1000) as trial:

        async def through_an_outage() -> None:
            await fault_proxy.reset()
            await trial.redis.echo("mine")

        async def in_order() -> None:
            await until(lambda: trial.manager.is_ready)
            assert_at_rest(trial.manager)

        assert await cancelled_everywhere(moment, through_an_outage, in_order) >= 1


@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancelled_while_opening_and_closing(
    redis_server: RedisServer, mode: dict[str, Any], moment: Moment
) -> None:
    """Row 27: whether opening or closing is cancelled, no task and no socket is left."""
    tasks, descriptors = asyncio.all_tasks(), open_descriptors()

    async def a_life() -> None:
        async with RedisManager(url=redis_server.url, **QUICK, **mode) as manager:
            await manager.redis.echo("mine")

    async def nothing_left() -> None:
        await until(lambda: asyncio.all_tasks() <= tasks)
        await until(lambda: open_descriptors() <= descriptors)

    assert await cancelled_everywhere(moment, a_life, nothing_left) >= 3


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("seconds", [0.05, 60])
async def test_cancelled_while_draining(
    redis_server: RedisServer, mode: dict[str, Any], moment: Moment, seconds: float
) -> None:
    """Row 27: closing that is cancelled while it drains still closes."""
    tasks, descriptors = asyncio.all_tasks(), open_descriptors()
    for n in range(1, 8):
        manager = RedisManager(url=redis_server.url, **QUICK, **mode)
        await manager.open()
        working = asyncio.ensure_future(block(manager.redis, seconds))
        await until(lambda manager=manager: manager.stats().leased == 1)
        closing = asyncio.ensure_future(Stepper(manager.aclose(), n, moment).run())
        await asyncio.wait({closing})
        await asyncio.gather(working, return_exceptions=True)

        assert manager.stats().state.value == "closed"
        await until(lambda: asyncio.all_tasks() <= tasks)
        await until(lambda: open_descriptors() <= descriptors)


@pytest.mark.parametrize("points", [1000])
async def test_cancelled_in_a_crowd(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any], points: int
) -> None:
    """Row 27: many callers are cancelled at random awaits; `scripts/soak` does 100,000."""
    pool = {"max_connections": 5, "acquire_timeout": 5}
    limits: dict[str, Any] = {"timeout": {"command": 10, "connect": 1}, "pool": pool}
    async with upheld(redis_server, bystander, extra_connects=5000, **mode, **limits) as trial:
        await storm(trial, points, seed=27)
