"""A peer that says nothing: stopped, behind a black hole, or deaf to a large write."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from redis_manager_fastapi import (
    CommandTimeoutError,
    PoolState,
    PoolTimeoutError,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.invariants import upheld
from tests.kit.managers import open_descriptors, until_state
from tests.kit.trial import SLACK
from tests.kit.waiting import until

DEFAULTS: dict[str, Any] = {
    "health": {},
    "outage": {},
    "timeout": {},
    "pool": {},
    "shutdown": {"drain": 0.5},
}

Silence = Callable[[RedisServer, FaultProxy], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def stopped(server: RedisServer, proxy: FaultProxy) -> AsyncIterator[None]:
    """Row 6: SIGSTOP, then SIGCONT."""
    server.pause()
    yield
    server.resume()


@asynccontextmanager
async def black_hole(server: RedisServer, proxy: FaultProxy) -> AsyncIterator[None]:
    """Row 7: nothing passes in either direction, on old and new connections."""
    await proxy.black_hole()
    yield
    await proxy.pass_through()


@asynccontextmanager
async def replies_lost(server: RedisServer, proxy: FaultProxy) -> AsyncIterator[None]:
    """Row 8: what is written arrives and is executed; no reply comes back."""
    await proxy.black_hole(to_server=False)
    yield
    await proxy.pass_through()


SILENCES = pytest.mark.parametrize(
    "silence", [stopped, black_hole, replies_lost], ids=["6-stopped", "7-hole", "8-one-way"]
)


@pytest.mark.measures
@SILENCES
async def test_silence_under_load(
    redis_server: RedisServer,
    bystander: RedisServer,
    fault_proxy: FaultProxy,
    mode: dict[str, Any],
    silence: Silence,
) -> None:
    """Rows 6, 7, 8: noticed in time, then calls fail at once; no late reply; recovery within R."""
    async with upheld(redis_server, bystander, fault_proxy, **mode) as trial:
        async with trial.traffic(100):
            await asyncio.sleep(0.3)
            async with silence(redis_server, fault_proxy):
                began = trial.now
                await trial.detected(began)
                await until_state(trial.manager, PoolState.DOWN)
                await asyncio.sleep(began + trial.manager.settings.outage.grace - trial.now)
                known = trial.now
                await asyncio.sleep(0.4)
                refused = [c for c in trial.calls if c.start > known]
            await trial.healed()
            healed = trial.now
            await asyncio.sleep(0.2)

        assert {type(call.error) for call in refused} == {RedisUnavailableError}
        assert not any(call.error and call.error.maybe_executed for call in refused)
        assert await trial.slowest(refused) <= SLACK
        assert trial.errors(since=healed) == {}
        sent_or_queued = {"ReplyLostError", "CommandTimeoutError", "PoolTimeoutError"}
        assert set(trial.errors()) <= {"RedisUnavailableError", *sent_or_queued}


@pytest.mark.parametrize("silence", [stopped, black_hole], ids=["6-stopped", "7-hole"])
async def test_silence_is_known_within_one_second_by_default(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, silence: Silence
) -> None:
    """Rows 6, 7: by default readiness is lost within 1 s, and no caller waits beyond grace."""
    async with upheld(redis_server, bystander, fault_proxy, **DEFAULTS) as trial:
        assert await trial.read() is None
        async with silence(redis_server, fault_proxy):
            began = trial.now
            waiting = asyncio.gather(*(trial.read() for _ in range(10)))
            assert await trial.detected(began) <= 1.0 + SLACK
            errors = await waiting
            assert await trial.net(began) <= 2.0 + 3 * SLACK
            told = {type(e) for e in errors}
            assert told <= {CommandTimeoutError, PoolTimeoutError, RedisUnavailableError}
            assert type(await trial.read()) is RedisUnavailableError


async def test_black_hole_for_old_connections_only(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, mode: dict[str, Any]
) -> None:
    """Row 7: a firewall that fails over forgets its connections: they are replaced once."""
    async with upheld(redis_server, bystander, fault_proxy, **mode) as trial:
        assert await trial.block() is None
        await fault_proxy.black_hole(new=False)
        began = trial.now
        errors = await trial.readers(10)

        await trial.healed(began + 0.25)
        assert {type(error) for error in errors} <= {ReplyLostError, CommandTimeoutError}
        assert trial.manager.stats().generation == 2


@pytest.mark.parametrize("size", [60_000, 16_000_000])
async def test_large_write_to_a_server_that_stops_reading(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any], size: int
) -> None:
    """Row 13: the call ends at T_cmd; its sockets are closed while the server is still stopped."""
    async with upheld(redis_server, bystander, **mode) as trial:
        assert await trial.block() is None
        stats = trial.manager.stats()
        without = open_descriptors() - stats.links - stats.idle
        redis_server.pause()
        began = trial.now

        writes = [trial.redis.set(f"big {n}", b"x" * size) for n in range(50 if size < 1e6 else 2)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        took = await trial.net(began)
        await until(lambda: open_descriptors() <= without + 1, timeout=1.0)  # one is the probe's
        redis_server.resume()

        assert took <= trial.manager.settings.timeout.command + SLACK
        assert all(
            isinstance(outcome, CommandTimeoutError | RedisUnavailableError) for outcome in outcomes
        )


async def test_stop_with_less_time_for_commands_than_for_connects(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 6: a handshake that hangs is a failed probe, whichever limit ends it."""
    limits: dict[str, Any] = {"timeout": {"command": 0.2, "connect": 0.5}}
    async with upheld(redis_server, bystander, **limits, **mode) as trial:
        await trial.warm()
        redis_server.pause()
        await until_state(trial.manager, PoolState.DOWN)
        assert "no connection within" in trial.manager.stats().reason
        redis_server.resume()
        await trial.healed()
