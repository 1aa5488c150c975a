"""Which server a channel is heard from."""

from collections.abc import Callable, Iterable
from typing import Protocol

from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.realtime.subscriptions.channel import Channel, Key


class Placement(Protocol):
    """How a deployment shares channels out among its servers."""

    async def wait_serving(self, keys: Iterable[Key], deadline: float) -> None:
        """Wait until *keys* can be subscribed.

        Raises:
            RedisUnavailableError: Grace is over, or *deadline*, on the loop's clock, came first.
            PoolClosedError: The deployment is draining or closed.
        """
        ...

    def place(self, channel: Channel) -> Pool | None:
        """Return where *channel* is to be heard now; None if no server has it."""
        ...

    def node(self, pool: Pool) -> str:
        """Return the address that events name; empty without a Cluster."""
        ...

    def redirect(self, channel: Channel, error: Exception, sender: Pool) -> bool:
        """Take a node's word that another one has *channel*; return whether it says so."""
        ...

    def follow(self, misplaced: Callable[[], bool], settle: Callable[[], None]) -> None:
        """Call *settle* whenever a channel is *misplaced*."""
        ...

    async def aclose(self) -> None:
        """Follow no more."""
        ...


class OneServer:
    """One server, or the primary of several: it has every channel.

    Args:
        pool: The server's.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def wait_serving(self, keys: Iterable[Key], deadline: float) -> None:
        """Wait until the server serves."""
        await self._pool.wait_serving(deadline)

    def place(self, channel: Channel) -> Pool | None:
        """Return its pool."""
        return self._pool

    def node(self, pool: Pool) -> str:
        """Return that it has no name."""
        return ""

    def redirect(self, channel: Channel, error: Exception, sender: Pool) -> bool:
        """Return that nobody else has the channel."""
        return False

    def follow(self, misplaced: Callable[[], bool], settle: Callable[[], None]) -> None:
        """Nothing: the pool itself goes to another primary."""

    async def aclose(self) -> None:
        """Nothing."""
