"""Commands of modules leave a session alone, and most share a connection.

A server without the modules refuses them, over the connection that they would use.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from redis.commands.search.field import TextField
from redis.exceptions import ResponseError

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.commands.keys import KEYS_OF, ONE_KEY
from redis_manager_fastapi.commands.sharing import SHARED, leaves_session_alone
from redis_manager_fastapi.commands.table import MODULES
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import opened
from tests.kit.servers import MODULES as MODULE_SERVER

MODULES_NEEDED = pytest.mark.skipif(
    not MODULE_SERVER.exists(), reason="no server with modules: run scripts/module-servers"
)

SHARING: list[tuple[Any, ...]] = [
    ("JSON.GET", "k"),
    ("JSON.SET", "k", "$", "1"),
    ("BF.ADD", "k", "a"),
    ("CF.ADD", "k", "a"),
    ("CMS.INCRBY", "k", "a", 1),
    ("TOPK.ADD", "k", "a"),
    ("TDIGEST.ADD", "k", 1),
    ("TS.ADD", "k", "*", 1),
    ("VADD", "k", "VALUES", 1, 1, "a"),
    ("VEMB", "k", "a"),
    ("FT.SUGADD", "k", "a", 1),
]
ALONE: list[tuple[Any, ...]] = [
    ("FT.SEARCH", "i", "q"),
    ("FT.AGGREGATE", "i", "q"),
    ("FT.CURSOR", "READ", "i", 1),
    ("TS.MRANGE", "-", "+", "FILTER", "a=b"),
    ("VSIM", "k", "ELE", "a"),
    ("CLIENT ID",),
    ("CLIENT LIST",),
    ("CLIENT", "INFO"),
    ("CLUSTER INFO",),
    ("CLUSTER", "NODES"),
    ("MODULE LIST",),
    ("COMMANDLOG", "LEN", "slow"),
    ("INCREX", "k"),
    ("DIGEST", "k"),
    ("ARGET", "k", 0),
    ("TS.READ", "k", 0),
]


async def try_to(call: Callable[[], Awaitable[Any]]) -> None:
    with suppress(ResponseError):
        await call()


@pytest.mark.parametrize("args", SHARING, ids=lambda args: args[0])
async def test_command_shares_the_connection(redis_url: str, args: tuple[Any, ...]) -> None:
    async with opened(redis_url, pipelining={"enabled": True}) as manager:
        await manager.redis.ping()
        before = manager.stats().connects
        for _ in range(20):
            await try_to(lambda: manager.redis.execute_command(*args))

        assert manager.stats().connects == before
        assert manager.stats().idle == 0


@pytest.mark.parametrize("args", ALONE, ids=lambda args: " ".join(map(str, args)))
async def test_command_s_connection_is_leased_again(
    redis_manager: RedisManager, args: tuple[Any, ...]
) -> None:
    await redis_manager.redis.ping()
    before = redis_manager.stats().connects
    for _ in range(20):
        await try_to(lambda: redis_manager.redis.execute_command(*args))

    assert redis_manager.stats().connects <= before + 1


async def test_pinned_connection_is_leased_again_after_them(redis_manager: RedisManager) -> None:
    numbers = set()
    for _ in range(3):
        async with redis_manager.connection() as pinned:
            numbers.add(await pinned.client_id())
            for args in (*SHARING, *ALONE):
                await try_to(lambda args=args: pinned.execute_command(*args))  # type: ignore[misc]

    assert len(numbers) == 1


@pytest.mark.parametrize(
    ("args", "keys"),
    [
        (("JSON.MGET", "{t}a", "{t}b", "$.path"), ("{t}a", "{t}b")),
        (("JSON.MSET", "{t}a", "$", "1", "{t}b", "$", "2"), ("{t}a", "{t}b")),
        (("TS.MADD", "{t}a", 1, 2.0, "{t}b", 1, 2.0), ("{t}a", "{t}b")),
        (("TS.CREATERULE", "{t}a", "{t}b", "AGGREGATION", "avg", 60), ("{t}a", "{t}b")),
        (("TS.DELETERULE", "{t}a", "{t}b"), ("{t}a", "{t}b")),
        (("CMS.MERGE", "{t}a", 2, "{t}b", "{t}c", "WEIGHTS", 1, 2), ("{t}a", "{t}b", "{t}c")),
        (("TDIGEST.MERGE", "{t}a", 1, "{t}b", "OVERRIDE"), ("{t}a", "{t}b")),
    ],
    ids=lambda value: value[0],
)
def test_keys_of_commands_with_several(args: tuple[Any, ...], keys: tuple[str, ...]) -> None:
    assert tuple(KEYS_OF[args[0]](args[1:])) == keys
    assert len({slot_of(key) for key in keys}) == 1


def test_every_one_is_in_one_table() -> None:
    assert all(leaves_session_alone(name) for name in MODULES)
    assert not MODULES & SHARED.keys()
    assert {"JSON.GET", "BF.ADD", "TS.ADD", "VADD"} <= ONE_KEY.keys()


@MODULES_NEEDED
@pytest.mark.parametrize("protocol", [2, 3])
async def test_on_a_server_with_modules_no_call_connects(protocol: Any) -> None:
    async with (
        RedisServer(binary=MODULE_SERVER) as server,
        opened(server.url, protocol=protocol, pipelining={"enabled": True}) as manager,
    ):
        r: Any = manager.redis
        await r.ft("i").create_index([TextField("name")])
        await r.topk().reserve("topk", 3, 8, 7, 0.9)
        await r.cms().initbydim("cms", 100, 5)
        await r.tdigest().create("digest")
        before = (await r.info("stats"))["total_connections_received"]
        for number in range(10):
            await r.json().set("doc", "$", {"n": number})
            await r.json().get("doc")
            await r.bf().add("bf", number)
            await r.cf().add("cf", number)
            await r.cms().incrby("cms", ["a"], [1])
            await r.topk().add("topk", "a")
            await r.tdigest().add("digest", [number])
            await r.ts().add("series", number + 1, 1.0, labels={"kind": "test"})
            await r.ts().mget(["kind=test"])
            await r.ft("i").search("a")
            await r.client_id()

        assert (await r.info("stats"))["total_connections_received"] == before
