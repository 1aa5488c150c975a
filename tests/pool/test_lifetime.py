"""The lifetime of shared connections: replaced without an error, wherever the name leads now."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from redis_manager_fastapi import Event, Gap, PoolState, RedisManager, StateChanged
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.managers import opened, pool_of, pools_of
from tests.kit.reading import REPLICA, until_read_from_a_replica
from tests.kit.waiting import until

# Nobody may wait.
SHORT: dict[str, Any] = {
    "pool": {"max_lifetime": 0.5},
    "health": {"interval": 0.1, "backoff_cap": 0.2},
    "outage": {"grace": 0.0},
}


@pytest.mark.parametrize("connections", [1, 3])
async def test_shared_connections_are_replaced_under_traffic_without_an_error(
    redis_url: str, connections: int
) -> None:
    events: list[Event] = []
    settings: Any = {
        "pool": {"max_lifetime": 0.2},
        "health": {"interval": 0.05, "backoff_cap": 0.05},
        "pipelining": {"connections": connections},
    }
    async with opened(redis_url, listeners=[events.append], **settings) as manager:
        old = pool_of(manager).links
        asked = 0

        async def ask() -> None:
            nonlocal asked
            while manager.stats().generation < 4:
                asked += 1
                number = asked
                assert await manager.redis.echo(str(number)) == str(number)

        await asyncio.gather(*(ask() for _ in range(16)))

        assert all(link.lost for link in old)
        assert manager.stats().links == connections
        states = [event.state for event in events if isinstance(event, StateChanged)]
        assert states == ["starting", "ready"]


async def test_a_name_that_leads_elsewhere_is_followed(tmp_path: Path) -> None:
    """Row 67: the old server lives, and says nothing of it."""
    name = tmp_path / "redis.sock"
    settings: Any = {"pool": {"max_lifetime": 0.5}, "health": {"interval": 0.05}}
    async with RedisServer(unix_socket=True) as old, RedisServer(unix_socket=True) as new:
        assert old.unix_socket
        assert new.unix_socket
        name.symlink_to(old.unix_socket)
        async with opened(f"unix://{name}", **settings) as manager:
            await manager.redis.set("server", "old")
            async with new.client() as admin:
                await admin.set("server", "new")
            name.unlink()
            name.symlink_to(new.unix_socket)
            moved = asyncio.get_running_loop().time()
            seen = []
            while (value := await manager.redis.get("server")) != "new":
                seen.append(value)
                await asyncio.sleep(0.002)
            took = asyncio.get_running_loop().time() - moved

            assert took < 0.5 + 0.15
            assert set(seen) == {"old"}
            shared, dedicated = manager.redis, manager.redis.with_options(dedicated=True)
            assert await shared.get("server") == await dedicated.get("server") == "new"


@asynccontextmanager
async def moving(tmp_path: Path) -> AsyncIterator[tuple[RedisManager, Callable[[], Any], Any]]:
    """A manager of a name, what has it lead to another server, and a client of that one."""
    name = tmp_path / "redis.sock"
    async with RedisServer(unix_socket=True) as old, RedisServer(unix_socket=True) as new:
        assert old.unix_socket
        assert new.unix_socket
        name.symlink_to(old.unix_socket)
        async with opened(f"unix://{name}", **SHORT) as manager, new.client() as there:

            async def move() -> None:
                before = pool_of(manager).peer
                name.unlink()
                name.symlink_to(str(new.unix_socket))
                await until(lambda: pool_of(manager).peer != before)

            yield manager, move, there


async def test_a_pub_sub_listens_where_the_name_leads_now(tmp_path: Path) -> None:
    """Row 67: the old server would say nothing for ever."""
    async with moving(tmp_path) as (manager, move, there), manager.redis.pubsub() as pubsub:
        await pubsub.subscribe("news")
        reading = asyncio.ensure_future(anext(each async for each in pubsub.listen() if of(each)))
        await asyncio.sleep(0)
        await move()
        await until(lambda: manager.stats().resubscribed == 1)
        await there.publish("news", "from the new one")

        assert (await asyncio.wait_for(reading, 5))["data"] == "from the new one"


def of(message: dict[str, Any]) -> bool:
    return bool(message["type"] == "message")


async def test_commands_that_block_wait_where_the_name_leads_now(tmp_path: Path) -> None:
    """Row 67, with the next part of each, and without an error."""
    async with moving(tmp_path) as (manager, move, there):
        r = manager.redis
        popping = asyncio.ensure_future(r.blpop(["jobs"], timeout=0))
        reading = asyncio.ensure_future(r.xread({"stream": "0"}, block=0))
        await until(lambda: manager.stats().leased == 2)
        await move()
        await there.rpush("jobs", "job")
        await there.xadd("stream", {"f": "v"})

        assert await asyncio.wait_for(popping, 5) == ("jobs", "job")
        assert len(await asyncio.wait_for(reading, 5)) == 1


async def test_a_tail_follows_the_stream_where_the_name_leads_now(tmp_path: Path) -> None:
    async with moving(tmp_path) as (manager, move, there), manager.tail("stream") as entries:
        await move()
        adding = asyncio.ensure_future(add_for_ever(there))
        async with asyncio.timeout(5):
            found = [each.fields async for each in first(entries)]
        adding.cancel()

        assert found == [{"from": "the new one"}]


async def first(entries: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for each in entries:
        if not isinstance(each, Gap):
            yield each
            return


async def add_for_ever(there: Any) -> None:
    while True:
        await there.xadd("stream", {"from": "the new one"})
        await asyncio.sleep(0.05)


async def test_what_a_holder_has_to_itself_stays_where_it_is(tmp_path: Path) -> None:
    """What was watched or selected there, no other server knows."""
    async with moving(tmp_path) as (manager, move, there):
        r = manager.redis
        async with r.client() as pinned, r.pipeline() as pipe:
            number = await pinned.client_id()
            await pipe.watch("key")
            popping = asyncio.ensure_future(pinned.blpop(["jobs"], timeout=1))
            await until(lambda: manager.stats().leased == 2)
            await move()

            assert await popping is None
            assert await pinned.client_id() == number
            pipe.multi()
            pipe.set("key", "value")
            assert await pipe.execute() == [True]
        assert await there.get("key") is None


async def test_of_a_cluster_s_nodes() -> None:
    """Each node's are replaced by themselves, and no command meets an error or waits."""
    async with (
        ClusterDeployment(shards=3, replicas=0) as deployment,
        opened(deployment.url, **SHORT) as manager,
    ):
        await written_until(manager, manager.cluster, lambda: pools_of(manager))


async def test_of_a_primary_and_a_replica() -> None:
    settings: Any = {**SHORT, **REPLICA}
    async with SentinelDeployment() as deployment, opened(deployment.url, **settings) as manager:
        await until_read_from_a_replica(manager)
        primary, replica = pool_of(manager), manager._deployment.replica.opened  # type: ignore[attr-defined]
        await written_until(manager, manager.redis, lambda: [primary, replica])


async def test_they_do_not_end_together_in_many_processes(redis_url: str) -> None:
    ends = []
    for _ in range(20):
        async with opened(redis_url) as manager:
            _, supervisor, _ = manager._deployment._running  # type: ignore[attr-defined]
            ends.append(supervisor._lifetime / manager.settings.pool.max_lifetime)

    assert len(set(ends)) == 20
    assert all(0.9 <= end <= 1.0 for end in ends)


async def written_until(manager: RedisManager, redis: Any, pools: Callable[[], list[Pool]]) -> None:
    """Callers in closed loops, until all connections were replaced twice."""

    async def call(number: int) -> None:
        count = 0
        while any(pool.generation < 3 for pool in pools()):
            count += 1
            assert await redis.incr(f"counter {number}") == count
            await redis.get(f"counter {number}")

    async with asyncio.timeout(20):
        await asyncio.gather(*(call(number) for number in range(12)))
    assert manager.stats().state is PoolState.READY


async def test_a_name_that_leads_nowhere_costs_nothing_while_the_server_lives(
    tmp_path: Path,
) -> None:
    name = tmp_path / "redis.sock"
    settings: Any = {"pipelining": {"enabled": True}}  # a command's own connection has no server
    settings |= {"pool": {"max_lifetime": 0.1}, "health": {"interval": 0.05}}
    async with RedisServer(unix_socket=True) as server:
        assert server.unix_socket
        name.symlink_to(server.unix_socket)
        async with opened(f"unix://{name}", **settings) as manager:
            name.unlink()
            connects = manager.stats().connects
            await until(lambda: manager.stats().connects > connects + 1)

            assert await manager.redis.set("key", "value")
            assert (manager.stats().state, manager.stats().generation) == (PoolState.READY, 1)


async def test_a_lease_outlives_the_connections_beside_it(redis_url: str) -> None:
    settings: Any = {"pool": {"max_lifetime": 0.2}, "health": {"interval": 0.05}}
    async with opened(redis_url, **settings) as manager:
        async with manager.redis.pubsub() as pubsub:
            await pubsub.subscribe("news")
            await until(lambda: manager.stats().generation > 1)
            await manager.redis.publish("news", "still here")
            async with asyncio.timeout(2):
                while (message := await pubsub.get_message(timeout=1)) is not None:
                    if message["type"] == "message":
                        break

        assert message is not None
        assert message["data"] == "still here"
