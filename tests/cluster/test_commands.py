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

from redis_manager_fastapi import ClientEndedError, RedisManager
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.clusters import PATIENT, node_at
from tests.kit.managers import assert_at_rest, opened
from tests.kit.servers import needs

MIXED = [f"key:{number}" for number in range(30)]


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
        **PATIENT,
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


async def crossing(pipe: Any) -> None:
    pipe.set("{t}a", 1)
    pipe.set("{u}b", 1)
    await pipe.execute()


async def crossing_at_the_second_watch(pipe: Any) -> None:
    await pipe.watch("{t}a")
    await pipe.watch("{u}b")


async def crossing_in_one_watch(pipe: Any) -> None:
    await pipe.watch("{t}a", "{u}b")


async def crossing_under_watch(pipe: Any) -> None:
    await pipe.watch("{t}a")
    await pipe.get("{u}b")


async def crossing_after_multi(pipe: Any) -> None:
    await pipe.watch("{t}a")
    pipe.multi()
    pipe.set("{u}b", 1)
    await pipe.execute()


async def no_integer(pipe: Any) -> None:
    pipe.set("{t}a", "x").incr("{t}a")
    await pipe.execute()


async def no_integer_under_watch(pipe: Any) -> None:
    await pipe.watch("{t}a")
    pipe.multi()
    pipe.set("{t}a", "x").incr("{t}a")
    await pipe.execute()


async def too_few_arguments(pipe: Any) -> None:
    pipe.execute_command("SET", "{t}a")
    await pipe.execute()


async def nested_multi(pipe: Any) -> None:
    pipe.multi()
    pipe.multi()


async def watch_after_multi(pipe: Any) -> None:
    pipe.multi()
    await pipe.watch("{t}a")


@pytest.mark.parametrize(
    "mistake",
    [
        crossing,
        crossing_at_the_second_watch,
        crossing_in_one_watch,
        crossing_under_watch,
        crossing_after_multi,
        no_integer,
        no_integer_under_watch,
        too_few_arguments,
        nested_multi,
        watch_after_multi,
    ],
)
async def test_mistakes_in_a_transaction_are_told_in_redis_py_s_words(
    manager: RedisManager, plain: Any, mistake: Any
) -> None:
    told = []
    for client in (manager.redis, plain):
        async with client.pipeline(transaction=True) as pipe:
            with pytest.raises((redis.exceptions.RedisError, RedisClusterException)) as caught:
                await mistake(pipe)
        told.append((type(caught.value), str(caught.value)))

    assert told[0] == told[1]


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


async def test_a_response_callback_is_its_client_s_alone(manager: RedisManager) -> None:
    mine, theirs = manager.cluster.with_options(), manager.cluster
    await theirs.set("key", "value")
    node: Any = theirs.get_node_from_key("key")

    mine.set_response_callback("GET", lambda *_, **__: "parsed")
    assert await mine.get("key") == await mine.on(node).get("key") == "parsed"
    assert await theirs.get("key") == await theirs.on(node).get("key") == "value"


async def test_what_a_scope_forgot_is_closed_at_its_end(
    manager: RedisManager, caplog: pytest.LogCaptureFixture
) -> None:
    async with manager.client() as client:
        pubsub = client.pubsub()
        await pubsub.subscribe("news")

    assert "block left open: a pub/sub" in caplog.text
    assert_at_rest(manager)
