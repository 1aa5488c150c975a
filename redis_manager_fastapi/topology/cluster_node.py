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

    Its role is not asked for: a node that lost its slots answers MOVED, and
    executes nothing.

    Args:
        read_only: Whether connections may read from a replica.
        to_serve: Whether the node has to be up as a part of the Cluster; to ask it
            for the map it need not.
    """

    def __init__(
        self,
        settings: RedisSettings,
        credentials: CredentialProvider | None,
        address: Address,
        *,
        read_only: bool = False,
        to_serve: bool = True,
    ) -> None:
        self._target = target_at(settings, credentials, address.host, address.port, db=0)
        self._read_only = read_only
        self._to_serve = to_serve

    def start(self, on_move: Callable[[str], None]) -> None:
        """Watch nothing: the map of slots says when another node is the primary."""

    async def aclose(self) -> None:
        """Do nothing."""

    async def locate(self) -> Target:
        """Return the node's address."""
        return self._target

    async def confirm(self, connection: AbstractConnection) -> None:
        """Check that the node would serve, and ask a replica to answer reads itself."""
        if self._to_serve:
            await self._check_state(connection)
        if self._read_only:
            await connection.send_command("READONLY")
            if await connection.read_response() not in ("OK", b"OK"):
                raise RedisUnavailableError("the replica does not answer reads")

    @staticmethod
    async def _check_state(connection: AbstractConnection) -> None:
        await connection.send_command("CLUSTER", "INFO")
        try:
            info = str(await connection.read_response())
        except NoPermissionError:
            return  # the first command will tell
        if "cluster_state:ok" not in info:
            raise RedisUnavailableError("the cluster is down (CLUSTERDOWN)")
