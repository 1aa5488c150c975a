"""The task that heals, on a real server."""

import asyncio
import logging
import re
import sys
import time
from collections import Counter
from typing import Any

import pytest

from redis_manager_fastapi import (
    Event,
    PoolState,
    ProbeFailed,
    RedisManager,
    RedisUnavailableError,
    StateChanged,
)
from redis_manager_fastapi.testing.proxy import FaultProxy
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.managers import opened, pool_of, until_state
from tests.kit.waiting import until

SHARED = {"enabled": True}


def states(events: list[Event]) -> list[str]:
    return [event.state for event in events if isinstance(event, StateChanged)]


async def test_one_failed_probe_does_not_end_the_supervisor(redis_server: RedisServer) -> None:
    """After a failed probe comes a good one: READY again, and who waited resumes."""
    events: list[Event] = []
    async with opened(redis_server.url, listeners=[events.append]) as manager:
        await redis_server.kill()
        await until(lambda: any(isinstance(event, ProbeFailed) for event in events))
        waiting: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.incr("counter"))
        await redis_server.start()

        assert await waiting == 1
        assert states(events) == ["starting", "ready", "suspect", "down", "ready"]

        await redis_server.restart(crash=True)
        assert await manager.redis.incr("counter") == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brought eager tasks")
async def test_a_loop_whose_tasks_begin_at_once_is_healed_too(redis_server: RedisServer) -> None:
    eager: Any = getattr(asyncio, "eager_task_factory", None)
    asyncio.get_running_loop().set_task_factory(eager)
    try:
        async with opened(redis_server.url) as manager:
            await redis_server.kill()
            await until(lambda: not manager.is_ready)
            await redis_server.start()
            assert await manager.redis.incr("key") == 1
    finally:
        asyncio.get_running_loop().set_task_factory(None)


async def test_a_fault_of_its_own_is_logged_once_and_survived(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        """A topology that fails in a way nobody foresaw."""

        times = 0

        async def locate(self) -> Any:
            self.times += 1
            if self.times < 4:
                raise SystemError("a bug")
            return await real.locate()

        async def confirm(self, connection: Any) -> None:
            await real.confirm(connection)

    async with opened(redis_server.url, health={"backoff_cap": 0.05}) as manager:
        dialer: Any = pool_of(manager).dialer
        real, dialer._topology = dialer._topology, Broken()
        await redis_server.restart(crash=True)

        assert await manager.redis.set("key", "value")
        assert manager.stats().state is PoolState.READY


async def test_an_exception_inside_the_supervisor_is_logged_and_the_loop_goes_on(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(redis_server.url, health={"backoff_cap": 0.05}) as manager:
        deployment: Any = manager._deployment
        _, supervisor, _ = deployment._running
        heal, failures = supervisor._heal, iter(range(3))

        async def fail_three_times() -> None:
            if next(failures, None) is not None:
                raise ZeroDivisionError
            await heal()

        supervisor._heal = fail_three_times
        with caplog.at_level(logging.ERROR):
            await redis_server.restart(crash=True)
            assert await manager.redis.set("key", "value")

    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.exc_info is not None for record in errors] == [True]


async def test_a_failing_listener_harms_nobody(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    def listener(event: Event) -> None:
        raise KeyError("listener")

    async with opened(redis_server.url, listeners=[listener]) as manager:
        await redis_server.restart(crash=True)
        assert await manager.redis.set("key", "value")

    assert "a listener failed on StateChanged" in caplog.text


async def test_heartbeats_are_sent_under_traffic_as_in_silence(redis_server: RedisServer) -> None:
    async with (
        opened(redis_server.url, health={"interval": 0.1}, pipelining=SHARED) as manager,
        redis_server.client() as admin,
    ):
        await admin.config_resetstat()
        ends = time.monotonic() + 0.6
        while time.monotonic() < ends:
            await manager.redis.get("key")
            await asyncio.sleep(0.01)
        busy = (await admin.info("commandstats"))["cmdstat_ping"]["calls"]
        await admin.config_resetstat()
        await asyncio.sleep(0.6)
        quiet = (await admin.info("commandstats"))["cmdstat_ping"]["calls"]

    assert 1 <= busy <= 7
    assert 1 <= quiet <= 7


class CoarseLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves in steps, and which counts how often each is read."""

    step = 0.1

    def __init__(self) -> None:
        self.reads: Counter[float] = Counter()
        self.made = time.monotonic()
        super().__init__()

    def time(self) -> float:
        now = 1000 + (time.monotonic() - self.made) // self.step * self.step
        self.reads[now] += 1
        return now


def test_a_clock_that_moves_in_steps_does_not_make_the_loop_spin(redis_url: str) -> None:
    """A heartbeat that is due when the timer fires is due when it is sent, whatever is rounded."""

    async def idle() -> None:
        async with opened(redis_url, health={"interval": 0.2}):
            await asyncio.sleep(2)

    loop = CoarseLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(idle())

    assert max(loop.reads.values()) < 200


@pytest.mark.measures
async def test_silence_is_known_within_interval_and_timeout(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as manager:
        await manager.redis.ping()
        started = time.monotonic()
        redis_server.pause()
        await until(lambda: not manager.is_ready)
        noticed = time.monotonic() - started
        redis_server.resume()
        await until(lambda: manager.is_ready)

    assert noticed <= 1.0 + 0.1  # health.interval + health.timeout, and a loaded machine's slack


async def test_a_late_reply_clears_the_suspicion(redis_server: RedisServer) -> None:
    """The server was slow, not gone: the same connections serve on."""
    settings = {"health": {"interval": 0.1, "timeout": 0.1}}
    async with opened(redis_server.url, **settings) as manager:
        redis_server.pause()
        await until_state(manager, PoolState.SUSPECT)
        waiting: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.incr("counter"))
        await asyncio.sleep(0)
        redis_server.resume()

        assert await waiting == 1
        await until_state(manager, PoolState.READY)
        assert manager.stats().generation == 1


@pytest.mark.parametrize("lost", [0, 1])
async def test_a_connection_lost_in_a_silence_does_not_serve_after_it(
    redis_server: RedisServer, lost: int
) -> None:
    """Of two shared connections one breaks while the server hangs: the other one serves on."""
    pipelining = {**SHARED, "connections": 2}
    async with opened(redis_server.url, pipelining=pipelining) as manager:
        pool = pool_of(manager)
        both = pool.links
        redis_server.pause()
        await until(lambda: not pool.links)
        both[lost].eof_received()
        redis_server.resume()
        await until(lambda: pool.links)

        assert not any(link.lost for link in pool.links)
        assert await manager.redis.incr("counter") == 1
        await until(lambda: len(pool.links) == 2)
        assert manager.stats().generation == 2


async def test_a_lost_flow_to_a_healthy_server_is_replaced(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Old connections are swallowed, new ones work: a new generation, and the reads survive."""
    health = {"interval": 0.1, "timeout": 0.1}
    async with opened(fault_proxy.url, health=health, pipelining=SHARED) as manager:
        await fault_proxy.black_hole(new=False)

        assert await manager.redis.get("key") is None
        assert manager.stats().generation == 2


async def test_a_stalled_loop_is_not_an_outage(redis_server: RedisServer) -> None:
    events: list[Event] = []
    async with opened(redis_server.url, listeners=[events.append]) as manager:
        for _ in range(3):
            time.sleep(1.2)  # noqa: ASYNC251 (the stall is the fault)
            assert await manager.redis.ping()

        assert manager.stats().generation == 1
    assert "down" not in states(events)


async def test_only_one_probe_is_in_flight_however_many_wait(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    async with opened(fault_proxy.url, pool={"max_waiting": 500}, pipelining=SHARED) as manager:
        await fault_proxy.refuse(cut=True)
        callers: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(manager.redis.get("key")) for _ in range(400)
        ]
        await until_state(manager, PoolState.DOWN)
        await fault_proxy.pass_through()
        assert await asyncio.gather(*callers) == [None] * 400
        stats = await fault_proxy.stats()

    assert stats.accepted == 2  # the first generation and the second


async def test_startup_fails_with_the_cause_when_told_so(redis_server: RedisServer) -> None:
    await redis_server.kill()
    manager = RedisManager(url=redis_server.url, startup={"policy": "fail"})

    with pytest.raises(RedisUnavailableError, match="connection refused"):
        await manager.open()
    assert len(asyncio.all_tasks()) == 1


async def test_startup_waits_up_to_its_limit(redis_server: RedisServer) -> None:
    await redis_server.kill()
    manager = RedisManager(url=redis_server.url, startup={"timeout": 0.3})

    with pytest.raises(RedisUnavailableError, match=r"waited 0\.3 s"):
        await manager.open()


async def test_startup_waits_for_a_server_that_comes_late(redis_server: RedisServer) -> None:
    await redis_server.kill()
    manager = RedisManager(url=redis_server.url)
    opening = asyncio.create_task(manager.open())
    await asyncio.sleep(0.1)
    await redis_server.start()

    await opening
    assert manager.is_ready
    await manager.aclose()


async def test_degraded_startup_serves_at_once_and_heals(redis_server: RedisServer) -> None:
    await redis_server.kill()
    degraded = RedisManager(redis_server.url, startup={"policy": "degraded"}, outage={"grace": 0})
    async with degraded as manager:
        assert not manager.is_ready
        with pytest.raises(RedisUnavailableError):
            await manager.redis.get("key")

        await redis_server.start()
        await manager.wait_ready(timeout=1.5)
        assert await manager.redis.get("key") is None


async def test_a_manager_opens_again_after_it_was_closed(redis_url: str) -> None:
    manager = RedisManager(url=redis_url)
    for _ in range(3):
        async with manager:
            assert await manager.redis.set("key", "value")


async def test_down_is_logged_once_and_recovery_with_its_length(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="redis_manager_fastapi"):
        async with opened(redis_server.url) as manager:
            await redis_server.kill()
            await until_state(manager, PoolState.DOWN)
            await asyncio.sleep(1)
            await redis_server.start()
            await until_state(manager, PoolState.READY)

    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert [vars(r)["event"] for r in warnings] == ["redis_down", "redis_recovered"]
    assert warnings[0].getMessage() == "redis 'default' is down: connection refused"
    assert re.match(r"redis 'default' serves again after 1\.\d\d s", warnings[1].getMessage())
