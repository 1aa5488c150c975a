"""What the pool asks of a deployment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from redis.asyncio.connection import AbstractConnection


@dataclass(frozen=True, slots=True)
class Target:
    """A server to connect to.

    Attributes:
        transport: What carries the connection.
        options: Keyword arguments of redis-py's connection class for that
            transport, credentials included.
    """

    transport: Literal["tcp", "tls", "unix"]
    options: dict[str, Any] = field(repr=False)


class Topology(Protocol):
    """One way to reach a server: standalone, by Sentinels, a Cluster node, or a replica."""

    def start(self, on_move: Callable[[str], None]) -> None:
        """Begin to watch; call *on_move*, with the reason, when another server is the primary."""
        ...

    async def aclose(self) -> None:
        """Stop watching."""
        ...

    async def locate(self) -> Target:
        """Return where the primary is now.

        Raises:
            RedisUnavailableError: Nobody knows.
        """
        ...

    async def confirm(self, connection: AbstractConnection) -> None:
        """Check on a fresh, authenticated *connection* that the server has the role asked for.

        Raises:
            RedisUnavailableError: It has not.
        """
        ...
