from typing import Any

from cashews import Cache

from redis_manager_fastapi import RedisManager


def make_cache(manager: RedisManager) -> Cache:
    class ManagedPool:
        @staticmethod
        def from_url(*_: Any, **__: Any) -> Any:
            return manager.redis.with_options(decode_responses=False).connection_pool

    cache = Cache()
    cache.setup("redis://", connection_pool_class=ManagedPool, suppress=False)
    return cache
