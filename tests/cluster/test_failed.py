"""A Cluster that has failed and still serves: one slot has no owner, and reads are allowed."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from redis_manager_fastapi import RedisManager, RedisUnavailableError
from redis_manager_fastapi.testing.cluster import ClusterDeployment, cluster_info, slots_by
from tests.kit.clusters import cluster_of, keys_in, node_at
from tests.kit.managers import opened
from tests.kit.servers import has, needs
from tests.kit.waiting import eventually, until

LOST = 3
"""The slot that nobody has; it was the first primary's."""

GRACE: dict[str, Any] = {"outage": {"grace": 0.5}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole() -> AsyncIterator[ClusterDeployment]:
    """Three primaries."""
    async with ClusterDeployment(replicas=0, full_coverage=True) as deployment:
        for node in deployment.nodes:
            if has(redis="6.0"):
                await node.config_set("cluster-allow-reads-when-down", "yes")
        yield deployment


@pytest_asyncio.fixture
async def failed(whole: ClusterDeployment) -> ClusterDeployment:
    """The same, when they agree that they have failed."""

    async def all_know() -> bool:
        agreed = True
        for node in whole.nodes:
            if any(first <= LOST <= last for first, last, *_ in await slots_by(node)):
                await node.command("CLUSTER", "DELSLOTS", LOST)
                agreed = False
            agreed = agreed and (await cluster_info(node))["cluster_state"] == "fail"
        return agreed

    await eventually(all_know)
    return whole


def served(deployment: ClusterDeployment) -> str:
    """A key whose slot has an owner."""
    return keys_in(deployment.slots_of(1), 1)[0]


@pytest.mark.parametrize("policy", ["fail", "wait"])
@needs("cluster-allow-reads-when-down", redis="6.0")
async def test_it_opens_and_serves_reads_but_is_not_ready(
    failed: ClusterDeployment, policy: str
) -> None:
    async with opened(failed.url, startup={"policy": policy}, **GRACE) as manager:
        assert await manager.cluster.get(served(failed)) is None
        assert not manager.is_ready
        assert manager.stats().reason == f"slots {LOST}: no node serves them"
        with pytest.raises(RedisUnavailableError) as caught:
            await manager.cluster.set(served(failed), 1)
        assert caught.value.maybe_executed is False


@needs("cluster-allow-reads-when-down", redis="6.0")
async def test_what_a_failed_cluster_answers_is_answered(failed: ClusterDeployment) -> None:
    async with opened(failed.url, **GRACE) as manager:
        cluster, node = manager.cluster, node_at(manager, failed.primaries[0])

        assert (await cluster.info("server", target_nodes=node))["tcp_port"] == node.port
        assert (await cluster.cluster_info(target_nodes=node))["cluster_state"] == "fail"
        assert await cluster.on(node).ping() is True


@needs("SSUBSCRIBE", redis="7.0")
async def test_shard_channels_are_heard(failed: ClusterDeployment) -> None:
    async with opened(failed.url, **GRACE) as manager, manager.cluster.pubsub() as pubsub:
        channel = served(failed)
        await pubsub.ssubscribe(channel)
        await manager.cluster.spublish(channel, "hello")

        async def heard() -> bool:
            message = await pubsub.get_sharded_message(timeout=0.1)
            return message is not None and message["data"] in ("hello", b"hello")

        await eventually(heard)


async def test_it_is_mended_through_this_client(failed: ClusterDeployment) -> None:
    async with opened(failed.url, **GRACE) as manager:
        node = node_at(manager, failed.primaries[0])

        assert await manager.cluster.cluster_addslots(node, LOST)

        await until(lambda: manager.is_ready)
        await manager.cluster.set(keys_in(range(LOST, LOST + 1), 1)[0], 1)


@needs("cluster-allow-reads-when-down", redis="6.0")
async def test_a_node_whose_connections_were_all_lost_is_connected_to_again(
    failed: ClusterDeployment,
) -> None:
    async with opened(failed.url, **GRACE) as manager:
        await manager.cluster.get(served(failed))
        for node in failed.nodes:
            await node.command("CLIENT", "KILL", "TYPE", "normal")

        await until(lambda: cluster_of(manager).is_connected)
        assert await manager.cluster.get(served(failed)) is None


async def test_before_the_first_map_nothing_is_connected(failed: ClusterDeployment) -> None:
    manager = RedisManager(url=failed.url, startup={"policy": "degraded"})
    async with manager:
        assert not cluster_of(manager).is_connected
        await cluster_of(manager).wait_connected(10.0)
