from saq import Queue, Worker
from saq.queue.redis import RedisQueue

from redis_manager_fastapi import RedisManager


def make_queue(manager: RedisManager) -> Queue:
    return RedisQueue(manager.redis.with_options(decode_responses=False))


async def greet(context: object, *, name: str) -> str:
    return f"hello {name}"


class WorkerBesideApp(Worker):
    SIGNALS = ()  # they are for the app's server


def work_beside(manager: RedisManager, queue: Queue) -> None:
    @manager.background
    async def work() -> None:
        worker = WorkerBesideApp(queue, functions=[greet], concurrency=4)
        await worker.start()
