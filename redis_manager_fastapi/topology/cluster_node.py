"""One node of a Redis Cluster, at the address by which the Cluster knows it."""

from collections.abc import Callable

from redis.asyncio.connection import AbstractConnection
from redis.credentials import CredentialProvider

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.settings import Address, RedisSettings
from redis_manager_fastapi.topology.interface import Target
from redis_manager_fastapi.topology.options import target_at


class ClusterNode:
    """Reaches one node.

    Neither its role nor the Cluster's state is asked for: a node that lost its
    slots answers MOVED, and one whose Cluster has failed answers CLUSTERDOWN to
    the commands that it does not serve meanwhile; both execute nothing then.

    Args:
        read_only: Whether connections may read from a replica.
    """

    def __init__(
        self,
        settings: RedisSettings,
        credentials: CredentialProvider | None,
        address: Address,
        *,
        read_only: bool = False,
    ) -> None:
        self._target = target_at(settings, credentials, address.host, address.port, db=0)
        self._read_only = read_only

    def start(self, on_move: Callable[[str], None]) -> None:
        """Watch nothing: the map of slots says when another node is the primary."""

    async def aclose(self) -> None:
        """Do nothing."""

    async def locate(self) -> Target:
        """Return the node's address."""
        return self._target

    async def confirm(self, connection: AbstractConnection) -> None:
        """Ask a replica to answer reads itself."""
        if self._read_only:
            await connection.send_command("READONLY")
            if await connection.read_response() not in ("OK", b"OK"):
                raise RedisUnavailableError("the replica does not answer reads")
