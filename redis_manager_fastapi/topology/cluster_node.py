"""One node of a Redis Cluster, at the address by which the Cluster knows it."""

from collections.abc import Callable

from redis.asyncio.connection import AbstractConnection
from redis.credentials import CredentialProvider

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.settings import Address, RedisSettings
from redis_manager_fastapi.topology.options import common_options, tls_options
from redis_manager_fastapi.topology.protocol import Target


class ClusterNode:
    """Reaches one node.

    Its role is not asked for: a node that lost its slots answers MOVED, and
    executes nothing.

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
        options = common_options(settings, credentials)
        options |= {"host": address.host, "port": address.port, "db": 0}
        if settings.tls.enabled:
            self._target = Target("tls", options | tls_options(settings))
        else:
            self._target = Target("tcp", options)
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
        if not self._read_only:
            return
        await connection.send_command("READONLY")
        if await connection.read_response() not in ("OK", b"OK"):
            raise RedisUnavailableError("the replica does not answer reads")
