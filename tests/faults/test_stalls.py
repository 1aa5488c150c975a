"""Row 57: thousands of calls that fail together do not hold up the event loop."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import (
    CommandTimeoutError,
    PoolClosedError,
    PoolState,
    RedisManager,
    RedisUnavailableError,
    ReplyLostError,
    TooManyWaitersError,
)
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.lag import Turns
from tests.kit.managers import until_state
from tests.kit.waiting import until

MANY = 10_000
LONGEST = 0.03
SHORT = 0.02
PATIENT: dict[str, Any] = {
    "timeout": {"command": 30},
    "pool": {"max_waiting": 2 * MANY},
    "health": {"interval": 30, "timeout": 30},
}

pytestmark = [pytest.mark.measures, pytest.mark.timeout(90), pytest.mark.usefixtures("pipelining")]


@pytest.fixture(autouse=True)
def _uncollected() -> Iterator[None]:
    """The collector's pauses grow with all that a process holds, such as the test run's own."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Callers:
    """Many callers at once, who count what they are told and keep no error."""

    def __init__(self, manager: RedisManager, *, write: bool, client: Any = None) -> None:
        self.told: Counter[type] = Counter()
        self.order: list[int] = []
        self._last = asyncio.Event()
        redis = client or manager.redis
        command: Any = redis.incr if write else redis.get
        self.tasks = [asyncio.create_task(self._ask(command, number)) for number in range(MANY)]

    async def _ask(self, command: Any, number: int) -> None:
        try:
            await command(f"key {number}")
        except (Exception, asyncio.CancelledError) as error:
            self.told[type(error)] += 1
        else:
            self.told[str] += 1
        self.order.append(number)
        if len(self.order) == MANY:
            self._last.set()

    async def all_told(self) -> Counter[type]:
        await self._last.wait()
        return self.told


async def in_flight(manager: RedisManager, server: RedisServer, *, write: bool) -> Callers:
    """Many callers whose commands are out, and not answered."""
    await manager.redis.ping()
    server.pause()
    callers = Callers(manager, write=write)
    await until(lambda: manager.stats().in_flight >= MANY)
    return callers


async def test_a_kill_with_writes_in_flight(redis_server: RedisServer) -> None:
    async with RedisManager(url=redis_server.url, **PATIENT) as manager:
        callers = await in_flight(manager, redis_server, write=True)
        await redis_server.kill()
        async with Turns() as turns:
            told = await callers.all_told()

        assert told == {ReplyLostError: MANY}
        assert callers.order == list(range(MANY))
        assert turns.longest < LONGEST


async def test_a_kill_with_reads_in_flight(redis_server: RedisServer) -> None:
    """They wait for grace, all of them."""
    async with RedisManager(url=redis_server.url, **PATIENT) as manager:
        callers = await in_flight(manager, redis_server, write=False)
        await redis_server.kill()
        async with Turns() as turns:
            told = await callers.all_told()

        assert told == {RedisUnavailableError: MANY}
        assert turns.longest < SHORT


async def test_a_kill_with_more_reads_in_flight_than_may_wait(redis_server: RedisServer) -> None:
    settings = PATIENT | {"pool": {"max_waiting": 1000}}
    async with RedisManager(url=redis_server.url, **settings) as manager:
        callers = await in_flight(manager, redis_server, write=False)
        await redis_server.kill()
        async with Turns() as turns:
            told = await callers.all_told()

        assert set(told) == {RedisUnavailableError, TooManyWaitersError}
        assert told.total() == MANY
        assert turns.longest < LONGEST


async def test_while_redis_is_known_to_be_down(redis_server: RedisServer) -> None:
    settings = PATIENT | {"outage": {"grace": 0}}
    async with RedisManager(url=redis_server.url, **settings) as manager:
        await redis_server.kill()
        await until_state(manager, PoolState.DOWN)
        callers = Callers(manager, write=False)
        await asyncio.sleep(0)  # that many tasks begin, whatever they then do
        async with Turns() as turns:
            told = await callers.all_told()

        assert told == {RedisUnavailableError: MANY}
        assert turns.longest < LONGEST


async def test_tails_of_many_streams_while_redis_is_known_to_be_down(
    redis_server: RedisServer,
) -> None:
    settings = PATIENT | {"outage": {"grace": 0}}
    told: Counter[type] = Counter()
    async with RedisManager(url=redis_server.url, **settings) as manager:

        async def follow(number: int) -> None:
            try:
                async with manager.tail(f"stream {number % 100}"):
                    pass
            except RedisUnavailableError as error:
                told[type(error)] += 1

        await redis_server.kill()
        await until_state(manager, PoolState.DOWN)
        tasks = [asyncio.create_task(follow(number)) for number in range(MANY)]
        await asyncio.sleep(0)
        async with Turns() as turns:
            await asyncio.wait(tasks)

        assert told == {RedisUnavailableError: MANY}
        assert turns.longest < LONGEST


@pytest.mark.parametrize("write", [False, True])
async def test_a_deadline_of_many(redis_server: RedisServer, write: bool) -> None:
    settings = PATIENT | {"timeout": {"command": 3}}
    async with RedisManager(url=redis_server.url, **settings) as manager:
        callers = await in_flight(manager, redis_server, write=write)
        async with Turns() as turns:
            told = await callers.all_told()
        redis_server.resume()

        assert told == {CommandTimeoutError: MANY}
        assert callers.order == list(range(MANY))
        assert turns.longest < LONGEST


@pytest.mark.parametrize("write", [False, True])
async def test_closing(redis_server: RedisServer, write: bool) -> None:
    settings = PATIENT | {"shutdown": {"drain": 0.1}}
    async with RedisManager(url=redis_server.url, **settings) as manager:
        callers = await in_flight(manager, redis_server, write=write)
        async with Turns() as turns:
            await manager.aclose()
            told = await callers.all_told()

        assert told == {ReplyLostError if write else PoolClosedError: MANY}
        assert turns.longest < LONGEST


async def test_the_same_error_for_many(redis_server: RedisServer) -> None:
    """The server's own answer, to one mistake: thousands of errors are read in one piece."""
    async with RedisManager(url=redis_server.url, **PATIENT) as manager:
        await manager.redis.mset({f"key {number}": "word" for number in range(MANY)})
        callers = await in_flight(manager, redis_server, write=True)
        redis_server.resume()
        async with Turns() as turns:
            told = await callers.all_told()

        assert told == {ResponseError: MANY}
        assert turns.longest < SHORT


async def test_the_same_error_for_many_on_a_cluster() -> None:
    deployment = ClusterDeployment(shards=3, replicas=0)
    async with deployment, RedisManager(url=deployment.url, **PATIENT) as manager:
        client = manager.cluster
        await client.mset_nonatomic({f"key {number}": "word" for number in range(MANY)})
        for server in deployment.primaries:
            server.pause()
        callers = Callers(manager, write=True, client=client)
        await until(lambda: manager.stats().in_flight >= MANY)
        for server in deployment.primaries:
            server.resume()
        async with Turns() as turns:
            told = await callers.all_told()

        assert told == {ResponseError: MANY}
        assert turns.longest < SHORT


async def test_a_kill_of_a_shard_with_commands_in_flight() -> None:
    deployment = ClusterDeployment(shards=3, replicas=0, full_coverage=False)
    settings = PATIENT | {"outage": {"grace": 0}}
    async with deployment, RedisManager(url=deployment.url, **settings) as manager:
        await manager.cluster.get("key")
        deployment.primaries[0].pause()
        own = deployment.slots_of(0)
        keys = (f"key {number}" for number in range(100 * MANY))
        mine = list(islice((key for key in keys if slot_of(key) in own), MANY))
        told: Counter[type] = Counter()

        async def ask(key: str) -> None:
            try:
                await manager.cluster.incr(key)
            except ReplyLostError as error:
                told[type(error)] += 1

        tasks = [asyncio.create_task(ask(key)) for key in mine]
        await until(lambda: manager.stats().in_flight >= MANY)
        await deployment.primaries[0].kill()
        async with Turns() as turns:
            await asyncio.wait(tasks)

        assert told == {ReplyLostError: MANY}
        assert turns.longest < LONGEST


async def test_a_restart_with_reads_in_flight(redis_server: RedisServer) -> None:
    """All of them go out again together, and are answered in one piece."""
    settings = PATIENT | {"outage": {"grace": 30}}
    async with RedisManager(url=redis_server.url, **settings) as manager:
        callers = await in_flight(manager, redis_server, write=False)
        async with Turns() as turns:
            await redis_server.kill()
            await until_state(manager, PoolState.DOWN)
            await redis_server.start()
            told = await callers.all_told()

        assert told == {str: MANY}
        assert turns.longest < SHORT


async def test_nobody_is_left_unanswered_when_it_closes_meanwhile(
    redis_server: RedisServer,
) -> None:
    """Those who are still to be told of a kill are told before it is closed."""
    settings = PATIENT | {"shutdown": {"drain": 0.1}}
    async with RedisManager(url=redis_server.url, **settings) as manager:
        callers = await in_flight(manager, redis_server, write=True)
        await redis_server.kill()
        await until(lambda: callers.told.total() > 0)
        await manager.aclose()

        # The last ones go on in the turns that their tasks need.
        assert callers.told.total() > MANY - 200
        assert await callers.all_told() == {ReplyLostError: MANY}


async def test_one_that_is_cancelled_before_it_is_told(redis_server: RedisServer) -> None:
    async with RedisManager(url=redis_server.url, **PATIENT) as manager:
        callers = await in_flight(manager, redis_server, write=True)
        await redis_server.kill()
        await until(lambda: callers.told.total() > 0)
        last = callers.tasks[-1]
        last.cancel()
        began = time.monotonic()
        await asyncio.wait([last])

        assert len(callers.order) < MANY
        assert MANY - 1 in callers.order
        assert time.monotonic() - began < 0.1
        assert await callers.all_told() == {ReplyLostError: MANY - 1, asyncio.CancelledError: 1}


@pytest.mark.parametrize("write", [False, True])
async def test_an_error_leaves_nothing_to_collect(redis_server: RedisServer, write: bool) -> None:
    """A cycle for each error, and the collector would stop the loop after all."""
    settings = PATIENT | {"timeout": {"command": 3}, "outage": {"grace": 0}}
    async with RedisManager(url=redis_server.url, **settings) as manager:
        for fail in (None, redis_server.kill):
            callers = await in_flight(manager, redis_server, write=write)
            gc.collect()
            if fail is not None:
                await fail()
            await callers.all_told()
            redis_server.resume() if fail is None else None

            assert gc.collect() < MANY
