"""Row 68: a large reply on a slow network, in front of everybody's replies."""

import asyncio
from typing import Any

import pytest

from redis_manager_fastapi import CommandTimeoutError
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.clusters import node_at
from tests.kit.managers import opened, pool_of
from tests.kit.reading import REPLICA, until_read_from_a_replica
from tests.kit.waiting import until

SIZE = 8_000_000
LARGE = 3_000_000
HEALTH = {"interval": 0.1, "timeout": 0.2}


async def test_a_large_reply_ends_no_connection_and_goes_alone_next_time(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Row 68: its own caller may be late; nobody is dropped, and nobody waits the next time."""
    async with redis_server.client() as admin:
        await admin.set("large", b"x" * SIZE)
    settings: Any = {"pipelining": {"enabled": True}, "health": HEALTH, "timeout": {"command": 5.0}}
    async with opened(fault_proxy.url, **settings) as manager:
        (link,) = pool_of(manager).links
        await fault_proxy.drip(80_000, 0.01, direction="to_client")
        hasty = manager.redis.with_options(timeout=0.2)
        with pytest.raises(CommandTimeoutError):
            await hasty.get("large")
        values = await asyncio.gather(*(manager.redis.echo(str(n)) for n in range(20)))

        assert values == [str(n) for n in range(20)]
        assert not link.lost
        assert manager.stats().generation == 1

        large: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.get("large"))
        await until(lambda: manager.stats().leased == 1)
        began = asyncio.get_running_loop().time()
        for number in range(10):
            assert await manager.redis.echo(str(number)) == str(number)
        took = asyncio.get_running_loop().time() - began

        assert not large.done()
        assert took < 0.5
        assert len(await large) == SIZE
        assert manager.stats().generation == 1


async def test_the_rest_of_a_large_reply_never_comes(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Row 68: it had begun to flow, and stops: the connection is dropped within the bound."""
    async with redis_server.client() as admin:
        await admin.set("large", b"x" * SIZE)
    settings: Any = {"pipelining": {"enabled": True}, "health": HEALTH, "timeout": {"command": 2.0}}
    async with opened(fault_proxy.url, **settings) as manager:
        (link,) = pool_of(manager).links
        await fault_proxy.drip(80_000, 0.01, direction="to_client")
        large: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.get("large"))
        await until(lambda: link._partial > 1_000_000)
        await fault_proxy.black_hole(new=False)
        began = asyncio.get_running_loop().time()
        await until(lambda: link.lost)

        assert asyncio.get_running_loop().time() - began < 0.3 + 0.2
        await fault_proxy.pass_through()
        assert len(await large) == SIZE


@pytest.mark.parametrize("write", [False, True])
async def test_commands_behind_a_large_reply_wait_for_it_beyond_their_time(
    redis_server: RedisServer, fault_proxy: FaultProxy, write: bool
) -> None:
    """Row 68: they have been executed, and their replies are on the way; newcomers go past."""
    async with redis_server.client() as admin:
        await admin.set("large", b"x" * SIZE)
    settings: Any = {"pipelining": {"enabled": True}, "health": HEALTH, "timeout": {"command": 0.5}}
    async with opened(fault_proxy.url, **settings) as manager:
        (link,) = pool_of(manager).links
        await fault_proxy.drip(40_000, 0.01, direction="to_client")
        patient = manager.redis.with_options(timeout=10)
        large: asyncio.Future[Any] = asyncio.ensure_future(patient.get("large"))
        await asyncio.sleep(0)
        command: Any = manager.redis.incr if write else manager.redis.exists
        behind = asyncio.gather(*(command("counter") for _ in range(20)))
        began = asyncio.get_running_loop().time()
        await until(lambda: manager.stats().generation == 2)
        assert await manager.redis.echo("newcomer") == "newcomer"
        assert asyncio.get_running_loop().time() - began < 1.0

        assert await behind == (list(range(1, 21)) if write else [0] * 20)
        assert asyncio.get_running_loop().time() - began > 1.0
        assert len(await large) == SIZE
        await until(lambda: link.lost)
        assert manager.stats().generation == 2


async def test_commands_behind_a_large_reply_that_stops(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Row 68: they wait no longer than it flows."""
    async with redis_server.client() as admin:
        await admin.set("large", b"x" * SIZE)
    health = {"interval": 5, "timeout": 5}
    settings: Any = {"pipelining": {"enabled": True}, "health": health, "timeout": {"command": 0.5}}
    async with opened(fault_proxy.url, **settings) as manager:
        await fault_proxy.drip(40_000, 0.01, direction="to_client")
        patient = manager.redis.with_options(timeout=4)
        large: asyncio.Future[Any] = asyncio.ensure_future(patient.get("large"))
        await asyncio.sleep(0)
        behind = [asyncio.ensure_future(manager.redis.incr("counter")) for _ in range(20)]
        await until(lambda: manager.stats().generation == 2)
        await fault_proxy.black_hole(new=False)
        began = asyncio.get_running_loop().time()
        ended = await asyncio.gather(*behind, return_exceptions=True)

        assert asyncio.get_running_loop().time() - began < 1.0 + 0.2
        assert {type(error) for error in ended} == {CommandTimeoutError}
        assert not large.done()
        await fault_proxy.pass_through()
        large.cancel()


async def plain(client: Any, key: str) -> Any:
    return await client.get(key)


async def piped(client: Any, key: str) -> Any:
    return (await client.pipeline(transaction=False).get(key).exists(key).execute())[0]


async def in_transaction(client: Any, key: str) -> Any:
    return (await client.pipeline(transaction=True).get(key).exists(key).execute())[0]


async def many_keys(client: Any, key: str) -> Any:
    """A request of some kilobytes."""
    return (await client.mget(key, *(f"{{{key}}}:{n:0100}" for n in range(100))))[0]


async def fill(server: RedisServer, replicas: int = 0) -> None:
    async with server.client() as admin:
        await admin.set("large", b"x" * LARGE)
        assert await admin.wait(replicas, 3000) >= replicas


WAYS = [plain, piped, in_transaction, many_keys]


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_to_a_large_reply_goes_alone_the_next_time(
    redis_server: RedisServer, way: Any
) -> None:
    await fill(redis_server)
    async with opened(redis_server.url, pipelining={"enabled": True}) as manager:
        for used in (0, 1):
            assert len(await way(manager.redis, "large")) == LARGE
            assert manager.stats().idle == used


@pytest.mark.parametrize("way", [piped, in_transaction])
async def test_what_holds_a_command_known_for_its_large_reply_goes_alone(
    redis_server: RedisServer, way: Any
) -> None:
    await fill(redis_server)
    async with opened(redis_server.url, pipelining={"enabled": True}) as manager:
        await manager.redis.get("large")
        assert manager.stats().idle == 0
        await way(manager.redis, "large")

        assert manager.stats().idle == 1


@pytest.mark.parametrize("way", WAYS)
async def test_on_a_cluster(way: Any) -> None:
    deployment = ClusterDeployment(shards=3, replicas=0, full_coverage=False)
    async with deployment:
        slot = slot_of("large")
        owner = next(i for i in range(3) if slot in deployment.slots_of(i))
        await fill(deployment.primaries[owner])
        async with opened(deployment.url, pipelining={"enabled": True}) as manager:
            node = node_at(manager, deployment.primaries[owner])
            for used in (0, 1):
                assert len(await way(manager.cluster, "large")) == LARGE
                assert node.open().leases.capacity.idle == used


@pytest.mark.parametrize("way", [plain, piped, many_keys])
async def test_with_reads_from_a_replica(way: Any) -> None:
    async with SentinelDeployment() as deployment:
        settings = {**REPLICA, "pipelining": {"enabled": True}}
        async with opened(deployment.url, **settings) as manager:
            await until_read_from_a_replica(manager)
            await fill(deployment.servers[0], replicas=2)
            for used in (0, 1):
                assert len(await way(manager.redis, "large")) == LARGE
                assert manager.stats().idle == used
