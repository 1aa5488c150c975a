"""Commands for one node, or for all of some kind, while that node is away or has left."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import RedisManager, RedisUnavailableError
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.clusters import PATIENT, cluster_of, keys_in, node_at, shard_keys
from tests.kit.managers import opened
from tests.kit.waiting import until

Call = Callable[[Any, Any], Any]


async def fill(deployment: ClusterDeployment, manager: RedisManager) -> None:
    for keys in shard_keys(deployment, 50):
        await asyncio.gather(*(manager.redis.set(key, key) for key in keys))
    await deployment.replicated()


async def replaced(deployment: ClusterDeployment, manager: RedisManager, old: Node) -> None:
    """Wait until the manager's map has the first replica in place of *old*."""
    await deployment.promoted(deployment.replica_of(0))
    cluster = cluster_of(manager)

    def has_left() -> bool:
        cluster.doubt()  # a node that had lost its role before it died is missed by nobody
        return cluster.map.current(old) is None

    await until(has_left)


FOR_A_NODE: dict[str, Call] = {
    "FLUSHDB": lambda r, node: r.flushdb(target_nodes=node),
    "DBSIZE": lambda r, node: r.dbsize(target_nodes=[node]),
    "SCAN": lambda r, node: r.scan(cursor=7, target_nodes=node),
    "EVAL": lambda r, node: r.execute_command("EVAL", "return 1", 0, target_nodes=node),
    "SETSLOT": lambda r, node: r.execute_command("CLUSTER SETSLOT", 5, "STABLE", target_nodes=node),
}


async def test_a_command_for_a_node_that_has_left_runs_nowhere(
    deployment: ClusterDeployment,
) -> None:
    async with opened(deployment.url) as manager:
        await fill(deployment, manager)
        old = node_at(manager, deployment.primaries[0])
        await deployment.primaries[0].kill()
        await replaced(deployment, manager, old)

        for name, call in FOR_A_NODE.items():
            with pytest.raises(RedisUnavailableError, match="has left the cluster") as caught:
                await call(manager.cluster, old)
            assert str(old.port) not in str(caught.value), name
        assert await manager.cluster.dbsize(target_nodes="primaries") == 150


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda r, _: r.dbsize(target_nodes="primaries"), id="DBSIZE"),
        pytest.param(lambda r, node: r.dbsize(target_nodes=node), id="node"),
    ],
)
async def test_no_other_node_stands_in_for_one_that_leaves_meanwhile(
    deployment: ClusterDeployment, call: Call
) -> None:
    """Where its caller named the nodes; what redis-py's rules send to each goes to its heir."""
    async with opened(deployment.url, **PATIENT) as manager:
        cluster, old = manager.cluster, node_at(manager, deployment.primaries[0])
        await deployment.primaries[0].kill()
        waiting = asyncio.ensure_future(call(cluster, old))
        await replaced(deployment, manager, old)

        with pytest.raises(RedisUnavailableError, match="has left the cluster"):
            await waiting


async def test_a_command_for_any_node_goes_to_another_one(deployment: ClusterDeployment) -> None:
    async with opened(deployment.url, **PATIENT) as manager:
        frozen = deployment.primaries[0]
        default = manager.cluster.get_default_node()
        assert default is node_at(manager, frozen)
        frozen.pause()
        waiting = asyncio.ensure_future(manager.cluster.dbsize())
        await deployment.promoted(deployment.replica_of(0), without=frozen)

        assert await waiting == 0
        assert manager.cluster.nodes_manager.current(default) is None
        frozen.resume()


async def test_a_pipeline_fails_for_the_departed_node_alone(
    deployment: ClusterDeployment,
) -> None:
    async with opened(deployment.url) as manager:
        old = node_at(manager, deployment.primaries[0])
        key = keys_in(deployment.slots_of(1), 1)[0]
        await deployment.primaries[0].kill()
        await replaced(deployment, manager, old)

        pipe: Any = manager.cluster.pipeline()
        pipe.set(key, "value").execute_command("DBSIZE", target_nodes=old).get(key)
        stored, lost, value = await pipe.execute(raise_on_error=False)
        assert (stored, value) == (True, "value")
        assert isinstance(lost, RedisUnavailableError)
        with pytest.raises(RedisUnavailableError, match="has left the cluster"):
            await manager.cluster.on(old).ping()


@pytest.mark.parametrize("seen", [0, 30])
async def test_a_scan_does_not_go_on_at_another_node(
    deployment: ClusterDeployment, seen: int
) -> None:
    """Its cursor means nothing there; a node may leave between the first page and the second."""
    async with opened(deployment.url) as manager:
        await fill(deployment, manager)
        scan = manager.cluster.scan_iter(count=5)
        for _ in range(1 + seen):
            await anext(scan)
        old = node_at(manager, deployment.primaries[0])
        await deployment.primaries[0].kill()
        await replaced(deployment, manager, old)

        with pytest.raises(RedisUnavailableError, match="has left the cluster"):
            async for _ in scan:
                pass


WHILE_ONE_IS_DEAD: dict[str, Call] = {
    "SCAN": lambda r, _: r.scan(),
    "scan_iter": lambda r, _: anext(r.scan_iter()),
    "ECHO": lambda r, node: r.execute_command("ECHO", 5, target_nodes=node),
    "GET": lambda r, node: r.execute_command("GET", target_nodes=node),
    "NOSUCH": lambda r, node: r.execute_command("NOSUCH", 5, target_nodes=node),
    "OBJECT": lambda r, node: r.execute_command("OBJECT", 5, 5, target_nodes=node),
}


async def test_commands_for_a_dead_node_say_that_it_is_unavailable(
    deployment: ClusterDeployment,
) -> None:
    async with opened(deployment.url, outage={"grace": 0.1}) as manager:
        node = node_at(manager, deployment.primaries[0])
        await deployment.replica_of(0).kill()
        await deployment.primaries[0].kill()
        await until(lambda: not node.serving)

        for name, call in WHILE_ONE_IS_DEAD.items():
            outcome, *_ = await asyncio.gather(call(manager.cluster, node), return_exceptions=True)
            # Before Redis 7.0 a key is found in OBJECT 5 5, whose node answers.
            answered = ResponseError if name == "OBJECT" else ()
            assert isinstance(outcome, (RedisUnavailableError, answered)), name
        assert await manager.redis.set(keys_in(deployment.slots_of(1), 1)[0], "value")
