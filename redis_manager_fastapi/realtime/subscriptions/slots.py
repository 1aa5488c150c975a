"""Which node of a Cluster a channel is heard from.

A sharded channel belongs to a slot, and is heard from its primary.  Any other one is heard
by every node, so that all of them are heard from the same one, until it goes.
"""

import asyncio
import random
from collections.abc import Callable, Iterable

from redis.exceptions import ClusterDownError, MovedError

from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import FINAL
from redis_manager_fastapi.realtime.items import bytes_of
from redis_manager_fastapi.realtime.subscriptions.channel import Channel, Key, Kind
from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.tasks import end


class BySlot:
    """The nodes of a Cluster.

    Args:
        cluster: The Cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._home: Node | None = None
        self._task: asyncio.Task[None] | None = None

    async def wait_serving(self, keys: Iterable[Key], deadline: float) -> None:
        """Wait until there is a map, and the nodes of *keys* serve."""
        await self._cluster.known(deadline)
        for key in keys:
            while (node := self._node(key, heard=False)) is None:
                slot = _slot(key[1]) if key[0] is Kind.SHARDED else None
                await self._cluster.mended(slot, "no node serves the channel's slot", deadline)
            await node.open().wait_serving(deadline)

    def place(self, channel: Channel) -> Pool | None:
        """Return the pool of the node that has *channel*."""
        if self._cluster.state in FINAL:
            return None
        node = self._node(channel.key, heard=channel.heard)
        return node.open() if node is not None else None

    def node(self, pool: Pool) -> str:
        """Return its node's address."""
        node = self._node_of(pool)
        return str(node.address) if node is not None else ""

    def redirect(self, channel: Channel, error: Exception, sender: Pool) -> bool:
        """Enter that a slot has moved to a node that is known; a refresh finds what else has."""
        if isinstance(error, ClusterDownError):
            self._cluster.doubt()
        if not isinstance(error, MovedError):
            return False
        node = self._node_of(sender)
        host = error.host or (node.address.host if node is not None else "")
        try:
            address = self._cluster.settings.reach(Address(host, error.port))
        except RedisUnavailableError:  # the user's `address_map` failed; the refresh says so
            address = None
        ours = channel.key[0] is Kind.SHARDED and error.slot_id == _slot(channel.key[1])
        if ours and address is not None and self._cluster.is_known(address):
            self._cluster.moved(error.slot_id, address)
        else:
            self._cluster.doubt(node)
        return True

    def follow(self, misplaced: Callable[[], bool], settle: Callable[[], None]) -> None:
        """Have the channels moved when the map, or the state of a node, says so."""
        name = f"redis-channels-{self._cluster.instance}"
        self._task = self._cluster.loop.create_task(self._follow(misplaced, settle), name=name)

    async def aclose(self) -> None:
        """Follow no more."""
        task, self._task = self._task, None
        if task is not None:
            await end({task})

    async def _follow(self, misplaced: Callable[[], bool], settle: Callable[[], None]) -> None:
        while True:
            await self._cluster.wait_for(misplaced)
            settle()

    def _node(self, key: Key, *, heard: bool) -> Node | None:
        kind, name = key
        if kind is Kind.SHARDED:
            return self._cluster.map.choose(_slot(name))
        return self._at_home(heard=heard)

    def _at_home(self, *, heard: bool) -> Node | None:
        """Return the node of all ordinary channels; what is heard stays there if it can."""
        home, nodes = self._home, self._cluster.map
        known = home is not None and nodes.current(home) is home
        if known and home is not None and (heard or home.serving):
            return home
        serving = [node for node in nodes.owners if node.serving]
        if serving:
            self._home = random.choice(serving)  # noqa: S311 (spreads load)
        elif not known:
            self._home = next(iter(nodes.owners), None)
        return self._home

    def _node_of(self, pool: Pool) -> Node | None:
        return next((node for node in self._cluster.map.nodes if node.pool is pool), None)


def _slot(name: str) -> int:
    return slot_of(bytes_of(name))
