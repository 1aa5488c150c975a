"""A server that answers and will not serve, as the primary of Sentinels and as a Cluster's node."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from redis_manager_fastapi import (
    PoolState,
    Redis,
    RedisManager,
    RedisOutOfMemoryError,
    RedisPermissionError,
    RedisUnavailableError,
    RedisWritesRefusedError,
)
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.clusters import shard_keys
from tests.kit.servers import is_busy, needs
from tests.kit.waiting import eventually, until

Ask = Callable[[Redis, str], Awaitable[Any]]

SETTINGS: dict[str, Any] = {"outage": {"grace": 0.3}, "timeout": {"command": 5.0}}


@dataclass
class Place:
    """Where a fault is made.

    Attributes:
        manager: Of the whole deployment.
        server: Is the primary of `key`.
        key: Belongs to that server.
        spared: Keys of the other shards.
    """

    manager: RedisManager
    server: RedisServer
    key: str
    spared: list[str] = field(default_factory=list)

    async def assert_others_serve(self) -> None:
        """Reads and writes of the other shards succeed meanwhile (I12)."""
        for key in self.spared:
            assert await self.manager.redis.get(key) is None
            await self.manager.redis.incrby(f"{{{key}}}:n", 1)


DEPLOYMENTS: dict[str, Callable[[], SentinelDeployment | ClusterDeployment]] = {
    # A Sentinel ends the script of a server that it takes for down.
    "sentinel": partial(SentinelDeployment, down_after=60),
    "cluster": partial(ClusterDeployment, elections=False),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=DEPLOYMENTS)
async def deployment(
    request: pytest.FixtureRequest,
) -> AsyncIterator[SentinelDeployment | ClusterDeployment]:
    """Each test leaves it as it found it, but for its data."""
    async with DEPLOYMENTS[request.param]() as deployment:
        yield deployment


@pytest.fixture(params=[True, False], ids=["shared", "dedicated"])
async def place(
    request: pytest.FixtureRequest, deployment: SentinelDeployment | ClusterDeployment
) -> AsyncIterator[Place]:
    settings = SETTINGS | {"pipelining": {"enabled": request.param}}
    async with RedisManager(deployment.url, **settings) as manager:
        if isinstance(deployment, SentinelDeployment):
            yield Place(manager, deployment.servers[0], "key")
        else:
            await until(lambda: manager.is_ready)
            (key, *_), *others = shard_keys(deployment)
            yield Place(manager, deployment.primaries[0], key, [each[0] for each in others])


async def batch(r: Redis, key: str) -> None:
    await r.pipeline(transaction=False).incrby(key, 1).execute()


async def transaction(r: Redis, key: str) -> None:
    await r.pipeline(transaction=True).incrby(key, 1).incrby(key, 1).execute()


async def watched(r: Redis, key: str) -> None:
    async with r.pipeline(transaction=True) as pipe:
        await pipe.watch(key)
        pipe.multi()
        pipe.incrby(key, 1)
        await pipe.execute()


WRITES: dict[str, Ask] = {
    "command": lambda r, key: r.incrby(key, 1),
    "dedicated": lambda r, key: r.with_options(dedicated=True).incrby(key, 1),
    "script": lambda r, key: r.eval("return redis.call('INCRBY', KEYS[1], 1)", 1, key),
    "pipeline": batch,
    "transaction": transaction,
    "WATCH": watched,
}


async def writes_meet(
    place: Place, error: type[Exception], words: str, *but: str, reads: bool = True
) -> None:
    """Every kind of write ends with *error*, within its time; reads and other shards go on."""
    for name, write in WRITES.items():
        if name in but:
            continue
        began = asyncio.get_running_loop().time()
        with pytest.raises(error, match=words):
            await write(place.manager.redis, place.key)
        assert asyncio.get_running_loop().time() - began < 2.5, name
    if reads:
        await place.manager.redis.get(place.key)
        assert place.manager.is_ready
    await place.assert_others_serve()


async def writes_succeed(place: Place) -> None:
    """Every kind of write does what it should."""
    for write in WRITES.values():
        await write(place.manager.redis, place.key)


async def test_out_of_memory(place: Place) -> None:
    """Row 15: writers get the reason, reads work, and nothing is suspected."""
    await writes_succeed(place)
    await place.server.config_set("maxmemory", 1)
    await writes_meet(place, RedisOutOfMemoryError, "memory is full")
    await place.server.config_set("maxmemory", 0)

    await writes_succeed(place)


@needs("the check of a script's writes", redis="7.0")
async def test_too_few_replicas(place: Place) -> None:
    """Row 54: writes wait within grace, then they are told; reads go on."""
    await writes_succeed(place)
    await place.server.config_set("min-replicas-to-write", 5)
    await writes_meet(place, RedisWritesRefusedError, "too few replicas")
    await place.server.config_set("min-replicas-to-write", 0)

    await writes_succeed(place)


async def test_a_server_that_cannot_save(place: Place) -> None:
    """Row 53: READY, reads served, writers told why."""
    await writes_succeed(place)
    await place.server.config_set("stop-writes-on-bgsave-error", "yes")
    await place.server.config_set("save", "3600 1")
    in_the_way = place.server.directory / "dump.rdb"
    in_the_way.unlink(missing_ok=True)
    in_the_way.mkdir()

    async def failed() -> bool:
        state = await place.server.command("INFO", "persistence")
        if state["rdb_last_bgsave_status"] != "err" and not state["rdb_bgsave_in_progress"]:
            await place.server.command("BGSAVE")
        return bool(state["rdb_last_bgsave_status"] == "err")

    await eventually(failed)
    try:
        await writes_meet(place, RedisWritesRefusedError, "cannot save")
    finally:
        in_the_way.rmdir()
        await place.server.config_set("save", "")

    await writes_succeed(place)


@needs("ACL", redis="6.0")
async def test_a_command_that_is_forbidden(place: Place) -> None:
    """Row 18: that command's caller alone hears of it."""
    await writes_succeed(place)
    await place.server.command("ACL", "SETUSER", "default", "-incrby")
    # What the ACL forbids a script is an error of the script's own.
    await writes_meet(place, RedisPermissionError, "NOPERM", "script")
    await place.server.command("ACL", "SETUSER", "default", "+incrby")

    await writes_succeed(place)


async def test_a_busy_script(place: Place) -> None:
    """Row 17: 503 while a script does not end; then every way serves again."""
    await writes_succeed(place)
    limit = "busy-reply-threshold" if await is_new(place.server) else "lua-time-limit"
    await place.server.config_set(limit, 50)
    async with place.server.client(timeout=60) as admin:
        looping = asyncio.ensure_future(admin.eval("while true do end", 0))
        await eventually(lambda: is_busy(place.server))
        await writes_meet(place, RedisUnavailableError, "busy|BUSY|down|suspect", reads=False)
        await place.server.command("SCRIPT", "KILL")
        await asyncio.gather(looping, return_exceptions=True)
    await until(lambda: place.manager.is_ready)

    await writes_succeed(place)


async def is_new(server: RedisServer) -> bool:
    version = await server.version()
    return version.product == "valkey" or version.number >= (7,)


async def test_no_room_for_clients(place: Place) -> None:
    """Row 14: 503 with the reason, also from a Cluster's node; healed when there is room."""
    await writes_succeed(place)
    async with place.server.client() as admin:
        await admin.config_set("maxclients", 1)
        await admin.client_kill_filter(_type="normal", skipme=True)
        await until(lambda: "max number of clients" in reason_of(place), 10)
        with pytest.raises(RedisUnavailableError):
            await place.manager.redis.get(place.key)
        await place.assert_others_serve()
        await admin.config_set("maxclients", 1000)
    await until(lambda: place.manager.is_ready, 10)

    assert place.manager.stats().state is PoolState.READY
    await writes_succeed(place)


def reason_of(place: Place) -> str:
    return place.manager.stats().reason


async def test_a_primary_that_was_demoted() -> None:
    """Row 16: nothing goes to it, few connections are made, and it heals once it is one again."""
    async with (
        SentinelDeployment(replicas=0, sentinels=1) as deployment,
        RedisManager(deployment.url, **SETTINGS) as manager,
    ):
        place = Place(manager, deployment.servers[0], "key")
        await writes_succeed(place)
        await place.server.command("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(RedisUnavailableError, match=r"READONLY|not a primary"):
            await place.manager.redis.incrby(place.key, 1)
        await until(lambda: "not a primary" in reason_of(place), 10)
        connects, began = place.manager.stats().connects, asyncio.get_running_loop().time()
        await asyncio.sleep(1.0)
        await writes_meet(place, RedisUnavailableError, "not a primary", reads=False)
        took = asyncio.get_running_loop().time() - began
        cap = place.manager.settings.health.backoff_cap
        # Full jitter halves the step on average; a few more have drawn short ones.
        assert place.manager.stats().connects - connects < 5 * took / cap + 10
        await place.server.command("REPLICAOF", "NO", "ONE")
        await until(lambda: place.manager.is_ready, 10)

        await writes_succeed(place)
