"""Errors that name the culprit: each fault of `scripts/causes`, and row 56."""

import asyncio
import threading
from typing import Any

import pytest

from redis_manager_fastapi import Cause, CommandTimeoutError, ReplyLostError
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.causing import FAULTS, LONG, SHORT, suffer
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import until

TRIES = 3

pytestmark = needs("CLIENT PAUSE WRITE", redis="6.2")


@pytest.mark.parametrize("number", [0, 3], ids=["short-shared", "long-dedicated"])
@pytest.mark.parametrize("name", FAULTS)
async def test_the_error_names_the_cause(
    redis_server: RedisServer, fault_proxy: FaultProxy, name: str, number: int
) -> None:
    """Whatever keeps a reply away, on either kind of connection.

    A process that the machine starves has a blocked loop besides: how often the first answer
    is right, `scripts/causes` counts.
    """
    expected = FAULTS[name][1]
    for _ in range(TRIES):
        error = await suffer(redis_server, fault_proxy, name, number)
        if error.cause is expected:
            break

    assert error.cause is expected
    message = str(error)
    assert message.startswith(("SET on", "GET on", "INCRBY on"))
    assert "redis 'default'" in message
    assert message.endswith(f" s: {error.cause.words}")
    assert not {"key", "value", "large", "counter"} & set(message.replace(":", "").split()[:4])
    if isinstance(error, CommandTimeoutError):
        limit = LONG if number % 2 and name != "queued" and name != "large reply" else SHORT
        assert f"within {limit:g} s" in message


async def test_the_app_blocks_its_own_event_loop(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Row 56: the error's cause says so, with the stack that did it; no thread is left."""
    error: Any = await suffer(redis_server, fault_proxy, "loop blocked", 0)

    assert error.cause is Cause.LOOP_BLOCKED
    assert "block_the_loop" in error.blocked_at
    assert "block_the_loop" not in str(error)
    assert not any(each.name == "redis-loop-watch" for each in threading.enumerate())


@pytest.mark.usefixtures("pipelining")
async def test_a_pipeline_and_a_transaction_name_themselves(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """They have no single command's name."""
    async with opened(fault_proxy.url) as manager:

        def executed() -> list[asyncio.Future[Any]]:
            clients: list[Any] = [manager.redis, manager.redis.with_options(dedicated=True)]
            return [
                asyncio.ensure_future(
                    client.pipeline(transaction=transaction).set("a", 1).incr("b").execute()
                )
                for transaction in (False, True)
                for client in clients
            ]

        await asyncio.gather(*executed())
        await fault_proxy.delay(to_client=5)
        losses = executed()
        await until(lambda: manager.stats().leased == 2)
        await asyncio.sleep(0.1)
        await fault_proxy.reset()
        errors = await asyncio.gather(*losses, return_exceptions=True)

        assert {type(error) for error in errors} == {ReplyLostError}
        assert [str(error).partition(" on ")[0] for error in errors] == [
            "a pipeline",
            "a pipeline",
            "a transaction",
            "a transaction",
        ]
        await fault_proxy.pass_through()
