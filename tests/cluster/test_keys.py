"""Where a Cluster's client finds a command's keys: here, and not at a server."""

from contextlib import suppress
from typing import Any

import pytest
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.managers import opened

MOVABLE: list[tuple[Any, ...]] = [
    ("XREAD", "COUNT", 1, "STREAMS", "{t}x", "{t}y", "0", "0"),
    ("XREAD", "BLOCK", 1, b"streams", "{t}x", "$"),
    ("XREADGROUP", "GROUP", "STREAMS", "consumer", "COUNT", 1, "STREAMS", "{t}x", ">"),
    ("BLMPOP", 0.01, 2, "{t}a", "{t}b", "LEFT"),
    ("BZMPOP", 0.01, 2, "{t}a", "{t}b", "MIN"),
    ("SORT", "{t}a", "BY", "STORE", "ALPHA", "STORE", "{t}b"),
    ("SORT_RO", "{t}a", "ALPHA"),
    ("GEORADIUS", "{t}g", 0, 0, 1, "km", "STORE", "{t}a"),
    ("GEORADIUSBYMEMBER", "{t}g", "member", 1, "km", "STOREDIST", "{t}a"),
    ("MSETEX", 2, "{t}a", 1, "{t}b", 2, "EX", 10),
    ("EVAL", "return 1", 1, "{t}a", "x"),
    ("EVAL_RO", "return 1", 1, "{t}a", "x"),
    ("FCALL", "nosuch", 1, "{t}a", "x"),
    ("FCALL", "nosuch", 0, "x"),
    ("FCALL_RO", "nosuch", 1, "{t}a", "x"),
]


async def asked(shared: ClusterDeployment) -> list[str]:
    """What the nodes were asked about commands since their statistics began."""
    stats = [await server.command("INFO", "commandstats") for server in shared.primaries]
    return [name for each in stats for name in each if name.startswith("cmdstat_command")]


@pytest.mark.parametrize("args", MOVABLE, ids=lambda args: args[0])
async def test_no_server_is_asked_where_keys_are(
    shared: ClusterDeployment, args: tuple[Any, ...]
) -> None:
    async with opened(shared.url) as manager:
        for server in shared.primaries:
            await server.command("CONFIG", "RESETSTAT")
        for _ in range(3):
            with suppress(ResponseError):
                await manager.redis.execute_command(*args)
        assert await asked(shared) == []


@pytest.mark.parametrize(
    "args",
    [
        ("XREAD", "COUNT", 1, "{t}x", "0"),
        ("XREAD", "STREAMS", "{t}x", "{u}x", "0", "0"),
        ("XREADGROUP", "GROUP", "STREAMS"),
        ("ZUNION", "two", "{t}a", "{t}b"),
        ("LMPOP", 2, "{t}a", "{u}b", "LEFT"),
        ("EVAL_RO", "return 1", 0),
        ("EVAL_RO", "return 1"),
    ],
    ids=lambda args: args[0],
)
async def test_a_command_without_one_slot_goes_nowhere(
    shared: ClusterDeployment, args: tuple[Any, ...]
) -> None:
    """The error is redis-py's or the server's: no keys, too many slots, or no such command."""
    async with opened(shared.url) as manager:
        with pytest.raises((RedisClusterException, RedisError)):
            await manager.redis.execute_command(*args)


@pytest.mark.parametrize(
    "args", [("get k",), ("set k", "v"), ("SET k v",), ("blpop k 0.01",)], ids=lambda args: args[0]
)
async def test_a_named_node_s_redirect_says_where_a_key_in_one_string_is(
    shared: ClusterDeployment, args: tuple[Any, ...]
) -> None:
    async with opened(shared.url) as manager:
        await manager.cluster.delete("k")
        for node in manager.cluster.get_primaries():
            client = manager.cluster.with_options(timeout=2.0)
            reply = await client.execute_command(*args, target_nodes=node)
            assert reply in (None, True, "OK")
