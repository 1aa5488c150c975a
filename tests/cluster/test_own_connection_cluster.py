"""What means something on its own connection only is refused on a Cluster in the same words."""

from typing import Any

import pytest
from redis.asyncio import RedisCluster
from redis.exceptions import DataError

from redis_manager_fastapi.commands.sharing import OF_THEIR_CONNECTION, UNANSWERED
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.managers import opened

SPELLED: list[tuple[Any, ...]] = [
    *((name,) for name in sorted(OF_THEIR_CONNECTION - UNANSWERED.keys())),
    ("SELECT", 1),
    ("select 1",),
    (b"SELECT", 1),
    (memoryview(b"SELECT"), 1),
    ("CLIENT", "SETNAME", "me"),
    ("client tracking on",),
    ("HELLO", "3"),
]
NO_REPLY: list[tuple[Any, ...]] = [
    *((name,) for name in sorted(UNANSWERED)),
    ("client reply off",),
    ("CLIENT", b"REPLY", "SKIP"),
    (b"monitor",),
]
TARGETS = [None, RedisCluster.ALL_NODES, RedisCluster.PRIMARIES, RedisCluster.DEFAULT_NODE]


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize(
    ("commands", "words"),
    [(SPELLED, "pinned to one"), (NO_REPLY, "listener's|replica's|without the replies")],
    ids=["pinned", "no reply"],
)
async def test_it_is_refused_however_it_is_spelled_and_sent(
    shared: ClusterDeployment, commands: list[tuple[Any, ...]], words: str, target: Any
) -> None:
    options = {"target_nodes": target} if target else {}
    async with opened(shared.url) as manager:
        for client in (manager.cluster, manager.cluster.with_options(dedicated=True)):
            for command in commands:
                with pytest.raises(DataError, match=words):
                    await client.execute_command(*command, **options)


async def test_it_acts_on_a_client_pinned_to_a_node(shared: ClusterDeployment) -> None:
    async with opened(shared.url) as manager:
        node = manager.cluster.get_default_node()
        async with manager.cluster.on(node).client() as pinned:
            assert await pinned.client_setname("me")
            assert await pinned.client_getname() == "me"
