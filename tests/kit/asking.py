"""A caller that asks again at once, for ever, whatever it is told: the loop turns under it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from redis_manager_fastapi import RedisManagerError
from tests.kit.waiting import until

# What a refused loop may ask in half a second: one task 64 times without a pause, then with
# pauses that double up to 10 ms; those of ever new tasks are 1 ms, and each asks twice.
WATCHED = 0.5
MOST = 160
MOST_OF_NEW_TASKS = 1200

# More than any loop asks that lets others run.
_FROZEN = 20_000

Call = Callable[[Any], Awaitable[Any]]


@asynccontextmanager
async def asking(call: Call, client: Any) -> AsyncIterator[Counter[type]]:
    """Ask again at once, for ever; count the errors by type."""
    errors: Counter[type] = Counter()

    async def ask() -> None:
        while True:
            if errors.total() > _FROZEN:
                raise AssertionError(f"the loop does not turn: {errors}")
            try:
                await call(client)
            except (RedisError, RedisManagerError, RedisClusterException, RuntimeError) as error:
                errors[type(error)] += 1

    task = asyncio.create_task(ask())
    try:
        yield errors
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def assert_loop_turns(
    call: Call, client: Any, error: type[Exception], *, most: float = MOST
) -> None:
    """The caller is refused, others run meanwhile, and it costs them little."""
    async with asking(call, client) as errors:
        await until(lambda: errors.total() > 0)
        asked = await asked_meanwhile(errors)

    assert set(errors) == {error}
    assert 0 < asked < most


async def asked_meanwhile(errors: Counter[type]) -> float:
    """How often the caller asks in WATCHED seconds, also if the loop is late and sleeps longer."""
    loop = asyncio.get_running_loop()
    began, before = loop.time(), errors.total()
    await asyncio.sleep(WATCHED)
    return (errors.total() - before) * WATCHED / (loop.time() - began)
