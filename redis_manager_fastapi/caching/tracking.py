"""Connecting with CLIENT TRACKING, to where another pool's connections go."""

from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.pool.dialer import Dialer
from redis_manager_fastapi.topology.interface import Target, Topology

# Before, a push may be written into an array that is being sent (redis/redis#8935).
_OLDEST = (7,)


class Tracking:
    """A topology whose connections are tracked.

    Args:
        topology: What the other pool goes by, and watches.
        dialer: The other pool's, which knows where that is: what a topology is asked, it takes
            for known, and does not say again.

    Attributes:
        refusal: Why the server that was found last does not track; empty if it does.
    """

    def __init__(self, topology: Topology, dialer: Dialer) -> None:
        self._topology, self._dialer = topology, dialer
        self.refusal = ""

    def start(self, on_move: Callable[[str], None]) -> None:
        """Watch nothing: the other pool does."""

    async def aclose(self) -> None:
        """Do nothing."""

    async def locate(self) -> Target:
        """Return the same server, to be spoken to by RESP3, which has pushes."""
        target = await self._dialer.locate()
        return Target(target.transport, target.options | {"protocol": 3})

    async def confirm(self, connection: AbstractConnection) -> None:
        """Check the role and the version, and have the connection tracked.

        Raises:
            RedisUnavailableError: The server does not track.
        """
        await self._topology.confirm(connection)
        self.refusal = await _refusal(connection)
        if self.refusal:
            raise RedisUnavailableError(self.refusal)


async def _refusal(connection: AbstractConnection) -> str:
    """Have a connection tracked; return why not, in words."""
    try:
        version = _version(await _asked(connection, "HELLO"))
        if version < _OLDEST:
            return f"it needs Redis 7.0 or later, and this is {'.'.join(map(str, version))}"
        await _asked(connection, "CLIENT", "TRACKING", "ON")
    except ResponseError as error:
        return f"the server does not track keys for its clients: {error}"
    return ""


async def _asked(connection: AbstractConnection, *command: str) -> Any:
    await connection.send_command(*command)
    return await connection.read_response()


def _version(hello: Any) -> tuple[int, ...]:
    """Return what HELLO says of the server's version; a server that hides it is recent enough."""
    words = hello if isinstance(hello, dict) else {}
    found = words.get("version", words.get(b"version", "7"))
    text = found.decode() if isinstance(found, bytes) else str(found)
    return tuple(int(part) for part in text.split(".") if part.isdigit()) or _OLDEST
