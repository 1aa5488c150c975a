"""Where a stream is: on the one server, or on the node of a Cluster that has its slot."""

from typing import Any, Protocol

from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.supervision.deployment import Deployment


class Place(Protocol):
    """Where streams that can be read with one command are."""

    brief: bool
    """Whether the place may change while its server does not answer."""

    async def find(self, deadline: float) -> Pool:
        """Return the pool of the server; wait until *deadline* at most for it to be known."""
        ...

    def has_moved(self, pool: Pool) -> bool:
        """Whether another server has the streams now."""
        ...

    def doubt(self) -> None:
        """Something went wrong that a change of place may explain."""
        ...


class OneServer:
    """One server, or the primary that Sentinels name."""

    brief = False

    def __init__(self, deployment: Deployment[Pool]) -> None:
        self._deployment = deployment

    async def find(self, deadline: float) -> Pool:
        """Return the primary's pool."""
        return self._deployment.require()

    def has_moved(self, pool: Pool) -> bool:
        """Never: the pool itself follows the primary, and ends the connections to the old one."""
        return False

    def doubt(self) -> None:
        """Do nothing: the supervisor looks after the server."""


class Slot:
    """The primary that has a slot.

    Args:
        client: The manager's `RedisCluster`.
        number: The slot.
    """

    brief = True

    def __init__(self, client: Any, number: int) -> None:
        self._client = client
        self._number = number

    async def find(self, deadline: float) -> Pool:
        """Return the pool of the slot's primary."""
        node = await self._client.node_of(self._number, deadline)
        pool: Pool = node.open()
        return pool

    def has_moved(self, pool: Pool) -> bool:
        """Whether the map of slots names another node."""
        node = self._client.session.opened.map.choose(self._number)
        return node is not None and node.pool is not pool

    def doubt(self) -> None:
        """Have the map looked at."""
        self._client.session.opened.doubt()
