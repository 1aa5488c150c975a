"""Callers with a grace of their own: how long they wait in an outage, whatever the others do."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import (
    Redis,
    RedisManager,
    RedisSettings,
    RedisUnavailableError,
    RedisWritesRefusedError,
)
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.clusters import shard_keys
from tests.kit.managers import opened
from tests.kit.waiting import until

PATIENT: dict[str, Any] = {
    "outage": {"grace": 20.0},
    "timeout": {"command": 20.0},
    "pool": {"acquire_timeout": 20.0},
}

# Seconds, on a machine that others use as well; who waits takes far longer.
AT_ONCE = 0.25

Ask = Callable[[Redis], Awaitable[Any]]


async def pipeline(r: Redis) -> None:
    await r.pipeline(transaction=False).get("{key}").incr("{key}").execute()


async def transaction(r: Redis) -> None:
    await r.pipeline(transaction=True).get("{key}").incr("{key}").execute()


async def watch(r: Redis) -> None:
    async with r.pipeline() as pipe:
        await pipe.watch("{key}")


async def gathered(r: Redis) -> None:
    await asyncio.gather(r.get("{key}"), r.get("{key}"))


async def pinned(r: Redis) -> None:
    async with r.client() as client:
        await client.get("{key}")


async def subscribed(r: Redis) -> None:
    async with r.pubsub() as pubsub:
        await pubsub.subscribe("channel")


ASKING: dict[str, Ask] = {
    "read": lambda r: r.get("{key}"),
    "write": lambda r: r.incr("{key}"),
    "script": lambda r: r.eval("return 1", 1, "{key}"),
    "large": lambda r: r.set("{key}", "x" * 100_000),
    "blocking": lambda r: r.blpop(["{key}"], timeout=1),
    "dedicated": lambda r: r.with_options(dedicated=True).get("{key}"),
    "gathered": gathered,
    "pipeline": pipeline,
    "transaction": transaction,
    "watch": watch,
}
OF_ONE_SERVER: dict[str, Ask] = {"pinned": pinned, "pubsub": subscribed}
ALL = [*ASKING, *OF_ONE_SERVER]


async def fails_at_once(r: Redis, ask: Ask, error: type[Exception] = RedisUnavailableError) -> None:
    """The call ends with *error*, without waiting."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(error):
        await ask(r)
    assert asyncio.get_running_loop().time() - began < AT_ONCE


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "dedicated"])
@pytest.mark.parametrize("name", ALL)
async def test_without_grace_a_call_fails_at_once_while_others_wait(
    redis_server: RedisServer, redis_url: str, name: str, shared: bool
) -> None:
    """Whichever way it goes; and once Redis is back it is served like any other."""
    ask = (ASKING | OF_ONE_SERVER)[name]
    async with opened(redis_url, **PATIENT, pipelining={"enabled": shared}) as manager:
        hasty = manager.redis.with_options(grace=0)
        with suppress(ResponseError):  # a list's command on a string
            await ask(hasty)

        await redis_server.kill()
        waiting = asyncio.ensure_future(manager.redis.get("other"))
        await fails_at_once(hasty, ask)
        await until(lambda: manager.stats().reason != "")
        await fails_at_once(hasty, ask)
        assert not waiting.done()
        await redis_server.start()

        assert await waiting is None
        await hasty.delete("{key}")
        with suppress(ResponseError):
            await ask(hasty)


@pytest.mark.usefixtures("pipelining")
async def test_a_read_whose_connection_breaks_is_not_waited_for(
    redis_server: RedisServer, redis_url: str
) -> None:
    """It was sent, and nobody answers: without grace it is not sent again after the heal."""
    async with opened(redis_url, **PATIENT) as manager:
        hasty = manager.redis.with_options(grace=0)
        redis_server.pause()
        asked = [asyncio.ensure_future(r.get("key")) for r in (manager.redis, hasty)]
        await asyncio.sleep(0.05)
        await redis_server.kill()
        with pytest.raises(RedisUnavailableError) as raised:
            async with asyncio.timeout(1):
                await asked[1]
        await redis_server.start()

        assert raised.value.maybe_executed
        assert await asked[0] is None


async def test_grace_of_its_own_is_counted_from_the_last_reply(
    redis_server: RedisServer, redis_url: str
) -> None:
    async with opened(redis_url, **PATIENT | {"outage": {"grace": 0.0}}) as manager:
        loop, patient = asyncio.get_running_loop(), manager.redis.with_options(grace=0.5)
        await patient.get("key")
        began = loop.time()
        await redis_server.kill()
        await fails_at_once(manager.redis, ASKING["read"])
        with pytest.raises(RedisUnavailableError):
            await patient.get("key")

        assert 0.4 < loop.time() - began < 1.5
        await redis_server.start()
        assert await manager.redis.with_options(grace=10).get("key") is None


@pytest.mark.parametrize("name", ["write", "dedicated write", "transaction"])
async def test_a_refused_write_does_not_wait_for_another_server(
    redis_server: RedisServer, redis_url: str, name: str
) -> None:
    asking = ASKING | {"dedicated write": lambda r: r.with_options(dedicated=True).incr("{key}")}
    ask = asking[name]
    async with opened(redis_url, **PATIENT) as manager:
        hasty = manager.redis.with_options(grace=0)
        await ask(hasty)

        await redis_server.config_set("min-replicas-to-write", 1)
        await fails_at_once(hasty, ask, RedisWritesRefusedError)
        await redis_server.config_set("min-replicas-to-write", 0)
        await redis_server.command("REPLICAOF", "127.0.0.1", 1)
        await fails_at_once(hasty, ask)
        await redis_server.command("REPLICAOF", "NO", "ONE")

        await manager.redis.set("key", "served")


async def test_without_grace_an_election_is_not_waited_for() -> None:
    async with (
        SentinelDeployment() as deployment,
        opened(deployment.url, **PATIENT) as manager,
    ):
        hasty = manager.redis.with_options(grace=0)
        await hasty.set("{key}", 1)
        old = deployment.servers[0]
        await old.kill()
        waiting = asyncio.ensure_future(manager.redis.get("other"))
        for ask in ASKING.values():
            await fails_at_once(hasty, ask)
        await deployment.elected(old)

        assert await waiting is None
        await hasty.set("{key}", 2)


@pytest.mark.usefixtures("pipelining")
async def test_without_grace_a_replica_s_read_is_not_waited_for() -> None:
    """Neither the replica nor the primary serves."""
    async with (
        SentinelDeployment() as deployment,
        opened(deployment.url, **PATIENT, sentinel={"reads": "replica"}) as manager,
    ):
        hasty = manager.redis.with_options(grace=0)
        await hasty.get("{key}")
        for server in deployment.servers:
            await server.kill()
        await until(lambda: not manager.is_ready)
        for name in ("read", "pipeline", "gathered"):
            await fails_at_once(hasty, ASKING[name])


async def test_on_a_cluster_a_lost_shard_is_not_waited_for() -> None:
    """The others serve meanwhile."""
    async with (
        ClusterDeployment(elections=False) as deployment,
        opened(deployment.url, **PATIENT) as manager,
    ):
        hasty = manager.redis.with_options(grace=0)
        (lost, *_), (kept, *_), _ = shard_keys(deployment)
        for key in (lost, kept):
            await hasty.set(key, 1)
        await deployment.primaries[0].kill()
        waiting = asyncio.ensure_future(manager.redis.get(lost))
        for ask in on_key(lost):
            await fails_at_once(hasty, ask)
        assert await hasty.get(kept) == "1"
        await deployment.primaries[0].start()

        assert await waiting is None


def on_key(key: str) -> list[Ask]:
    """What can be asked of the node that has *key*."""

    async def transact(r: Redis) -> None:
        await r.pipeline(transaction=True).incr(key).execute()

    async def several(r: Redis) -> None:
        await r.pipeline().get(key).incr(key).execute()

    async def watched(r: Redis) -> None:
        async with r.pipeline(transaction=True) as pipe:
            await pipe.watch(key)

    return [
        lambda r: r.get(key),
        lambda r: r.incr(key),
        lambda r: r.blpop([key], timeout=1),
        lambda r: r.with_options(dedicated=True).get(key),
        transact,
        several,
        watched,
    ]


async def test_without_a_node_a_cluster_s_map_is_not_waited_for() -> None:
    settings = RedisSettings(
        cluster={"nodes": [("127.0.0.1", 1)]}, startup={"policy": "degraded"}, **PATIENT
    )
    async with RedisManager(settings) as manager:
        await fails_at_once(manager.redis.with_options(grace=0), ASKING["read"])


@pytest.mark.parametrize("grace", [-1, float("nan"), "1", pytest.param(10**400, id="huge")])
def test_a_grace_that_is_none_is_refused(grace: Any) -> None:
    words = f"grace must be a number of seconds, 0 or more, not {grace!r}"
    with pytest.raises(ValueError, match=words):
        RedisManager(host="localhost").redis.with_options(grace=grace)


def test_other_options_keep_it() -> None:
    client = RedisManager(host="localhost").redis.with_options(grace=0.5)

    assert client.with_options(timeout=1).session.options.grace == 0.5
    assert client.with_options(grace=0).session.options.grace == 0
