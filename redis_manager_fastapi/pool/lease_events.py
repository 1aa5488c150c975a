"""What the leases need of the pool that they belong to."""

from typing import Protocol

from redis_manager_fastapi.pool.causes import WhyLate
from redis_manager_fastapi.pool.state import Suspicion


class LeaseEvents(Protocol):
    """What the leases need of the pool that they belong to.

    Attributes:
        generation: How many sets of connections there have been.
        moves: How often another server was named the primary.
        lets_listen: Whether those who listen go to a server that will serve next.
    """

    generation: int
    moves: int
    lets_listen: bool

    @property
    def why_late(self) -> WhyLate:
        """Says why a reply did not come."""
        ...

    async def wait_serving(
        self, deadline: float, grace: float | None = None, *, listens: bool = False
    ) -> None:
        """Wait until commands can go out; who *listens* may go a moment ahead of them."""
        ...

    async def wait_resolved(
        self, generation: int, deadline: float, grace: float | None = None
    ) -> bool:
        """Wait until a suspicion is resolved; return whether *generation* serves on."""
        ...

    def suspect(self, generation: int, suspicion: Suspicion, reason: str) -> None:
        """Report to the supervisor that something broke."""
        ...

    def check_usable(self) -> None:
        """Raise if the pool is closing."""
        ...

    def check_crowd(self) -> None:
        """Raise when no further caller may wait."""
        ...

    def resubscribed(self, channels: int, seconds: float) -> None:
        """Report that a pub/sub's channels are back, which heard nothing for so long."""
        ...
