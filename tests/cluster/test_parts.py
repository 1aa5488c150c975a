"""What is told of a whole whose parts went to several nodes, one of them dead or full."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import DataError, RedisClusterException

from redis_manager_fastapi import RedisUnavailableError
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.clusters import shard_keys, stats_of
from tests.kit.managers import opened
from tests.kit.waiting import eventually

QUICK: dict[str, Any] = {
    "outage": {"grace": 0.3},
    "timeout": {"command": 1.0, "connect": 0.3},
    "health": {"interval": 0.1, "timeout": 0.2},
}


async def piped(client: Any, keys: list[str], size: int = 1) -> None:
    pipe = client.pipeline()
    for key in keys:
        pipe.incr(key)
        pipe.append(f"{{{key}}}:padding", "x" * size)
    await pipe.execute()


WHOLES: dict[str, Callable[[Any, list[str]], Awaitable[Any]]] = {
    "pipeline": piped,
    "large pipeline": lambda client, keys: piped(client, keys, 20_000),
    "DEL": lambda client, keys: client.delete(*keys),
    "UNLINK": lambda client, keys: client.unlink(*keys),
    "MSET": lambda client, keys: client.mset_nonatomic(dict.fromkeys(keys, "new")),
    "FLUSHALL": lambda client, keys: client.flushall(),
    "SCRIPT": lambda client, keys: client.script_load("return 1"),
}


@pytest.mark.parametrize("whole", WHOLES)
async def test_a_dead_shard_s_error_does_not_deny_what_the_others_ran(
    deployment: ClusterDeployment, whole: str
) -> None:
    groups = shard_keys(deployment, 4)
    keys = [key for group in groups for key in group]

    async with opened(deployment.url, **QUICK) as manager:
        client = manager.cluster
        for key in keys:
            await client.set(key, "0")
        for server in (deployment.replica_of(0), deployment.primaries[0]):
            await server.kill()
        await eventually(lambda: _is_down(manager))
        with pytest.raises(RedisUnavailableError) as raised:
            await WHOLES[whole](client, keys)
        assert raised.value.maybe_executed
        pipe = client.pipeline()
        for key in keys:
            pipe.get(key)
        values = await pipe.execute(raise_on_error=False)
        living = [value for value in values if not isinstance(value, Exception)]
        if whole != "SCRIPT":
            assert len(living) == 8
            assert "0" not in living


async def _is_down(manager: Any) -> bool:
    return not stats_of(manager).serving


async def test_a_dead_shard_s_reads_were_not_executed(deployment: ClusterDeployment) -> None:
    keys = [key for group in shard_keys(deployment, 4) for key in group]

    async with opened(deployment.url, **QUICK) as manager:
        for server in (deployment.replica_of(0), deployment.primaries[0]):
            await server.kill()
        await eventually(lambda: _is_down(manager))
        pipe = manager.cluster.pipeline()
        for key in keys:
            pipe.get(key)
        with pytest.raises(RedisUnavailableError) as raised:
            await pipe.execute()
        assert not raised.value.maybe_executed


async def test_a_node_at_maxclients_says_so(steady: ClusterDeployment) -> None:
    """Row 55: a Cluster's node says it in other words."""
    full = steady.primaries[0]
    async with opened(steady.url, **QUICK) as manager, full.client() as admin:
        await admin.config_set("maxclients", 1)
        await admin.client_kill_filter(_type="normal", skipme=True)

        async def told() -> bool:
            return "max number of clients" in str(manager.stats())

        await eventually(told)
        await admin.config_set("maxclients", 1000)


async def test_what_no_pipeline_can_execute_is_refused_before_any_part(
    shared: ClusterDeployment,
) -> None:
    keys = [key for group in shard_keys(shared, 1) for key in group]
    async with opened(shared.url) as manager:
        for refused in (("WATCH", keys[0]), ("SUBSCRIBE", "news")):
            pipe = manager.cluster.pipeline()
            for key in keys:
                pipe.incr(key)
            pipe.execute_command(*refused)
            with pytest.raises((RedisClusterException, DataError)):
                await pipe.execute()
        assert await manager.cluster.exists(*keys) == 0


@pytest.mark.parametrize("size", [1, 100], ids=["small", "large"])
@pytest.mark.parametrize("wrong", [object(), "\ud800", None], ids=["object", "surrogate", "None"])
async def test_what_cannot_be_packed_is_refused_before_any_part(
    shared: ClusterDeployment, wrong: Any, size: int
) -> None:
    keys = [key for group in shard_keys(shared, size) for key in group]
    async with opened(shared.url) as manager:
        client: Any = manager.cluster
        for raising in (True, False):
            pipe = client.pipeline()
            for key in keys:
                pipe.incr(key)
            pipe.set(keys[0], wrong)
            with pytest.raises((DataError, UnicodeEncodeError)):
                await pipe.execute(raise_on_error=raising)
        with pytest.raises((DataError, UnicodeEncodeError)):
            await client.mset_nonatomic({**dict.fromkeys(keys, 1), keys[-1]: wrong})
        assert await client.exists(*keys) == 0
