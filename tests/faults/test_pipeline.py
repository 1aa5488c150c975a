"""Row 41: pipelines, MULTI and WATCH, cut at every byte."""

from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import WatchError

from redis_manager_fastapi import RedisUnavailableError, ReplyLostError
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.invariants import QUICK, upheld
from tests.kit.trial import Trial
from tests.kit.waiting import until

# Heartbeats would count among the bytes.
STILL = {"health": {**QUICK["health"], "interval": 30.0}}
REPLY = 90
REQUEST = 300
STEP = 11


async def cut_everywhere(
    trial: Trial, proxy: FaultProxy, exchange: Callable[[], Awaitable[None]]
) -> int:
    """Reset the connection after each number of bytes; return how often the exchange met it."""
    met = 0
    cuts: list[tuple[Any, int]] = [("to_client", n) for n in range(REPLY)]
    cuts += [("to_server", n) for n in range(0, REQUEST, STEP)]
    for direction, n in cuts:
        before = trial.manager.stats().generation
        assert await trial.read() is None
        await proxy.reset_at(n, direction=direction, once=True)
        await exchange()
        await proxy.pass_through()
        await until(lambda: trial.manager.is_ready)
        met += trial.manager.stats().generation > before
    return met


async def test_transaction_cut_at_each_byte(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy, mode: dict[str, Any]
) -> None:
    """Row 41: both counters are raised or neither, as callers learn; nothing is sent twice."""
    settings = {**mode, **STILL}
    async with upheld(
        redis_server, bystander, fault_proxy, extra_connects=200, **settings
    ) as trial:

        async def exchange() -> None:
            assert type(await trial.transact()) in (type(None), ReplyLostError)

        met = await cut_everywhere(trial, fault_proxy, exchange)

        assert trial.errors("transact")["ReplyLostError"] > 50
        assert met > 50 or not trial.manager.settings.pipelining.enabled


async def test_watched_transaction_cut_at_each_byte(
    redis_server: RedisServer, bystander: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Row 41: a `WatchError` promises that nothing ran: a caller's retry never counts twice."""
    async with upheld(redis_server, bystander, fault_proxy, extra_connects=200, **STILL) as trial:
        ledger = trial.ledgers["counter"]

        async def watched() -> None:
            async with trial.redis.pipeline() as pipeline:
                await pipeline.watch("counter")
                value = int(await pipeline.get("counter") or 0)
                pipeline.multi()
                pipeline.set("counter", value + 1)
                await pipeline.execute()

        async def exchange() -> None:
            try:
                await watched()
            except WatchError:
                pass
            except RedisUnavailableError as error:
                ledger.maybe += error.maybe_executed
            else:
                ledger.ran += 1

        await cut_everywhere(trial, fault_proxy, exchange)
