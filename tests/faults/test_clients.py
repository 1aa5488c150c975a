"""What another client of the server does to ours: CLIENT KILL and CLIENT PAUSE."""

import asyncio
from typing import Any

import pytest

from redis_manager_fastapi import ReplyLostError
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.invariants import upheld
from tests.kit.servers import needs
from tests.kit.trial import SLACK
from tests.kit.waiting import until

KILL = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def test_kill_while_idle(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 23: no caller sees an error, whether one connection is killed or all of them."""
    async with upheld(redis_server, bystander, **mode) as trial:
        await trial.warm(5)
        clients = await redis_server.command("CLIENT LIST")
        await redis_server.command("CLIENT", "KILL", "ID", clients[0]["id"])
        assert await trial.readers(10) + await trial.writers(10) == []

        await trial.warm(5)
        assert await redis_server.command(*KILL) >= 5
        assert await trial.readers(10) + await trial.writers(10) == []
        assert await trial.transact() is None


async def test_kill_with_commands_in_flight(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 23: reads survive; writes that were sent are reported as lost."""
    async with upheld(redis_server, bystander, **mode) as trial:
        await trial.warm()
        async with redis_server.client() as admin:
            busy = admin.pipeline(transaction=False)
            busy.execute_command("DEBUG", "SLEEP", "0.1")
            busy.execute_command(*KILL)
            killing = asyncio.create_task(busy.execute())
            await asyncio.sleep(0.03)
            reads = [asyncio.create_task(trial.read()) for _ in range(5)]
            writes = [asyncio.create_task(trial.write()) for _ in range(5)]
            await killing

        assert await asyncio.gather(*reads) == [None] * 5
        assert {type(e) for e in await asyncio.gather(*writes)} == {ReplyLostError}


@pytest.mark.measures
async def test_kill_in_a_loop(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, mode: dict[str, Any]
) -> None:
    """Row 23: only known errors, a bounded number of connects, and full service afterwards."""
    async with upheld(redis_server, bystander, fault_proxy, extra_connects=60, **mode) as trial:
        async with trial.traffic(100), redis_server.client() as admin:
            for _ in range(20):
                await admin.execute_command(*KILL)
                await asyncio.sleep(0.05)

        assert set(trial.errors()) <= {"ReplyLostError", "RedisUnavailableError"}


async def test_pause(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, mode: dict[str, Any]
) -> None:
    """Row 24: calls end at T_cmd; a paused command may run once, and nothing is sent again."""
    async with upheld(redis_server, bystander, fault_proxy, **mode) as trial:
        await trial.warm()
        async with trial.traffic(100, "write", "transact"):
            await redis_server.command("CLIENT", "PAUSE", "1500")
            began = trial.now
            await trial.detected(began)
            await until(lambda: trial.manager.is_ready)
            ended = trial.now
            await asyncio.sleep(0.1)

        assert ended - began >= 1.4
        healed = await trial.net(began + 1.5, ended)
        assert healed <= trial.manager.settings.timeout.connect + 2 * SLACK
        sent_or_queued = {"ReplyLostError", "CommandTimeoutError", "PoolTimeoutError"}
        assert set(trial.errors()) <= {"RedisUnavailableError", *sent_or_queued}


@needs("CLIENT PAUSE WRITE", redis="6.2")
async def test_pause_of_writes(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Row 24: with pipelining off, a paused write does not delay a read."""
    mode: dict[str, Any] = {"pipelining": {"enabled": False}}
    async with upheld(redis_server, bystander, fault_proxy, **mode) as trial:
        await trial.warm()
        await redis_server.command("CLIENT", "PAUSE", "1000", "WRITE")
        writes = [asyncio.create_task(trial.write()) for _ in range(5)]
        await asyncio.sleep(0.02)
        assert await trial.readers(5) == []
        assert trial.manager.stats().generation == 1

        errors = await asyncio.gather(*writes)
        assert {type(error).__name__ for error in errors} == {"CommandTimeoutError"}
        await asyncio.sleep(0.3)
