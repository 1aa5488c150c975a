"""One node of a Redis Cluster, at the address by which the Cluster knows it."""

from collections.abc import Callable

from redis.asyncio.connection import AbstractConnection
from redis.credentials import CredentialProvider
from redis.exceptions import NoPermissionError

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.settings import Address, RedisSettings
from redis_manager_fastapi.topology.interface import Target
from redis_manager_fastapi.topology.options import target_at


class ClusterNode:
    """Reaches one node.

    Neither its role nor its Cluster's state decides whether it is connected to: a
    node that lost its slots answers MOVED, and one whose Cluster has failed answers
    CLUSTERDOWN to what it does not serve meanwhile; both execute nothing then.

    Args:
        read_only: Whether connections may read from a replica.
        on_state: Is told at each connect whether the node thinks that its Cluster is up.
    """

    def __init__(
        self,
        settings: RedisSettings,
        credentials: CredentialProvider | None,
        address: Address,
        *,
        read_only: bool = False,
        on_state: Callable[[bool], None] | None = None,
    ) -> None:
        self._target = target_at(settings, credentials, address.host, address.port, db=0)
        self._read_only = read_only
        self._on_state = on_state

    def start(self, on_move: Callable[[str], None]) -> None:
        """Watch nothing: the map of slots says when another node is the primary."""

    async def aclose(self) -> None:
        """Do nothing."""

    async def locate(self) -> Target:
        """Return the node's address."""
        return self._target

    async def confirm(self, connection: AbstractConnection) -> None:
        """Ask what the node thinks of its Cluster, and a replica to answer reads itself."""
        if self._on_state is not None:
            self._on_state(await _is_up(connection))
        if self._read_only:
            await connection.send_command("READONLY")
            if await connection.read_response() not in ("OK", b"OK"):
                raise RedisUnavailableError("the replica does not answer reads")


async def _is_up(connection: AbstractConnection) -> bool:
    await connection.send_command("CLUSTER", "INFO")
    try:
        return "cluster_state:ok" in str(await connection.read_response())
    except NoPermissionError:
        return True  # the first command will tell
