"""Job queues: a job is enqueued, run by a worker, and its result read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arq.connections import RedisSettings, create_pool
from arq.worker import Worker as ArqWorker
from saq import Worker as SaqWorker
from saq.queue.redis import RedisQueue
from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from examples.libraries import arq_queue, saq_queue, taskiq_broker
from tests.interop.sides import PATIENCE, Job, Side, running
from tests.kit.waiting import eventually

POLL = 0.05


@asynccontextmanager
async def saq(side: Side) -> AsyncIterator[Job]:
    if side.manager is not None:
        queue = saq_queue.make_queue(side.manager)
        saq_queue.work_beside(side.manager, queue)
        worker = running()
    else:
        queue = RedisQueue.from_url(side.url)
        plain = SaqWorker(queue, functions=[saq_queue.greet], concurrency=4)
        worker = running(plain.start())

    async def job(number: int) -> None:
        assert await queue.apply("greet", name=str(number)) == f"hello {number}"

    async with worker:
        # Its first sweep may abort a job that begins at that moment.
        await eventually(lambda: queue.redis.exists("saq:default:sweep"))
        yield job
    await queue.disconnect()


@asynccontextmanager
async def arq(side: Side) -> AsyncIterator[Job]:
    if side.manager is not None:
        queue = arq_queue.make_queue(side.manager)
        arq_queue.work_beside(side.manager, queue)
        worker = running()
    else:
        queue = await create_pool(RedisSettings.from_dsn(side.url))
        plain = ArqWorker([arq_queue.greet], redis_pool=queue, handle_signals=False)
        worker = running(plain.main())

    async def job(number: int) -> None:
        enqueued = await queue.enqueue_job("greet", str(number))
        assert enqueued is not None
        # Its own timeout: plain redis-py may swallow the cancellation by another one.
        assert await enqueued.result(timeout=0.9 * PATIENCE, poll_delay=POLL) == f"hello {number}"

    async with worker:
        yield job
    await queue.aclose()


@asynccontextmanager
async def taskiq(side: Side) -> AsyncIterator[Job]:
    if side.manager is not None:
        broker = taskiq_broker.make_broker(side.manager)
        taskiq_broker.work_beside(side.manager, broker)
        worker = running()
    else:
        results = RedisAsyncResultBackend(side.url)
        broker = RedisStreamBroker(side.url, consumer_id="0").with_result_backend(results)
        worker = running(run_receiver_task(broker))

    @broker.task(task_name="greet")
    async def greet(name: str) -> str:
        return f"hello {name}"

    async def job(number: int) -> None:
        task = await greet.kiq(str(number))
        result = await task.wait_result(check_interval=POLL)
        assert result.return_value == f"hello {number}"

    await broker.startup()
    async with worker:
        yield job
    await broker.shutdown()
