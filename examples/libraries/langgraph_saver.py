from langgraph.checkpoint.redis.aio import AsyncRedisSaver

from redis_manager_fastapi import RedisManager


async def make_saver(manager: RedisManager) -> AsyncRedisSaver:
    saver = AsyncRedisSaver(redis_client=manager.redis.with_options(decode_responses=False))
    await saver.asetup()
    return saver
