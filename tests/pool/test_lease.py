"""What a lease says and does while it lasts, and that it does nothing afterwards."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from redis.himport import HImportRegistry

from redis_manager_fastapi import CommandTimeoutError, RedisManager
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.leases import Acquisition, Lease
from redis_manager_fastapi.testing import RedisServer
from tests.kit.leasing import unread
from tests.kit.managers import opened, pool_of
from tests.kit.waiting import until

BLOCKS = ("XREAD", "BLOCK", "300", "STREAMS", "nothing", "$")
ONE = {"max_connections": 1}


def lease(manager: RedisManager, **setup: Any) -> Acquisition:
    return pool_of(manager).leases.acquire("a test", math.inf, **setup)


def setup_of(connection: DedicatedConnection) -> tuple[bool, float | None, object]:
    return connection.decode, connection.socket_timeout, connection.himport_registry


async def ask(connection: DedicatedConnection, *command: str) -> Any:
    await connection.send_command(*command)
    return await connection.read_response()


async def test_a_lease_ends_with_its_block(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        async with lease(manager) as held:
            assert await ask(held.connection, "ECHO", "mine") == "mine"
            assert (held.purpose, held.ended, manager.stats().leased) == ("a test", False, 1)

        assert (held.ended, manager.stats().leased, manager.stats().idle) == (True, 0, 1)


async def test_a_lease_is_set_up_once_and_reset_once(redis_url: str) -> None:
    registry = HImportRegistry()
    async with opened(redis_url, timeout={"command": 7}) as manager:
        held = await lease(manager, decode=False, unlimited=True, registry=registry)
        connection = held.connection
        assert setup_of(connection) == (False, None, registry)
        assert await ask(connection, "ECHO", "raw") == b"raw"

        await held.release()

        assert setup_of(connection) == (True, 7, None)
        async with lease(manager) as next_one:
            assert next_one.connection is connection
            assert await ask(connection, "ECHO", "text") == "text"


@pytest.mark.parametrize(
    "act",
    [
        lambda held: held.give_back(reusable=False),
        lambda held: held.set_decoding(False),
        lambda held: held.lift_limit(),
    ],
    ids=["give back", "decoding", "limit"],
)
async def test_an_ended_lease_does_nothing_to_the_next_holder(
    redis_url: str, act: Callable[[Lease], None]
) -> None:
    async with opened(redis_url, pool=ONE) as manager:
        ended = await lease(manager)
        await ended.release()
        async with lease(manager) as held:
            before = setup_of(held.connection)
            act(ended)
            await ended.release()

            assert held.connection is ended.connection
            assert (held.ended, setup_of(held.connection)) == (False, before)
            assert await ask(held.connection, "ECHO", "mine") == "mine"


async def test_a_limit_is_lifted_until_the_lease_ends(redis_server: RedisServer) -> None:
    settings: dict[str, Any] = {"timeout": {"command": 0.1}, "pool": ONE}
    async with opened(redis_server.url, **settings) as manager:
        async with lease(manager) as held:
            held.lift_limit()
            assert await ask(held.connection, *BLOCKS) is None

        async with lease(manager) as held:
            redis_server.pause()
            with pytest.raises(CommandTimeoutError):
                await ask(held.connection, "PING")
            redis_server.resume()


async def test_a_revoked_lease_has_ended(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        held = await lease(manager)
        assert pool_of(manager).revoke([held.connection]) == ["a test"]
        assert held.ended
        assert not pool_of(manager).leases.of(held.connection).purpose


async def test_a_lease_is_found_by_its_connection(redis_url: str) -> None:
    async with opened(redis_url, pool=ONE) as manager:
        held = await lease(manager)
        same = pool_of(manager).leases.of(held.connection)
        same.set_decoding(False)
        await same.release()

        assert (held.ended, same.ended, manager.stats().idle) == (True, True, 1)


async def test_what_was_sent_for_an_ended_block_is_not_left_to_the_next(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        async with lease(manager) as held:
            await held.connection.send_command("ECHO", "late")
            await until(lambda: unread(held.connection))

        assert manager.stats().idle == 0


@pytest.mark.parametrize("turns", range(8))
async def test_a_block_cancelled_at_any_turn_frees_its_place(redis_url: str, turns: int) -> None:
    async def hold() -> None:
        async with lease(manager) as held:
            await ask(held.connection, "PING")

    async with opened(redis_url, pool=ONE) as manager:
        task = asyncio.create_task(hold())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        async with lease(manager) as held:
            assert await ask(held.connection, "ECHO", "mine") == "mine"
