from collections.abc import AsyncIterator
from typing import Any

from socketio.async_pubsub_manager import AsyncPubSubManager

from redis_manager_fastapi import Message, RedisManager


class ManagedPubSub(AsyncPubSubManager):
    name = "redis-manager"

    def __init__(self, manager: RedisManager, **options: Any) -> None:
        super().__init__(**options)
        self.redis_manager = manager

    async def _publish(self, data: Any) -> None:
        await self.redis_manager.redis.publish(self.channel, self.json.dumps(data))

    async def _listen(self) -> AsyncIterator[str]:
        async with self.redis_manager.subscribe(self.channel) as messages:
            async for message in messages:
                if isinstance(message, Message):  # and not a `Gap`
                    yield message.data
