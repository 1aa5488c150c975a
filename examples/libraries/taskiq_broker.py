import asyncio

from taskiq import AsyncBroker
from taskiq.receiver import Receiver
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from redis_manager_fastapi import RedisManager


def make_broker(manager: RedisManager) -> AsyncBroker:
    pool = manager.redis.with_options(decode_responses=False).connection_pool
    results = RedisAsyncResultBackend("redis://")
    results.redis_pool = pool
    broker = RedisStreamBroker("redis://", consumer_id="0").with_result_backend(results)
    broker.connection_pool = pool
    return broker


def work_beside(manager: RedisManager, broker: AsyncBroker) -> None:
    @manager.background
    async def work() -> None:
        receiver = Receiver(broker, max_async_tasks=10)
        await receiver.listen(asyncio.Event())
