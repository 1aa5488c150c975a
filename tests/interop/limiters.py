"""Rate limiters: so many are let through, and no more."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from limits import parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from pyrate_limiter import Limiter, Rate, RedisBucket

from examples.libraries import limits_storage, pyrate_bucket
from tests.interop.sides import Job, Side

TWICE = parse("2/minute")
MANY = Rate(1_000_000, 60_000)


@asynccontextmanager
async def limits(side: Side) -> AsyncIterator[Job]:
    plain = redis.asyncio.Redis.from_url(side.url)
    if side.manager is not None:
        limiter = limits_storage.make_limiter(side.manager)
    else:
        pool = plain.connection_pool
        storage = RedisStorage("async+redis://", implementation="redispy", connection_pool=pool)
        limiter = MovingWindowRateLimiter(storage)

    async def job(number: int) -> None:
        let_through = [await limiter.hit(TWICE, str(number)) for _ in range(3)]
        assert let_through == [True, True, False]

    yield job
    await plain.aclose()


@asynccontextmanager
async def pyrate_limiter(side: Side) -> AsyncIterator[Job]:
    plain = redis.asyncio.Redis.from_url(side.url)
    if side.manager is not None:
        limiter = await pyrate_bucket.make_limiter(side.manager, MANY)
    else:
        limiter = Limiter(await RedisBucket.init([MANY], plain, "bucket"))

    async def job(number: int) -> None:
        assert await limiter.try_acquire_async(str(number), blocking=False)

    yield job
    limiter.close()
    await plain.aclose()
