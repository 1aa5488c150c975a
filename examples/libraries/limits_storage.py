from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

from redis_manager_fastapi import RedisManager


def make_limiter(manager: RedisManager) -> MovingWindowRateLimiter:
    pool = manager.connection_pool
    storage = RedisStorage("async+redis://", implementation="redispy", connection_pool=pool)
    return MovingWindowRateLimiter(storage)
