from typing import Any

from channels_redis.core import RedisChannelLayer

from redis_manager_fastapi import RedisManager


class ManagedChannelLayer(RedisChannelLayer):
    def __init__(self, manager: RedisManager, **options: Any) -> None:
        super().__init__(**options)
        self.redis = manager.redis.with_options(decode_responses=False)

    def create_pool(self, index: int) -> Any:
        return self.redis.connection_pool
