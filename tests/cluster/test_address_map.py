"""A Cluster whose nodes are reached through forwarded ports."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from redis_manager_fastapi.testing import FaultProxy
from redis_manager_fastapi.testing.cluster import ClusterDeployment, move_slot
from tests.kit.clusters import keys_in
from tests.kit.managers import opened


@pytest.mark.parametrize("form", ["text", "callable"])
async def test_every_node_of_a_cluster_is_reached_where_the_map_says(
    steady: ClusterDeployment, form: str
) -> None:
    async with AsyncExitStack() as stack:
        ports: dict[int, int] = {}
        for node in steady.nodes:
            proxy = await stack.enter_async_context(FaultProxy(node.host, node.port))
            ports[node.port] = proxy.port
        address_map: Any = ",".join(f"127.0.0.1:{a}=127.0.0.1:{b}" for a, b in ports.items())
        if form == "callable":
            address_map = lambda address: (address.host, ports.get(address.port, address.port))  # noqa: E731
        first = f"redis+cluster://127.0.0.1:{ports[steady.primaries[0].port]}"
        async with opened(first, address_map=address_map) as manager:
            r: Any = manager.cluster
            keys = [keys_in(steady.slots_of(index), 1)[0] for index in range(3)]
            for key in keys:
                await r.set(key, key)
            slot = steady.slots_of(0)[0]
            moved = keys_in(range(slot, slot + 1), 1)[0]
            await move_slot(slot, steady.primaries[0], steady.primaries[1])
            await r.set(moved, 1)  # meets MOVED to the announced address

            assert {node.address.port for node in r.get_nodes()} <= set(ports.values())
