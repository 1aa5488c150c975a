"""The server is killed: idle, with commands in flight, and again and again under load."""

import asyncio
import os
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from redis_manager_fastapi import PoolState, RedisUnavailableError, ReplyLostError
from redis_manager_fastapi.testing import RedisServer
from tests.kit.invariants import upheld
from tests.kit.managers import until_state
from tests.kit.trial import SLACK
from tests.kit.waiting import until

BULK = b"x" * 60_000  # as much as shares a connection; a hundred of them fill the socket


@pytest.mark.measures
async def test_kill_while_idle(
    durable_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 3: 503 after the grace period, then at once; no error after the restart."""
    async with upheld(durable_server, bystander, **mode) as trial:
        await trial.warm()
        last_reply = trial.now
        await durable_server.kill()

        first = await trial.read()
        waited = await trial.net(last_reply, trial.calls[-1].end)
        await until_state(trial.manager, PoolState.DOWN)
        later = [await trial.read() for _ in range(50)]

        assert type(first) is RedisUnavailableError  # it may have gone out before the news came
        assert waited <= trial.manager.settings.outage.grace + SLACK
        assert {type(error) for error in later} == {RedisUnavailableError}
        assert not any(error and error.maybe_executed for error in later)
        assert all(error and isinstance(error.__cause__, RedisConnectionError) for error in later)
        assert await trial.slowest(trial.calls[-50:]) <= SLACK

        await durable_server.start()
        await trial.healed()
        assert await trial.readers(50) + await trial.writers(50) == []
        assert await trial.block() is None


async def test_kill_with_commands_in_flight(
    durable_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 4: reads and unsent commands survive a short restart; sent writes count as lost."""
    async with upheld(durable_server, bystander, **mode, outage={"grace": 2.0}) as trial:
        await trial.warm()
        async with durable_server.client() as admin:
            asleep = asyncio.create_task(admin.execute_command("DEBUG", "SLEEP", "2"))
            await asyncio.sleep(0.05)
            reads = [asyncio.create_task(trial.read()) for _ in range(5)]
            writes = [asyncio.create_task(trial.write()) for _ in range(5)]
            await asyncio.sleep(0.05)
            await durable_server.kill()
            await until(lambda: not trial.manager.is_ready)
            unsent = [asyncio.create_task(call()) for call in (trial.write, trial.transact)]
            await asyncio.gather(asleep, return_exceptions=True)
        await durable_server.start()

        assert await asyncio.gather(*reads) == [None] * 5
        assert await asyncio.gather(*unsent) == [None] * 2
        lost = await asyncio.gather(*writes)
        assert {type(error) for error in lost} == {ReplyLostError}
        assert all(error and error.maybe_executed for error in lost)


async def test_kill_for_good_under_reads(
    durable_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 4: a read that was sent but not repeated within grace may still have run."""
    async with upheld(durable_server, bystander, **mode, outage={"grace": 0.3}) as trial:
        await trial.warm()
        durable_server.pause()
        reads = [asyncio.create_task(trial.read()) for _ in range(5)]
        await asyncio.sleep(0.05)
        await durable_server.kill()
        errors = await asyncio.gather(*reads)
        assert all(error and error.maybe_executed for error in errors)

        unsent = await trial.read()
        assert unsent
        assert not unsent.maybe_executed
        await durable_server.start()
        await trial.healed()


async def test_kill_with_commands_queued(
    durable_server: RedisServer, bystander: RedisServer
) -> None:
    """Row 4: commands that the socket did not take go out after the restart, writes too."""
    limits: dict[str, Any] = {"outage": {"grace": 2.0}, "pipelining": {"enabled": True}}
    async with upheld(durable_server, bystander, **limits) as trial:
        durable_server.pause()
        filling = [asyncio.ensure_future(trial.redis.set(f"{n}", BULK)) for n in range(100)]
        await asyncio.sleep(0)
        unsent = [asyncio.create_task(call()) for call in (trial.read, trial.write) * 5]
        await asyncio.sleep(0.02)
        await durable_server.kill()
        await durable_server.start()

        assert await asyncio.gather(*unsent) == [None] * 10
        lost = await asyncio.gather(*filling, return_exceptions=True)
        assert {type(outcome) for outcome in lost} == {bool, ReplyLostError}


@pytest.mark.timeout(120)
@pytest.mark.measures
async def test_restart_under_load(
    durable_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 5: a restart of one second costs no read, and no write is executed twice.

    `RESTARTS=20 scripts/test tests/faults/test_kill.py -k restart_under_load` is the long run.
    """
    rounds = int(os.environ.get("RESTARTS", "2"))
    limits: dict[str, Any] = {"outage": {"grace": 2.0}, "timeout": {"command": 2.0, "connect": 0.3}}
    limits["pool"] = {"acquire_timeout": 1.0}
    async with upheld(durable_server, bystander, **mode, **limits) as trial:
        async with trial.traffic(150):
            for _ in range(rounds):
                await asyncio.sleep(0.2)
                await durable_server.restart(1.0, crash=True)
                await trial.healed()

        assert trial.errors("read") == {}
        assert set(trial.errors()) <= {"ReplyLostError"}
