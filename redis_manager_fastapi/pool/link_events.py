"""What a multiplexed connection needs of the pool that put it into service."""

from typing import Protocol, TypeVar

from redis_manager_fastapi.pool.causes import WhyLate

L_contra = TypeVar("L_contra", contravariant=True)


class LinkEvents(Protocol[L_contra]):
    """Who put the connection into service and hears what becomes of it."""

    def link_lost(self, link: L_contra, reason: str) -> None:
        """*link* is gone; everything that it held has failed."""
        ...

    def link_heard(self, link: L_contra) -> None:
        """A *link* that was suspected of silence has spoken."""
        ...

    def link_worn(self, link: L_contra) -> None:
        """A *link* should be replaced; until then it serves."""
        ...

    def timer_fired(self, due: float) -> None:
        """Note when a timer fires that was due at *due*, on the loop's clock."""
        ...

    @property
    def why_late(self) -> WhyLate:
        """Says why a reply did not come."""
        ...
