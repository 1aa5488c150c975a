"""A slot that no node serves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from redis_manager_fastapi import (
    CommandTimeoutError,
    RedisCluster,
    RedisManager,
    RedisUnavailableError,
)
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.testing.cluster import ClusterDeployment, slots_by
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.clusters import cluster_of
from tests.kit.lag import TICK, LagMeter
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import eventually, until

KEY = "key"
SLOT = slot_of(KEY)
SLACK = 0.25


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lacking() -> AsyncIterator[ClusterDeployment]:
    """Three primaries, none of which serves the key's slot."""
    async with ClusterDeployment(replicas=0) as deployment:
        await take_away(deployment)
        yield deployment


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole() -> AsyncIterator[ClusterDeployment]:
    """Three primaries that serve all slots at each test's beginning."""
    async with ClusterDeployment(replicas=0) as deployment:
        yield deployment


async def who_knows(deployment: ClusterDeployment) -> list[RedisServer]:
    """The nodes that know an owner of the key's slot."""
    views = [(node, await slots_by(node)) for node in deployment.nodes]
    return [node for node, view in views if any(s <= SLOT <= e for s, e, *_ in view)]


async def take_away(deployment: ClusterDeployment) -> None:
    """Have no node serve the key's slot; one may hear of it again from another meanwhile."""
    while knowing := await who_knows(deployment):
        for node in knowing:
            await node.command("CLUSTER", "DELSLOTS", SLOT)


async def give_back(deployment: ClusterDeployment) -> None:
    """Have the slot served where it was."""
    await serve(deployment)
    await everybody_knows(deployment)


async def serve(deployment: ClusterDeployment) -> None:
    """Give the slot to its node, which tells the others."""
    owner = next(i for i in range(3) if SLOT in deployment.slots_of(i))
    await deployment.primaries[owner].command("CLUSTER", "ADDSLOTS", SLOT)


async def everybody_knows(deployment: ClusterDeployment, timeout: float = 5.0) -> None:
    """Wait until every node knows who serves the slot."""

    async def known_to_all() -> bool:
        return await who_knows(deployment) == deployment.nodes

    await eventually(known_to_all, timeout)


@asynccontextmanager
async def taken_away(deployment: ClusterDeployment) -> AsyncIterator[None]:
    """Within it no node serves the slot."""
    await take_away(deployment)
    try:
        yield
    finally:
        await give_back(deployment)


async def subscribe(client: RedisCluster) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(KEY)


async def ssubscribe(client: RedisCluster) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.ssubscribe(KEY)


async def pipeline(client: RedisCluster) -> None:
    pipe: Any = client.pipeline()
    await pipe.set(KEY, 1).execute()


async def pipeline_without_redirections(client: RedisCluster) -> None:
    pipe: Any = client.pipeline()
    await pipe.set(KEY, 1).execute(allow_redirections=False)


async def transaction(client: RedisCluster) -> None:
    pipe: Any = client.pipeline(transaction=True)
    await pipe.set(KEY, 1).execute()


async def watch(client: RedisCluster) -> None:
    async with client.pipeline(transaction=True) as pipe:
        await pipe.watch(KEY)


@pytest.mark.parametrize(
    "call",
    [
        subscribe,
        pytest.param(ssubscribe, marks=needs("SSUBSCRIBE", redis="7.0")),
        pipeline,
        pipeline_without_redirections,
        transaction,
        watch,
        lambda client: client.get(KEY),
        lambda client: client.blpop([KEY], timeout=1),
    ],
)
async def test_what_needs_the_slot_is_unavailable(
    lacking: ClusterDeployment, call: Callable[[RedisCluster], Awaitable[Any]]
) -> None:
    settings: dict[str, Any] = {"startup": {"policy": "degraded"}, "outage": {"grace": 0.1}}
    async with opened(lacking.url, **settings) as manager:
        await until(lambda: cluster_of(manager).map.nodes)
        with pytest.raises(RedisUnavailableError):
            await call(manager.cluster)


def dedicated(client: RedisCluster) -> RedisCluster:
    return client.with_options(dedicated=True)


@pytest.mark.parametrize(
    "call",
    [
        pipeline,
        transaction,
        watch,
        lambda client: client.set(KEY, 1),
        lambda client: client.get(KEY),
        lambda client: client.set(KEY, "x" * 100_000),
        lambda client: client.eval("return 1", 1, KEY),
        lambda client: client.blpop([KEY], timeout=1),
        lambda client: client.delete(KEY, "other"),
        lambda client: transaction(dedicated(client)),
        lambda client: dedicated(client).set(KEY, 1),
    ],
    ids=[
        *("pipeline", "transaction", "WATCH", "SET", "GET", "large", "EVAL", "BLPOP", "DEL"),
        *("dedicated transaction", "dedicated SET"),
    ],
)
async def test_a_slot_whose_node_is_away_and_that_no_other_has(
    whole: ClusterDeployment, call: Callable[[RedisCluster], Awaitable[Any]]
) -> None:
    """What waited for the node hears that the Cluster is unavailable, and nothing was executed."""
    owner = next(whole.primaries[i] for i in range(3) if SLOT in whole.slots_of(i))
    limits: Any = {"outage": {"grace": 1.5}, "timeout": {"command": 6.0}}
    async with opened(whole.url, **limits) as manager:
        await manager.cluster.eval("return 1", 1, KEY)
        cluster = cluster_of(manager)
        node = cluster.map.choose(SLOT)
        assert node is not None
        pool = node.open()
        owner.pause()
        try:
            await until(lambda: not pool.is_serving)
            waiting = asyncio.ensure_future(call(manager.cluster))
            for other in whole.primaries:
                if other is not owner:
                    await other.command("CLUSTER", "DELSLOTS", SLOT)
            cluster.doubt()
            await until(lambda: cluster.map.slots[SLOT] is None)
            with pytest.raises(RedisUnavailableError) as raised:
                await waiting
        finally:
            owner.resume()
        assert not raised.value.maybe_executed
        await everybody_knows(whole)


@pytest.mark.parametrize("call", [pipeline, transaction, watch])
async def test_a_slot_that_is_taken_away_costs_its_node_no_connection(
    whole: ClusterDeployment, call: Callable[[RedisCluster], Awaitable[Any]]
) -> None:
    async with opened(whole.url, timeout={"command": 5.0}) as manager:
        await call(manager.cluster)
    async with opened(whole.url, outage={"grace": 0.1}) as manager, taken_away(whole):
        with pytest.raises(RedisUnavailableError):
            await call(manager.cluster)

        pools = [node.pool for node in cluster_of(manager).map.nodes if node.pool]
        await until(lambda: all(pool.is_serving for pool in pools))
        assert [pool.generation for pool in pools] == [1, 1, 1]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.mget(KEY, KEY),
        lambda client: client.blpop([f"{{{KEY}}}:queue"], timeout=1),
        lambda client: client.eval("return 1", 1, KEY),
        lambda client: client.set(KEY, "x" * 100_000),
    ],
    ids=["MGET", "BLPOP", "EVAL", "large"],
)
async def test_every_command_waits_for_its_slot_within_grace(
    whole: ClusterDeployment, call: Callable[[RedisCluster], Awaitable[Any]]
) -> None:
    async with opened(whole.url) as manager:
        await manager.cluster.eval("return 1", 1, KEY)
        cluster = cluster_of(manager)
        async with taken_away(whole):
            cluster.doubt()
            await until(lambda: cluster.map.slots[SLOT] is None)
            waiting = asyncio.ensure_future(call(manager.cluster))
            await asyncio.sleep(0.3)
        await waiting


BUSY = "local ends = os.clock() + 1.8 while os.clock() < ends do end"


@needs("os.clock in a script", redis="7.2")
async def test_a_command_that_waited_for_its_slot_has_no_more_time_than_before(
    whole: ClusterDeployment,
) -> None:
    lag, clock = LagMeter(), asyncio.get_running_loop().time
    limits: Any = {"timeout": {"command": 3.0}, "health": {"interval": 60.0, "timeout": 60.0}}
    async with opened(whole.url, outage={"grace": 10.0}, **limits) as manager:
        await manager.cluster.eval("return 1", 1, KEY)
        cluster = cluster_of(manager)
        await take_away(whole)
        cluster.doubt()
        await until(lambda: cluster.map.slots[SLOT] is None)
        began = clock()
        running = asyncio.ensure_future(manager.cluster.eval(BUSY, 1, KEY))
        await asyncio.sleep(1.5)
        await serve(whole)
        with pytest.raises(CommandTimeoutError):
            await running
        ended = clock()
        await everybody_knows(whole, timeout=15.0)  # busy, the node tells nobody
        await asyncio.sleep(3 * TICK)
        lag.stop()

    assert ended - began < 3.0 + SLACK + lag.within(began, ended)


async def test_a_command_that_blocks_for_ever_waits_for_its_slot_no_longer_than_grace(
    whole: ClusterDeployment,
) -> None:
    async with opened(whole.url, outage={"grace": 1.0}) as manager:
        await manager.cluster.get(KEY)
        async with taken_away(whole), asyncio.timeout(5):
            with pytest.raises(RedisUnavailableError):
                await manager.cluster.blpop([f"{{{KEY}}}:queue"], timeout=0)


async def test_without_a_map_no_node_can_be_picked() -> None:
    settings: dict[str, Any] = {"startup": {"policy": "degraded"}, "outage": {"grace": 0.0}}
    async with RedisManager(url="redis+cluster://127.0.0.1:1", **settings) as manager:
        cluster = manager.cluster
        picks = (cluster.get_random_node, cluster.get_random_primary_node, cluster.get_default_node)
        for pick in (*picks, lambda: cluster.get_node_from_key(KEY)):
            with pytest.raises(RedisUnavailableError):
                pick()
