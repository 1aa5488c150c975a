"""The node for commands without a key, and what redis-py's node objects do by themselves."""

from typing import Any

import pytest
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import DataError

from redis_manager_fastapi.cluster.redis_py import RequestPolicy
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.clusters import cluster_of, node_at
from tests.kit.managers import opened
from tests.kit.waiting import until


@pytest.mark.parametrize("made", [lambda c: c, lambda c: c.scoped(None)], ids=["first", "copy"])
async def test_the_node_that_was_set_takes_them(shared: ClusterDeployment, made: Any) -> None:
    async with opened(shared.url) as manager:
        client: Any = made(manager.cluster)
        for server in shared.primaries:
            client.set_default_node(node_at(manager, server))

            assert client.get_default_node().port == server.port
            assert client.with_options(timeout=1.0).get_default_node().port == server.port
            assert (await client.info("server"))["tcp_port"] == server.port


async def test_a_default_node_is_one_client_s_alone(shared: ClusterDeployment) -> None:
    async with opened(shared.url) as manager:
        before = manager.cluster.get_default_node()
        async with manager.client() as client:
            other: Any = client
            other.replace_default_node()
            assert other.get_default_node() is not before
            assert other.get_default_node().is_primary

        assert manager.cluster.get_default_node() is before


async def test_a_named_node_replaces_the_default(shared: ClusterDeployment) -> None:
    async with opened(shared.url) as manager:
        replica = node_at(manager, shared.replicas[0])
        manager.cluster.replace_default_node(replica)

        assert manager.cluster.get_default_node() is replica


@pytest.mark.parametrize("node", [None, ClusterNode("127.0.0.1", 1)])
async def test_a_node_that_is_not_in_the_map_is_refused(
    shared: ClusterDeployment, node: Any
) -> None:
    async with opened(shared.url) as manager:
        with pytest.raises(DataError, match="does not exist in the cluster"):
            manager.cluster.set_default_node(node)


async def test_a_default_node_that_was_demoted_is_passed_over(
    deployment: ClusterDeployment,
) -> None:
    async with opened(deployment.url) as manager:
        manager.cluster.set_default_node(node_at(manager, deployment.primaries[0]))
        await deployment.failover(deployment.replica_of(0))
        cluster_of(manager).doubt()
        await until(lambda: not node_at(manager, deployment.primaries[0]).is_primary)

        assert manager.cluster.get_default_node().is_primary


async def test_cursors_go_where_their_own_client_aggregated(shared: ClusterDeployment) -> None:
    """redis-py remembers the nodes on the client; a copy has its own."""
    async with opened(shared.url) as manager:
        client: Any = manager.cluster.scoped(None)
        client._aggregate_nodes = [client.get_random_node()]

        special = client._policies_callback_mapping[RequestPolicy.SPECIAL]
        assert special() == client._aggregate_nodes


@pytest.mark.parametrize(
    "send",
    [
        lambda node: node.execute_command("PING"),
        lambda node: node.execute_pipeline([]),
    ],
)
async def test_a_node_of_the_map_sends_nothing_past_the_manager(
    shared: ClusterDeployment, send: Any
) -> None:
    async with opened(shared.url) as manager:
        node = manager.cluster.get_default_node()
        with pytest.raises(TypeError, match=r"use a client of it: `manager.cluster.on\(node\)`"):
            await send(node)
        assert await manager.cluster.on(node).ping() is True
