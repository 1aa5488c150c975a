"""A server that answers, and will not serve: full, read-only, loading, busy."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from redis_manager_fastapi import (
    PoolState,
    RedisOutOfMemoryError,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.invariants import QUICK, upheld
from tests.kit.managers import until_state
from tests.kit.servers import has, is_busy
from tests.kit.trial import Trial
from tests.kit.waiting import eventually, until

NOBODY = ("127.0.0.1", 1)
SLOW_TO_LOAD: dict[str, Any] = {"rdbcompression": "no"}
KEYS_TO_LOAD = 120
if has(redis="7.0"):
    SLOW_TO_LOAD |= {"key-load-delay": 10_000, "loading-process-events-interval-bytes": 1024}
else:
    KEYS_TO_LOAD = 500_000  # an older server is only as slow as its data makes it


async def refused_because(trial: Trial, code: str) -> None:
    """Reads fail with the reason, and with the promise that they were not executed.

    The first one may have been sent before.
    """
    error = None
    async with asyncio.timeout(5):
        while error is None or error.maybe_executed:
            try:
                await trial.redis.get("key")
            except RedisUnavailableError as raised:
                error = raised
    assert type(error) is RedisUnavailableError
    assert code in str(error)


async def test_maxclients(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, mode: dict[str, Any]
) -> None:
    """Row 14: 503 with the reason; service returns when there is room again."""
    async with upheld(redis_server, bystander, fault_proxy, **mode) as trial:
        async with redis_server.client() as admin:
            await admin.config_set("maxclients", 1)
            await admin.client_kill_filter(_type="normal", skipme=True)
            await refused_because(trial, "max number of clients")
            assert "max number of clients" in trial.manager.stats().reason
            await admin.config_set("maxclients", 100)
        raised = trial.now
        await trial.healed(raised)
        assert await trial.readers(5) == []


async def test_out_of_memory(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 15: writers get the server's error, reads work, and nothing is suspected."""
    async with upheld(redis_server, bystander, **mode) as trial:
        await redis_server.config_set("maxmemory", 1)
        for _ in range(10):
            with pytest.raises(OutOfMemoryError) as raised:
                await trial.redis.set("key", "value")
            assert type(raised.value) is RedisOutOfMemoryError
            assert await trial.read() is None
            assert trial.manager.stats().state is PoolState.READY
        await redis_server.config_set("maxmemory", 0)

        assert await trial.write() is None
        assert trial.manager.stats().generation == 1


async def test_demoted_primary(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, mode: dict[str, Any]
) -> None:
    """Row 16: writes are refused; connections are replaced only as the backoff allows."""
    # Each generation opens dedicated connections of its own.
    async with upheld(redis_server, bystander, fault_proxy, extra_connects=60, **mode) as trial:
        assert await trial.write() is None
        await redis_server.command("REPLICAOF", *NOBODY)
        async with trial.traffic(100, "write"):
            await asyncio.sleep(1.2)
        errors = [call.error for call in trial.calls if call.error]
        await redis_server.command("REPLICAOF", "NO", "ONE")

        assert not any(e.maybe_executed for e in errors if type(e) is RedisUnavailableError)
        # What is in flight on another connection as all are replaced is lost with it.
        assert {type(error) for error in errors} <= {RedisUnavailableError, ReplyLostError}
        assert RedisUnavailableError in {type(error) for error in errors}
        assert trial.manager.stats().generation > 1

        async def served() -> bool:
            return await trial.write() is None

        await eventually(served, timeout=1.0)


async def test_transaction_on_a_demoted_primary(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 16: a refused transaction is refused as a whole, but for one of a server before 6.0.6.

    That one executes the commands of it that do not write.
    """
    async with upheld(redis_server, bystander, **mode) as trial:
        await redis_server.command("REPLICAOF", *NOBODY)
        error = await trial.transact()
        await redis_server.command("REPLICAOF", "NO", "ONE")

        assert type(error) is RedisUnavailableError
        assert error.maybe_executed is not has(redis="6.0.6")


async def test_refusal_as_a_value(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 16: a demoted server is left even if the caller takes errors as values."""
    async with upheld(redis_server, bystander, **mode) as trial:
        await redis_server.command("REPLICAOF", *NOBODY)
        pipe = trial.redis.pipeline(transaction=False)
        pipe.set("key", "value")
        (refusal,) = await pipe.execute(raise_on_error=False)
        await redis_server.command("REPLICAOF", "NO", "ONE")

        assert isinstance(refusal, ReadOnlyError)
        await until(lambda: trial.manager.stats().generation == 2)


async def test_loading(bystander: RedisServer, mode: dict[str, Any]) -> None:
    """Row 17: 503 while the data set loads, and no error after that."""
    async with RedisServer(SLOW_TO_LOAD) as server:
        async with server.client(timeout=30) as admin:
            await admin.execute_command("DEBUG", "POPULATE", KEYS_TO_LOAD, "key", 500)
            await admin.save()
        await loads(server, bystander, mode)


async def loads(server: RedisServer, bystander: RedisServer, mode: dict[str, Any]) -> None:
    """Kill a server that has much to load, and start it again."""
    async with upheld(server, bystander, **mode) as trial:
        await server.kill()
        starting = asyncio.create_task(server.start())
        await until_state(trial.manager, PoolState.DOWN)
        await until(lambda: "LOADING" in trial.manager.stats().reason)
        await refused_because(trial, "LOADING")
        await starting

        await trial.healed()
        assert await trial.readers(20) == []


async def test_masterdown(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 17: 503 from a replica that lost its primary and must not serve stale data."""
    async with upheld(redis_server, bystander, **mode) as trial:
        await redis_server.config_set("replica-serve-stale-data", "no")
        await redis_server.command("REPLICAOF", *NOBODY)
        await refused_because(trial, "MASTERDOWN")
        await redis_server.command("REPLICAOF", "NO", "ONE")

        await trial.healed()
        assert await trial.readers(20) == []


async def test_busy_script(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 17: 503 while a script does not end, and no error after that."""
    await redis_server.config_set("lua-time-limit", 20)
    async with upheld(redis_server, bystander, **mode) as trial, redis_server.client() as admin:
        looping = asyncio.ensure_future(admin.execute_command("EVAL", "while true do end", 0))
        await refused_because(trial, "BUSY")
        await redis_server.command("SCRIPT", "KILL")
        with pytest.raises(RedisError):
            await looping

        await trial.healed()
        assert await trial.readers(20) == []


@pytest.mark.parametrize("words", ["BUSY the lock is held", "READONLY by choice", "LOADING later"])
async def test_scripts_own_error_runs_it_once(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any], words: str
) -> None:
    """Row 17: an error that a script returns after a write does not count as a refusal."""
    script = "redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])"
    async with upheld(redis_server, bystander, **mode) as trial:
        with pytest.raises(RedisError) as caught:
            await trial.redis.eval(script, 1, "runs", words)

        assert getattr(caught.value, "maybe_executed", True)
        assert await trial.redis.get("runs") == "1"
        assert trial.manager.stats().generation == 1


async def test_unblocked_by_hand(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 17: CLIENT UNBLOCK ends one caller's wait and does not count as a fail-over."""
    async with upheld(redis_server, bystander, **mode) as trial, redis_server.client() as admin:
        waiting = asyncio.ensure_future(trial.redis.blpop(["nothing"], timeout=5))

        async def unblocked() -> bool:
            clients = [each for each in await admin.client_list() if each["cmd"] == "blpop"]
            for each in clients:
                await admin.execute_command("CLIENT", "UNBLOCK", each["id"], "ERROR")
            return bool(clients)

        await eventually(unblocked)
        with pytest.raises(ResponseError, match="CLIENT UNBLOCK"):
            await waiting
        assert trial.manager.stats().generation == 1


@pytest.mark.parametrize("transaction", [True, False], ids=["transaction", "pipeline"])
async def test_pipeline_while_a_script_runs(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any], transaction: bool
) -> None:
    """Row 17: a pipeline that meets the script first is refused like a single command."""
    await redis_server.config_set("lua-time-limit", 20)
    health = {**QUICK["health"], "interval": 30.0}
    settings = {**mode, "health": health}
    async with upheld(redis_server, bystander, **settings) as trial, redis_server.client() as admin:
        assert await trial.read() is None
        looping = asyncio.ensure_future(admin.execute_command("EVAL", "while true do end", 0))
        await eventually(lambda: is_busy(redis_server))
        pipe = trial.redis.pipeline(transaction=transaction)
        pipe.set("key", "value")
        with pytest.raises(RedisUnavailableError, match="BUSY") as raised:
            await pipe.execute()
        await redis_server.command("SCRIPT", "KILL")
        with pytest.raises(RedisError):
            await looping

        assert raised.value.maybe_executed is not transaction
        await trial.healed()
        assert await trial.readers(20) == []
