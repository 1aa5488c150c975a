from typing import Any

from faststream.redis import RedisBroker
from faststream.redis.configs import RedisConnectionState

from redis_manager_fastapi import RedisManager


class ManagedConnection(RedisConnectionState):
    def __init__(self, manager: RedisManager) -> None:
        super().__init__()
        self.manager = manager

    async def connect(self) -> Any:
        self._client = self.manager.redis.with_options(decode_responses=False)
        self._connected = True
        return self._client


class ManagedBroker(RedisBroker):
    def __init__(self, manager: RedisManager, **options: Any) -> None:
        self.manager = manager
        super().__init__(**options)

    def _make_connection_state(self, *_: Any) -> ManagedConnection:
        return ManagedConnection(self.manager)
