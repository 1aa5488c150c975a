"""Commands on a Cluster: redis-py's client, its rules and its values."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio
from redis.exceptions import (
    CrossSlotTransactionError,
    RedisClusterException,
    ResponseError,
    WatchError,
)
from redis.maint_notifications import MaintNotificationsConfig

from redis_manager_fastapi import ClientEndedError, RedisManager, ReplyLostError
from redis_manager_fastapi.client.cluster.keys import KEYS_OF, ONE_KEY
from redis_manager_fastapi.pool.commands import SHARED
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.server import RedisServer
from tests.cluster.clusters import assert_at_rest, cluster_of, node_at, opened
from tests.managers import until
from tests.servers import needs

MIXED = [f"key:{number}" for number in range(30)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[ClusterDeployment]:
    """A Cluster that these tests leave as they found it, but for its data."""
    async with ClusterDeployment() as deployment:
        yield deployment


@pytest_asyncio.fixture(
    params=[
        "pipelined",
        "dedicated",
        pytest.param("RESP3", marks=needs("RESP3 (HELLO)", redis="6.0")),
    ]
)
async def manager(
    shared: ClusterDeployment, request: pytest.FixtureRequest
) -> AsyncIterator[RedisManager]:
    settings: dict[str, Any] = {
        "pipelining": {"enabled": request.param != "dedicated"},
        "protocol": 3 if request.param == "RESP3" else 2,
    }
    async with RedisManager(url=shared.url, **settings) as manager:
        await manager.redis.flushall()
        yield manager
        assert_at_rest(manager)


@pytest_asyncio.fixture
async def plain(shared: ClusterDeployment, manager: RedisManager) -> AsyncIterator[Any]:
    """redis-py's own client, for comparison."""
    node = shared.primaries[0]
    client = redis.asyncio.RedisCluster(
        node.host,
        node.port,
        decode_responses=True,
        protocol=manager.settings.protocol,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    async with client:
        yield client


async def test_the_client_is_redis_py_s_cluster_client(manager: RedisManager) -> None:
    async with manager.client() as client:
        assert isinstance(client, redis.asyncio.RedisCluster)
        assert await client.set("key", "value")
    with pytest.raises(ClientEndedError):
        await client.get("key")
    assert manager.cluster is manager.redis


EXAMPLES: dict[str, tuple[str, ...]] = {
    "BITOP": ("AND", "a", "b", "c"),
    "COPY": ("a", "b"),
    "GEOSEARCHSTORE": ("a", "b", "FROMMEMBER", "m", "BYRADIUS", "1", "m"),
    "LCS": ("a", "b"),
    "LMOVE": ("a", "b", "LEFT", "LEFT"),
    "LMPOP": ("2", "a", "b", "LEFT"),
    "RENAME": ("a", "b"),
    "RENAMENX": ("a", "b"),
    "RPOPLPUSH": ("a", "b"),
    "SINTERCARD": ("2", "a", "b"),
    "SMOVE": ("a", "b", "m"),
    "ZDIFF": ("2", "a", "b"),
    "ZDIFFSTORE": ("z", "2", "a", "b"),
    "ZINTER": ("2", "a", "b"),
    "ZINTERCARD": ("2", "a", "b"),
    "ZINTERSTORE": ("z", "2", "a", "b"),
    "ZMPOP": ("2", "a", "b", "MIN"),
    "ZRANGESTORE": ("a", "b", "0", "1"),
    "ZUNION": ("2", "a", "b"),
    "ZUNIONSTORE": ("z", "2", "a", "b"),
    "EVAL_RO": ("script", "2", "a", "b", "c"),
    "EVALSHA_RO": ("digest", "2", "a", "b", "c"),
}
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("set", ("{t}a", "1"), {"nx": True}),
    ("get", ("{t}a",), {}),
    ("incrbyfloat", ("{t}a", 1.5), {}),
    ("mset", ({"{t}b": "2", "{t}c": "3"},), {}),
    ("mget", (["{t}a", "{t}b", "{t}missing"],), {}),
    ("exists", ("{t}a", "elsewhere", "{t}b"), {}),
    ("hset", ("{t}h",), {"mapping": {"f": "1", "g": "2"}}),
    ("hgetall", ("{t}h",), {}),
    ("rpush", ("{t}l", "a", "b", "c"), {}),
    ("lrange", ("{t}l", 0, -1), {}),
    ("blpop", (["{t}l"],), {"timeout": 1}),
    ("zadd", ("{t}z", {"m": 1, "n": 2}), {}),
    ("zrange", ("{t}z", 0, -1), {"withscores": True}),
    ("xadd", ("{t}x", {"f": "v"}), {"id": "1-1"}),
    ("xread", ({"{t}x": "0"},), {}),
    ("xgroup_create", ("{t}x", "group"), {"id": "0"}),
    ("xinfo_groups", ("{t}x",), {}),
    ("eval", ("return {KEYS[1], ARGV[1]}", 1, "{t}a", "x"), {}),
    ("sort", ("{t}l",), {"alpha": True}),
    ("object", ("ENCODING", "{t}a"), {}),
    ("type", ("{t}z",), {}),
    ("rename", ("{t}b", "{t}d"), {}),
    ("ping", (), {}),
    ("dbsize", (), {"target_nodes": "primaries"}),
    ("delete", ("{t}a", "elsewhere"), {}),
    ("keyslot", ("{t}a",), {}),
    ("cluster_keyslot", ("{t}a",), {}),
    ("pubsub_numsub", ("channel",), {}),
]
LATER_CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("set", ("{t}a", "1"), {}),
    ("getex", ("{t}a",), {"ex": 100}),
    ("zadd", ("{t}z", {"m": 1, "n": 2}), {}),
    ("zunion", (["{t}z", "{t}y"],), {"withscores": True}),
]


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param(CALLS, id="calls"),
        pytest.param(LATER_CALLS, id="later", marks=needs("GETEX and ZUNION", redis="6.2")),
    ],
)
async def test_calls_give_what_redis_py_gives(
    manager: RedisManager, plain: Any, calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]]
) -> None:
    async def run(client: Any) -> list[Any]:
        await client.flushall()
        values = []
        for name, args, options in calls:
            value = getattr(client, name)(*args, **options)
            values.append((name, await value if hasattr(value, "__await__") else value))
        return values

    assert await run(manager.redis) == await run(plain)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda r: r.lpush("{t}string", 1), ResponseError),
        (lambda r: r.mget("a", "b"), RedisClusterException),
        (lambda r: r.execute_command("NOSUCHCOMMAND", "x"), redis.exceptions.RedisError),
        (lambda r: r.rename("a", "b"), RedisClusterException),
    ],
)
async def test_mistakes_are_redis_py_s(
    manager: RedisManager, plain: Any, call: Any, error: type[Exception]
) -> None:
    await plain.set("{t}string", "x")

    with pytest.raises(error) as theirs:
        await call(plain)
    with pytest.raises(error) as ours:
        await call(manager.redis)
    assert type(ours.value) is type(theirs.value)


async def test_commands_over_many_slots(manager: RedisManager) -> None:
    redis: Any = manager.redis

    assert await redis.mset_nonatomic({key: key for key in MIXED})
    assert await redis.mget_nonatomic(MIXED) == MIXED
    assert await redis.exists(*MIXED, "missing") == len(MIXED)
    assert sorted(await redis.keys(target_nodes="primaries")) == sorted(MIXED)
    assert {key async for key in redis.scan_iter(count=5)} == set(MIXED)
    assert await redis.unlink(*MIXED[:10]) == 10
    assert await redis.delete(*MIXED) == len(MIXED) - 10


async def test_each_caller_gets_its_own_replies(manager: RedisManager) -> None:
    redis: Any = manager.redis
    keys = [f"tag:{number}" for number in range(900)]

    await asyncio.gather(*(redis.set(key, key) for key in keys))
    assert await asyncio.gather(*(redis.get(key) for key in keys)) == keys


async def test_one_connection_per_primary_serves_many_callers(shared: ClusterDeployment) -> None:
    async with opened(shared.url, pipelining={"enabled": True}) as manager:
        keys = [f"key:{number}" for number in range(500)]
        await asyncio.gather(*(manager.redis.set(key, key) for key in keys))
        assert [node_at(manager, each).open().stats().connects for each in shared.primaries] == [
            1,
            1,
            1,
        ]
        assert [node_at(manager, each).pool for each in shared.replicas] == [None] * 3


async def test_bytes_and_text_share_a_cluster(manager: RedisManager) -> None:
    raw = manager.cluster.with_options(decode_responses=False)
    await manager.redis.set("key", "wört")

    assert await raw.get("key") == "wört".encode()
    assert await raw.hgetall("none") == {}
    assert await manager.redis.get("key") == "wört"


async def test_a_pipeline_is_split_by_node_and_keeps_its_order(manager: RedisManager) -> None:
    pipe = manager.redis.pipeline()
    for key in MIXED:
        pipe.set(key, 1)
        pipe.incr(key)
        pipe.get(key)

    assert await pipe.execute() == [True, 2, "2"] * len(MIXED)


async def test_a_pipeline_s_errors_are_at_their_places(manager: RedisManager) -> None:
    def queued() -> Any:
        pipe: Any = manager.redis.pipeline()
        return pipe.set("a", "x").incr("a").set("b", 1).lpush("b", 1).get("b")

    values = await queued().execute(raise_on_error=False)
    assert [type(value) for value in values] == [bool, ResponseError, bool, ResponseError, str]
    with pytest.raises(ResponseError, match=r"Command # 2 .INCRBY a 1. of pipeline"):
        await queued().execute()


async def test_a_transaction_has_one_slot(manager: RedisManager) -> None:
    pipe: Any = manager.redis.pipeline(transaction=True)
    pipe.set("{t}a", 1).incr("{t}a").get("{t}a")
    assert await pipe.execute() == [True, 2, "2"]

    pipe.set("a", 1).set("b", 2)
    with pytest.raises(CrossSlotTransactionError):
        await pipe.execute()
    assert await manager.redis.get("a") is None


async def test_watch_sees_another_writer(manager: RedisManager) -> None:
    redis: Any = manager.redis
    await redis.set("{t}a", 1)

    async with redis.pipeline(transaction=True) as pipe:
        await pipe.watch("{t}a")
        assert await pipe.get("{t}a") == "1"
        pipe.multi()
        pipe.set("{t}a", 2)
        assert await pipe.execute() == [True]
        await pipe.watch("{t}a")
        await redis.set("{t}a", 3)
        pipe.multi()
        pipe.set("{t}a", 4)
        with pytest.raises(WatchError):
            await pipe.execute()
        await pipe.watch("{t}a")
        with pytest.raises(CrossSlotTransactionError):
            await pipe.get("elsewhere")
    assert await redis.get("{t}a") == "3"
    assert_at_rest(manager)


async def test_scripts_and_locks(manager: RedisManager) -> None:
    redis: Any = manager.redis
    script = redis.register_script("return redis.call('INCR', KEYS[1])")

    assert [await script(keys=[key]) for key in MIXED] == [1] * len(MIXED)
    async with redis.lock("{t}lock", timeout=5) as lock:
        assert await lock.owned()


@needs("FUNCTION", redis="7.0")
async def test_functions(manager: RedisManager) -> None:
    redis: Any = manager.redis
    code = "#!lua name=lib\nredis.register_function('f', function(keys) return keys[1] end)"

    await redis.function_load(code, replace=True)
    assert [await redis.fcall("f", 1, key) for key in MIXED] == MIXED


@needs("SSUBSCRIBE", redis="7.0")
async def test_sharded_pubsub(manager: RedisManager) -> None:
    redis: Any = manager.redis

    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.ssubscribe(*MIXED)
        for _ in MIXED:
            await pubsub.get_sharded_message(timeout=0.2)
        for channel in MIXED:
            assert await redis.spublish(channel, channel) == 1
        heard: set[str] = set()
        async with asyncio.timeout(5):
            while heard != set(MIXED):
                message = await pubsub.get_sharded_message(timeout=0.1)
                heard |= {message["data"]} if message else set()


async def test_ordinary_pubsub(manager: RedisManager) -> None:
    redis: Any = manager.redis

    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe("news")
        await pubsub.get_message(timeout=1)
        await redis.publish("news", "hello")
        assert (await pubsub.get_message(timeout=1))["data"] == "hello"


async def test_target_nodes_and_one_node_s_client(manager: RedisManager) -> None:
    cluster = manager.cluster
    primaries: Any = cluster.get_primaries()

    assert len(await cluster.info(target_nodes=cluster.PRIMARIES)) == 3
    assert await cluster.dbsize(target_nodes=primaries[0]) == 0
    await cluster.set("key", "value")
    sizes = [await cluster.on(node).dbsize() for node in primaries]
    assert sorted(sizes) == [0, 0, 1]
    async with cluster.on(primaries[0]).client() as pinned:
        assert await pinned.client_id() == await pinned.client_id()


async def test_what_a_scope_forgot_is_closed_at_its_end(
    manager: RedisManager, caplog: pytest.LogCaptureFixture
) -> None:
    async with manager.client() as client:
        pubsub = client.pubsub()
        await pubsub.subscribe("news")

    assert "closed what a client left open at its end: a pub/sub" in caplog.text
    assert_at_rest(manager)


@pytest.mark.parametrize(("reads", "replicas"), [("replica", {1}), ("any", {0, 1})])
async def test_reads_go_to_replicas_by_setting(
    shared: ClusterDeployment, reads: str, replicas: set[int]
) -> None:
    async with opened(shared.url, cluster={"reads": reads}) as manager:
        await manager.redis.set("key", "value")
        await until(lambda: all(node.serving for node in cluster_of(manager).map.nodes))
        for server in shared.nodes:
            await server.command("CONFIG RESETSTAT")
        await asyncio.sleep(0.1)
        for _ in range(20):
            assert await manager.redis.get("key") == "value"
        read = [await reads_of(server) for server in shared.nodes]
        assert sum(read) == 20
        assert {i // 3 for i, calls in enumerate(read) if calls} == replicas


@pytest.mark.parametrize("dedicated", [False, True])
async def test_a_cursor_stays_with_the_primary(shared: ClusterDeployment, dedicated: bool) -> None:
    """A cursor of one server means nothing to another: elements would be missed."""
    async with opened(shared.url, cluster={"reads": "any"}) as manager:
        fields: Any = {f"field {n}": str(n) for n in range(2000)}
        await manager.redis.hset("hash", mapping=fields)
        await until(lambda: all(node.serving for node in cluster_of(manager).map.nodes))
        for server in shared.nodes:
            await server.command("CONFIG RESETSTAT")

        client = manager.redis.with_options(dedicated=dedicated)
        found = {field: value async for field, value in client.hscan_iter("hash")}

        assert found == fields
        scans = [await reads_of(server, "hscan") for server in shared.nodes]
        assert sum(scans) > 20
        assert not any(scans[len(shared.primaries) :])
        await manager.redis.delete("hash")


async def reads_of(server: RedisServer, command: str = "get") -> int:
    stats = await server.command("INFO", "commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


async def test_a_lost_replica_s_reads_go_elsewhere(deployment: ClusterDeployment) -> None:
    async with opened(deployment.url, cluster={"reads": "replica"}) as manager:
        await manager.redis.set("key", "value")
        await until(lambda: all(node.serving for node in cluster_of(manager).map.nodes))
        for replica in deployment.replicas:
            await replica.kill()
        for _ in range(50):
            assert await manager.redis.get("key") == "value"


async def test_a_pipeline_whose_shard_is_lost_tells_about_that_shard_alone(
    deployment: ClusterDeployment,
) -> None:
    keys = [f"key:{number}" for number in range(12)]

    async with opened(deployment.url) as manager:
        for server in (deployment.replica_of(0), deployment.primaries[0]):
            server.pause()
        slow = manager.cluster.with_options(timeout=0.3)
        pipe = slow.pipeline()
        for key in keys:
            pipe.incr(key)
        values = await pipe.execute(raise_on_error=False)
        lost = [slow.keyslot(key) in deployment.slots_of(0) for key in keys]
        assert [isinstance(value, Exception) for value in values] == lost
        for server in (deployment.replica_of(0), deployment.primaries[0]):
            server.resume()
        assert any(lost)


@needs("COMMAND listing subcommands", redis="7.0")
async def test_the_keys_of_listed_commands_are_where_the_table_says(
    redis_server: RedisServer,
) -> None:
    """`ONE_KEY` and `KEYS_OF` agree with a running server."""
    async with redis_server.client() as client:
        client.response_callbacks.clear()
        entries = await client.execute_command("COMMAND")
    found = {}
    for entry in entries:
        found[entry[0].upper()] = (entry, 1)
        for sub in entry[9]:
            found[sub[0].upper().replace("|", " ")] = (sub, 2)
    expected = {
        name
        for name, (entry, place) in found.items()
        if name in SHARED
        and (entry[3], entry[4]) == (place, place)
        and "movablekeys" not in entry[2]
        and name != "CLUSTERSCAN"
    }

    assert ONE_KEY.keys() & found.keys() == expected
    async with redis_server.client() as client:
        for name, rule in KEYS_OF.items():
            args = EXAMPLES.get(name, ("a", "b", "c", "d"))
            asked = await client.execute_command("COMMAND GETKEYS", name, *args)
            assert asked == list(rule(args)), name


async def test_a_write_in_flight_when_its_primary_dies_is_told_as_lost(
    deployment: ClusterDeployment,
) -> None:
    key = "key"

    async with opened(deployment.url) as manager:
        index = next(i for i in range(3) if manager.cluster.keyslot(key) in deployment.slots_of(i))
        primary = deployment.primaries[index]
        slow = "local t = redis.call('TIME')[1]\nwhile redis.call('TIME')[1] - t < 2 do end"
        script = asyncio.ensure_future(manager.redis.eval(slow, 1, key))
        await asyncio.sleep(0.2)
        await primary.kill()
        with pytest.raises(ReplyLostError) as caught:
            await script
        assert caught.value.maybe_executed
