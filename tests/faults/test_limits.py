"""Row 26 and I9: more callers than connections, and who is woken for what."""

import asyncio
from typing import Any

from redis_manager_fastapi import PoolTimeoutError, TooManyWaitersError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.testing import RedisServer
from tests.kit.invariants import upheld
from tests.kit.managers import block
from tests.kit.stepping import Stepper
from tests.kit.trial import SLACK
from tests.kit.waiting import until


async def test_exhausted(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 26: as many as the pool holds are served, waiters fail at T_acq, all others at once."""
    pool = {"max_connections": 2, "max_waiting": 20, "acquire_timeout": 0.3}
    async with upheld(redis_server, bystander, **mode, pool=pool) as trial:
        held = [await trial.manager.connection_pool.get_connection() for _ in range(2)]
        began = trial.now

        async def ask() -> tuple[type[BaseException] | None, float]:
            try:
                await block(trial.redis, 0.01)
            except (PoolTimeoutError, TooManyWaitersError) as error:
                return type(error), trial.now
            return None, trial.now

        outcomes = await asyncio.gather(*(ask() for _ in range(50)))
        for connection in held:
            await trial.manager.connection_pool.release(connection)

        late = [at for kind, at in outcomes if kind is PoolTimeoutError]
        refused = [at for kind, at in outcomes if kind is TooManyWaitersError]
        assert (len(late), len(refused)) == (20, 30)
        assert await trial.net(began, max(refused)) <= SLACK
        assert await trial.net(began, max(late)) <= 0.3 + SLACK
        assert min(late) - began >= 0.3


async def test_full_link(redis_server: RedisServer, bystander: RedisServer) -> None:
    """Row 26: a shared connection with no room makes callers wait within their own deadline."""
    pipelining = {"enabled": True, "max_in_flight": 5}
    async with upheld(redis_server, bystander, pipelining=pipelining) as trial:
        redis_server.pause()
        calls = [asyncio.create_task(trial.read()) for _ in range(50)]
        await until(lambda: trial.manager.stats().waiting == 45)
        redis_server.resume()

        assert await asyncio.gather(*calls) == [None] * 50


async def test_one_hand_over_wakes_one_waiter(
    redis_server: RedisServer, bystander: RedisServer
) -> None:
    """I9: with twenty in the queue, each connection that comes back resumes one of them."""
    async with upheld(redis_server, bystander, pool={"max_connections": 1}) as trial:
        pool = trial.manager.connection_pool
        held: DedicatedConnection = await pool.get_connection()
        steppers = [Stepper(pool.get_connection()) for _ in range(20)]
        waiters = [asyncio.ensure_future(stepper.run()) for stepper in steppers]
        await until(lambda: trial.manager.stats().waiting == 20)
        resting = [stepper.steps for stepper in steppers]

        for n, waiter in enumerate(waiters):
            await pool.release(held)
            held = await waiter
            woken = [s.steps > r for s, r in zip(steppers, resting, strict=True)]
            assert woken[n + 1 :] == [False] * (19 - n)
        await pool.release(held)
