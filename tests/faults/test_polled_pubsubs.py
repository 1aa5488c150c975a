"""Whoever polls a pub/sub gets its messages, and nothing of what came of our asking."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import RedisError

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.servers import is_busy
from tests.kit.waiters import CLIENTS, PROTOCOLS
from tests.kit.waiting import eventually


async def poll_for(pubsub: Any, seconds: float) -> list[Any]:
    """What comes in so long a time to somebody who looks again and again."""
    clock, found = asyncio.get_running_loop().time, []
    ends = clock() + seconds
    while clock() < ends:
        message = await pubsub.get_message(ignore_subscribe_messages=True)
        if message is not None:
            found.append(message["data"])
        await asyncio.sleep(0.005)
    return found


@PROTOCOLS
async def test_an_answer_whose_end_is_on_its_way_is_no_part_of_a_message(
    fault_proxy: FaultProxy, redis_server: RedisServer, protocol: int
) -> None:
    patient: Any = {"health": {"interval": 0.1, "timeout": 10}, "timeout": {"command": 20}}
    url = f"{fault_proxy.url}?protocol={protocol}"
    async with RedisManager(url=url, **patient) as manager, manager.redis.pubsub() as pubsub:
        await pubsub.subscribe("news")
        await pubsub.get_message(timeout=5)
        await fault_proxy.drip(1, 0.02, direction="to_client")

        await poll_for(pubsub, 4)  # an answer has sixty bytes and more

        await fault_proxy.pass_through()
        await redis_server.command("PUBLISH", "news", "last")
        async with asyncio.timeout(5):
            while await poll_for(pubsub, 0.1) not in (["last"], [b"last"]):
                pass
        assert manager.stats().resubscribed == 0


@CLIENTS
@PROTOCOLS
async def test_a_busy_server_s_refusal_of_our_question_is_not_told_to_who_polls(
    redis_server: RedisServer, redis_url: str, protocol: int, client: Any
) -> None:
    await redis_server.config_set("lua-time-limit", 20)
    settings: Any = {"health": {"interval": 0.1, "timeout": 0.3}, "outage": {"grace": 10}}
    url = f"{redis_url}?protocol={protocol}"
    async with (
        RedisManager(url=url, **settings) as manager,
        redis_server.client() as admin,
        client(manager).pubsub() as pubsub,
    ):
        await pubsub.subscribe("news")
        await pubsub.get_message(timeout=5)
        looping = asyncio.ensure_future(admin.execute_command("EVAL", "while true do end", 0))
        await eventually(lambda: is_busy(redis_server))
        polling = asyncio.ensure_future(poll_for(pubsub, 1))
        await asyncio.sleep(0.5)
        await redis_server.command("SCRIPT", "KILL")
        with pytest.raises(RedisError):
            await looping

        assert await polling == []
