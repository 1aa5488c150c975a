"""Commands of a Cluster that are gathered: they need no task each, and keep every promise."""

import asyncio
import contextvars
import gc
import inspect
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from redis.exceptions import DataError, ResponseError

from redis_manager_fastapi import (
    ClientEndedError,
    CommandTimeoutError,
    PoolClosedError,
    RedisManager,
    RedisNotStartedError,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.testing.cluster import (
    ClusterDeployment,
    begin_move,
    migrate,
    move_slot,
    node_id,
)
from tests.kit.clusters import cluster_of, keys_in, node_at, shard_keys
from tests.kit.managers import opened
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("pipelining")

KEYS = [f"key:{number}" for number in range(100)]
WAYS = pytest.mark.parametrize("gathered", [False, True], ids=["awaited", "gathered"])


def coroutine(call: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    """The call as what it is; redis-py's annotations only promise that it can be awaited."""
    assert isinstance(call, Coroutine)
    return call


async def wait(call: Awaitable[Any], *, gathered: bool) -> Any:
    """Wait for a call in one of both ways."""
    return (await asyncio.gather(call))[0] if gathered else await call


async def filled(manager: RedisManager, deployment: ClusterDeployment) -> None:
    """Give every key its own name as value, on every node, and have all serve that are used."""
    for key in KEYS:
        await manager.redis.set(key, key)
    await deployment.replicated()
    used = [node for node in cluster_of(manager).map.nodes if node.pool is not None]
    await until(lambda: all(node.serving for node in used))


# They need no task.


@pytest.mark.parametrize("reads", ["primary", "replica", "any"])
async def test_gathered_commands_need_no_tasks(
    shared: ClusterDeployment, reads: str, made: list[asyncio.Task[Any]]
) -> None:
    async with opened(shared.url, cluster={"reads": reads}) as manager:
        await filled(manager, shared)
        made.clear()

        read = asyncio.gather(*map(manager.redis.get, KEYS))
        written = asyncio.gather(*(manager.redis.set(key, key) for key in KEYS))

        assert made == []
        assert await read == KEYS
        assert await written == [True] * len(KEYS)


async def test_several_connections_to_each_node_need_none_either(
    shared: ClusterDeployment, made: list[asyncio.Task[Any]]
) -> None:
    pipelining = {"enabled": True, "connections": 2}
    async with opened(shared.url, pipelining=pipelining) as manager:
        await filled(manager, shared)
        made.clear()

        read = asyncio.gather(*map(manager.redis.get, KEYS))

        assert made == []
        assert await read == KEYS


async def test_gathered_commands_are_parsed_like_awaited_ones(shared: ClusterDeployment) -> None:
    async with opened(shared.url) as manager:
        r = manager.redis
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: r.set("string", "1"),
            lambda: r.incr("string"),
            lambda: r.hset("hash", mapping={"a": "1", "b": "2"}),
            lambda: r.hgetall("hash"),
            lambda: r.zadd("sorted", {"a": 1.5}),
            lambda: r.zrange("sorted", 0, -1, withscores=True),
            lambda: r.smembers("set"),
            lambda: r.dump("hash"),
        ]
        gathered = await asyncio.gather(*(call() for call in calls))
        for key in ("string", "hash", "sorted"):
            await r.delete(key)
        awaited = [await call() for call in calls]

        assert gathered == awaited
        assert [type(value) for value in gathered] == [type(value) for value in awaited]


async def test_a_callback_of_the_user_s_runs_in_the_caller_s_context(
    shared: ClusterDeployment,
) -> None:
    async with opened(shared.url, cluster={"reads": "any"}) as manager:
        await filled(manager, shared)
        client = manager.cluster.with_options()
        tasks: list[Any] = []

        def callback(response: Any, **_: Any) -> Any:
            tasks.append(asyncio.current_task())
            return f"<{response}>"

        client.set_response_callback("GET", callback)
        assert await client.get(KEYS[0]) == f"<{KEYS[0]}>"
        assert tasks == [asyncio.current_task()]
        assert await asyncio.gather(*map(client.get, KEYS)) == [f"<{key}>" for key in KEYS]
        assert None not in tasks


async def test_a_forgotten_await_is_named_for_several_keys_and_for_none(
    shared: ClusterDeployment,
) -> None:
    async with opened(shared.url) as manager:
        r: Any = manager.redis
        calls: dict[str, Callable[[], Any]] = {
            "EXISTS": lambda: r.exists(*KEYS),
            "DEL": lambda: r.delete("a", "b"),
            "MGET": lambda: r.mget("{a}1", "{a}2"),
            "DBSIZE": r.dbsize,
            "BLPOP": lambda: r.blpop(["a"], timeout=0.01),
            "GET": lambda: r.with_options(dedicated=True).get("a"),
        }
        for name, make in calls.items():
            call = make()
            with pytest.raises(TypeError, match=f"^{name} was not awaited"):
                bool(call)
            inspect.getmembers(call)
            assert repr(call) == f"<CarriedCall {name} not awaited>"
            await call
            with pytest.warns(RuntimeWarning, match=f"^{name} was never awaited"):
                make()


async def test_a_command_of_several_keys_that_is_left_early_warns_of_nothing(
    shared: ClusterDeployment,
) -> None:
    async with opened(shared.url) as manager:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for turns in range(4):
                task = asyncio.ensure_future(coroutine(manager.redis.delete(*KEYS)))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                gc.collect()

    assert [str(each.message) for each in caught] == []


async def test_what_is_collected_on_its_way_complains_of_nothing(
    shared: ClusterDeployment,
) -> None:
    """It is ended wherever the collector runs, which is another context."""
    async with opened(shared.url) as manager:
        r: Any = manager.redis
        await r.delete(*KEYS)
        for call in (r.delete(*KEYS), r.set(KEYS[0], "x" * 100_000), r.dbsize()):
            contextvars.copy_context().run(call.send, None)
            call.close()


async def test_a_call_is_a_coroutine_to_everyone_else(shared: ClusterDeployment) -> None:
    async with opened(shared.url) as manager:
        r = manager.redis
        await r.set("key", "value")
        call = r.get("key")
        assert inspect.iscoroutine(call)
        assert inspect.iscoroutinefunction(r.execute_command)
        assert "GET" in repr(call)
        assert await call == "value"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
            await call
        async with asyncio.TaskGroup() as group:
            task = group.create_task(coroutine(r.get("key")))
        assert task.result() == "value"
        future = asyncio.ensure_future(r.get("key"))
        assert await asyncio.wait_for(future, 5) == future.result() == "value"
        late: Any = r.get("key")
        waiting = asyncio.get_running_loop().create_future()
        late.add_done_callback(lambda done: waiting.set_result(done.result()))
        assert await asyncio.wait_for(waiting, 5) == "value"
        with pytest.warns(RuntimeWarning, match="SET was never awaited, so it was not sent"):
            r.set("key", "other")  # type: ignore[unused-coroutine]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            coroutine(r.set("key", "other")).close()
        assert await r.get("key") == "value"


async def test_what_cannot_leave_now_is_met_when_it_is_awaited(shared: ClusterDeployment) -> None:
    """No error comes from `gather` itself, as none would with a coroutine."""
    async with opened(shared.url) as manager:
        async with manager.client() as ended:
            pass
        gathered = asyncio.gather(
            manager.redis.set("key", None),  # type: ignore[call-overload]
            ended.get("key"),
            RedisManager(url=shared.url).redis.get("key"),
            manager.redis.execute_command(),
            manager.redis.execute_command("GET"),
            manager.redis.set("large", b"x" * 100_000),
            manager.redis.blpop(["list"], timeout=0.01),
            manager.redis.ping(),
            return_exceptions=True,
        )
        outcomes: list[Any] = await gathered

    kinds = [DataError, ClientEndedError, RedisNotStartedError, IndexError]
    assert [type(outcome) for outcome in outcomes[:4]] == kinds
    assert isinstance(outcomes[4], Exception)
    assert outcomes[5:] == [True, None, True]
    with pytest.raises(PoolClosedError):
        await asyncio.gather(manager.redis.get("key"))


async def test_more_than_the_connections_take_waits_for_room(shared: ClusterDeployment) -> None:
    async with opened(shared.url, pipelining={"enabled": True, "max_in_flight": 4}) as manager:
        await filled(manager, shared)
        assert await asyncio.gather(*map(manager.redis.get, KEYS)) == KEYS


# What goes wrong on the way.


@WAYS
async def test_one_error_is_one_callers_own(shared: ClusterDeployment, gathered: bool) -> None:
    async with opened(shared.url) as manager:
        r = manager.redis
        await r.set("text", "a")
        with pytest.raises(ResponseError, match="not an integer"):
            await wait(r.incr("text"), gathered=gathered)
        outcomes: Any = await asyncio.gather(
            r.get("text"), r.incr("text"), r.lpush("text", "b"), return_exceptions=True
        )
        assert outcomes[0] == "a"
        assert [type(outcome) for outcome in outcomes[1:]] == [ResponseError] * 2


@WAYS
async def test_a_redirect_is_followed(steady: ClusterDeployment, gathered: bool) -> None:
    """By MOVED for a slot that was moved, and by ASK for a key that was."""
    source, target = steady.primaries[:2]
    moved, half = steady.slots_of(0)[:2]
    keys = [*keys_in(range(moved, moved + 1), 5), *keys_in(range(half, half + 1), 5)]

    async with opened(steady.url, health={"interval": 60}) as manager:
        await asyncio.gather(*(manager.redis.set(key, 1) for key in keys))
        await move_slot(moved, source, target)
        async with source.client() as old, target.client() as new:
            await begin_move(half, old, new, (await node_id(source), await node_id(target)))
            await migrate(old, target, keys[5:])

        outcomes = [
            asyncio.create_task(wait(manager.redis.incr(key), gathered=gathered)) for key in keys
        ]
        assert await asyncio.gather(*outcomes) == [2] * 10
        assert await asyncio.gather(*map(manager.redis.get, keys)) == ["2"] * 10


@WAYS
async def test_reads_and_writes_keep_the_contract(
    steady: ClusterDeployment, gathered: bool
) -> None:
    """What was sent to a node that dies, and what waits for it to come back."""
    server = steady.primaries[0]
    (key, other), *_ = shard_keys(steady, 2)
    elsewhere = keys_in(steady.slots_of(1), 1)[0]

    async with opened(steady.url, outage={"grace": 20}, timeout={"command": 20}) as manager:
        r = manager.redis
        await r.set(key, 1)
        node = node_at(manager, server)
        server.pause()
        read = asyncio.create_task(wait(r.get(key), gathered=gathered))
        write = asyncio.create_task(wait(r.incr(key), gathered=gathered))
        await until(lambda: node.open().stats().in_flight >= 2)
        await server.kill()
        await until(lambda: not node.serving)
        unsent = asyncio.create_task(wait(r.incr(other), gathered=gathered))
        assert await wait(r.incr(elsewhere), gathered=gathered) == 1
        await server.start()

        assert await unsent == 1
        assert await read in ("1", "2", None)
        with pytest.raises(ReplyLostError) as raised:
            await write
        assert raised.value.maybe_executed


@WAYS
async def test_grace_ends_with_an_error(steady: ClusterDeployment, gathered: bool) -> None:
    server, key = steady.primaries[0], keys_in(steady.slots_of(0), 1)[0]

    async with opened(steady.url, outage={"grace": 0.3}) as manager:
        node = node_at(manager, server)
        await server.kill()
        await until(lambda: not node.serving)
        with pytest.raises(RedisUnavailableError) as raised:
            await wait(manager.redis.incr(key), gathered=gathered)
        assert not raised.value.maybe_executed


@WAYS
async def test_a_deadline_is_kept(steady: ClusterDeployment, gathered: bool) -> None:
    server, key = steady.primaries[0], keys_in(steady.slots_of(0), 1)[0]
    settings: Any = {"timeout": {"command": 0.2}, "health": {"interval": 5, "timeout": 5}}

    async with opened(steady.url, **settings) as manager:
        await manager.redis.get(key)
        server.pause()
        with pytest.raises(CommandTimeoutError) as raised:
            await wait(manager.redis.incr(key), gathered=gathered)
        server.resume()
        assert raised.value.maybe_executed
        await until(lambda: manager.stats().in_flight == 0)


@WAYS
async def test_who_leaves_in_an_outage_leaves_nothing(
    steady: ClusterDeployment, gathered: bool, complaints: list[dict[str, Any]]
) -> None:
    """Cancelled by a timeout: before the reply, and while it waits for the node."""
    server, key = steady.primaries[0], keys_in(steady.slots_of(0), 1)[0]

    async with opened(steady.url, outage={"grace": 20}, timeout={"command": 20}) as manager:
        node = node_at(manager, server)
        await manager.redis.get(key)
        server.pause()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wait(manager.redis.incr(key), gathered=gathered)
        tasks = asyncio.all_tasks()
        waiting = asyncio.create_task(wait(manager.redis.get(key), gathered=gathered))
        await until(lambda: node.open().stats().in_flight >= 2)
        await server.kill()
        await until(lambda: manager.stats().waiting == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        await until(lambda: manager.stats().waiting == 0)
        await until(lambda: not any("_value" in repr(t) for t in asyncio.all_tasks() - tasks))
        await server.start()
        assert await manager.redis.get(key) is None
    gc.collect()
    assert complaints == []


async def test_a_gather_that_is_cancelled_leaves_nothing(
    steady: ClusterDeployment, complaints: list[dict[str, Any]]
) -> None:
    keys = [key for keys in shard_keys(steady, 10) for key in keys]

    async with opened(steady.url) as manager:
        await asyncio.gather(*map(manager.redis.get, keys))
        for server in steady.primaries:
            server.pause()
        gathered = asyncio.gather(*(manager.redis.get(key) for key in keys))
        await asyncio.sleep(0)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        for server in steady.primaries:
            server.resume()

        assert await asyncio.gather(*(manager.redis.set(key, key) for key in keys)) == [True] * 30
        assert await asyncio.gather(*map(manager.redis.get, keys)) == keys
        assert manager.stats().in_flight == 0
    gc.collect()
    assert complaints == []


async def test_a_cancelled_future_is_not_written(shared: ClusterDeployment) -> None:
    async with opened(shared.url) as manager:
        await manager.redis.delete("counter")
        cancelled = asyncio.ensure_future(manager.redis.incr("counter"))
        kept = asyncio.ensure_future(manager.redis.incr("counter"))
        cancelled.cancel("enough")

        with pytest.raises(asyncio.CancelledError, match="enough"):
            await cancelled
        assert await kept == 1


async def test_replicas_that_die_leave_no_error(steady: ClusterDeployment) -> None:
    async with opened(steady.url, cluster={"reads": "replica"}) as manager:
        await filled(manager, steady)
        for replica in steady.replicas:
            replica.pause()
        reading = asyncio.gather(*map(manager.redis.get, KEYS))
        await until(lambda: manager.stats().in_flight >= len(KEYS))
        for replica in steady.replicas:
            await replica.kill()
        assert await reading == KEYS
        assert await asyncio.gather(*map(manager.redis.get, KEYS)) == KEYS
