"""Before the start, after the end, elsewhere, and an end that Redis does not help with."""

import asyncio
import os
import pickle
import threading
import time
from typing import Any

import pytest

from redis_manager_fastapi import (
    PoolClosedError,
    RedisManager,
    RedisManagerError,
    RedisNotStartedError,
    RedisUnavailableError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.invariants import QUICK, upheld
from tests.kit.managers import open_descriptors
from tests.kit.trial import SLACK
from tests.kit.waiting import until


async def connections(server: RedisServer) -> int:
    """How many connections the server has accepted, without this look at it."""
    stats = await server.command("INFO", "stats")
    return int(stats["total_connections_received"]) - 1


async def a_batch(manager: RedisManager) -> list[Any]:
    """Execute a pipeline of one command."""
    pipeline = manager.redis.pipeline()
    pipeline.get("key")
    return await pipeline.execute()


# Rows 1 and 2.


@pytest.mark.measures
@pytest.mark.parametrize("hung", [False, True], ids=["1-down", "2-hung"])
@pytest.mark.parametrize("policy", ["fail", "wait"])
async def test_start_without_redis(policy: str, hung: bool) -> None:
    """Rows 1, 2: the start fails with the cause, within T_connect or after its own limit."""
    async with RedisServer() as server:
        server.pause() if hung else await server.kill()
        startup: Any = {"policy": policy, "timeout": 0.7}
        tasks, descriptors = asyncio.all_tasks(), open_descriptors()
        manager = RedisManager(url=server.url, **QUICK, startup=startup)
        began = time.monotonic()
        reason = r"no connection within 0\.3 s" if hung else "connection refused"
        with pytest.raises(RedisUnavailableError, match=reason):
            await manager.open()

        bound = 0.7 if policy == "wait" else 0.3
        assert time.monotonic() - began <= bound + 2 * SLACK
        await until(lambda: asyncio.all_tasks() <= tasks)
        assert open_descriptors() <= descriptors


@pytest.mark.parametrize("hung", [False, True], ids=["1-down", "2-hung"])
async def test_degraded_start(
    redis_server: RedisServer,
    bystander: RedisServer,
    fault_proxy: FaultProxy,
    mode: dict[str, Any],
    hung: bool,
) -> None:
    """Rows 1, 2: the app starts, commands fail, and they succeed once Redis is there."""
    await (fault_proxy.black_hole() if hung else fault_proxy.refuse())
    startup = {"policy": "degraded"}
    async with upheld(redis_server, bystander, fault_proxy, **mode, startup=startup) as trial:
        assert not trial.manager.is_ready
        assert type(await trial.read()) is RedisUnavailableError
        await fault_proxy.pass_through()

        await trial.healed(trial.now)


async def test_start_that_waits_for_redis() -> None:
    """Row 1: with the policy "wait", Redis may come after the app."""
    async with RedisServer() as server:
        await server.kill()
        opening = asyncio.create_task(_open_and_ask(server.url))
        await asyncio.sleep(0.3)
        await server.start()

        assert await opening == "here"


async def _open_and_ask(url: str) -> Any:
    async with RedisManager(url=url, **QUICK) as manager:
        return await manager.redis.echo("here")


# Row 31.


@pytest.mark.measures
async def test_shutdown_while_hung(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 31: waiters fail at once, closing keeps to the drain limit, and no socket is left."""
    tasks, descriptors = asyncio.all_tasks(), open_descriptors()
    manager = RedisManager(
        url=redis_server.url, **{**QUICK, **mode, "pool": {"max_connections": 1}}
    )
    await manager.open()
    held = await manager.connection_pool.get_connection()
    redis_server.pause()
    sent = [asyncio.ensure_future(manager.redis.incr("counter")) for _ in range(3)]
    waiting = [asyncio.ensure_future(manager.redis.blpop(["nothing"], 1)) for _ in range(3)]
    await asyncio.sleep(0.05)

    began = time.monotonic()
    closing = asyncio.create_task(manager.aclose())
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert time.monotonic() - began <= SLACK
    await closing
    took = time.monotonic() - began
    outcomes = await asyncio.gather(*sent, return_exceptions=True)

    assert {type(error) for error in errors} == {PoolClosedError}
    assert took <= manager.settings.shutdown.drain + SLACK
    assert all(isinstance(outcome, RedisManagerError) for outcome in outcomes)
    assert not held.is_connected
    await until(lambda: asyncio.all_tasks() <= tasks)
    await until(lambda: open_descriptors() <= descriptors)


# Row 32.


async def test_use_before_the_start(redis_server: RedisServer) -> None:
    """Row 32: one clear error, and no connect."""
    before = await connections(redis_server)
    manager = RedisManager(url=redis_server.url)

    with pytest.raises(RedisNotStartedError, match="not started"):
        await manager.redis.get("key")
    assert await connections(redis_server) == before + 1


async def test_use_after_the_end(redis_server: RedisServer, mode: dict[str, Any]) -> None:
    """Row 32: one clear error for every kind of call, and no connect."""
    manager = RedisManager(url=redis_server.url, **mode)
    async with manager:
        pass
    before = await connections(redis_server)

    for _ in range(5):
        with pytest.raises(PoolClosedError, match="closed"):
            await manager.redis.get("key")
        with pytest.raises(PoolClosedError, match="closed"):
            await a_batch(manager)
        with pytest.raises(PoolClosedError, match="closed"):
            await manager.redis.blpop(["key"], timeout=1)
    assert await connections(redis_server) == before + 1


async def test_use_on_another_loop(redis_server: RedisServer, mode: dict[str, Any]) -> None:
    """Row 32: one clear error, no connect, and callers on the right loop continue."""
    async with RedisManager(url=redis_server.url, **mode) as manager:
        before = await connections(redis_server)
        errors: list[BaseException | None] = []

        async def ask() -> None:
            calls = (
                lambda: manager.redis.get("key"),
                lambda: a_batch(manager),
                lambda: manager.redis.blpop(["key"], timeout=1),
            )
            for call in calls:
                try:
                    await call()
                except BaseException as error:
                    errors.append(error)

        thread = threading.Thread(target=lambda: asyncio.run(ask()))
        thread.start()
        await asyncio.to_thread(thread.join)

        assert [type(error) for error in errors] == [RedisNotStartedError] * 3
        assert await connections(redis_server) == before + 1
        assert await manager.redis.echo("still here") == "still here"


async def test_use_on_another_loop_of_the_thread(
    redis_server: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 32: a manager that an earlier loop left open does not work on the thread's next loop."""

    async def refused(manager: RedisManager) -> None:
        for call in (manager.redis.get("key"), a_batch(manager), manager.redis.blpop("key")):
            with pytest.raises(RedisNotStartedError, match="another event loop"):
                await asyncio.wait_for(call, 2)

    async def at_home(manager: RedisManager) -> Any:
        return await manager.redis.echo("still here")

    def use() -> None:
        with asyncio.Runner() as first, asyncio.Runner() as second:
            manager = RedisManager(url=redis_server.url, **mode)
            first.run(manager.open())
            try:
                second.run(refused(manager))
                assert first.run(at_home(manager)) == "still here"
            finally:
                first.run(manager.aclose())

    await asyncio.to_thread(use)


async def test_use_after_a_fork(redis_server: RedisServer, mode: dict[str, Any]) -> None:
    """Row 32: the child gets one clear error and touches none of the parent's sockets."""
    async with RedisManager(url=redis_server.url, **mode) as manager:
        before = await connections(redis_server)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, pickle.dumps(_error_elsewhere(manager)))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            kind = pickle.loads(await asyncio.to_thread(pipe.read))  # noqa: S301 (our own child's)
        await asyncio.to_thread(os.waitpid, child, 0)

        assert kind is RedisNotStartedError
        assert await connections(redis_server) == before + 1
        assert await manager.redis.echo("still here") == "still here"


def _error_elsewhere(manager: RedisManager) -> type[BaseException] | None:
    try:
        asyncio.run(asyncio.wait_for(manager.redis.execute_command("GET", "key"), 1))
    except BaseException as error:
        return type(error)
    return None


async def test_open_again_after_the_end(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, mode: dict[str, Any]
) -> None:
    async with upheld(redis_server, bystander, fault_proxy, **mode) as trial:
        for _ in range(3):
            await trial.manager.aclose()
            await trial.manager.open()
            assert await trial.read() is None
