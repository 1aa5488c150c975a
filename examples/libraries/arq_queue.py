from arq.connections import ArqRedis
from arq.worker import Worker

from redis_manager_fastapi import RedisManager


def make_queue(manager: RedisManager) -> ArqRedis:
    return ArqRedis(manager.redis.with_options(decode_responses=False).connection_pool)


async def greet(context: object, name: str) -> str:
    return f"hello {name}"


def work_beside(manager: RedisManager, queue: ArqRedis) -> None:
    @manager.background
    async def work() -> None:
        worker = Worker([greet], redis_pool=queue, handle_signals=False)
        await worker.main()
