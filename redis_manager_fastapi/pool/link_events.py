"""What a multiplexed connection tells whoever put it into service."""

from typing import Protocol, TypeVar

L = TypeVar("L", contravariant=True)


class LinkEvents(Protocol[L]):
    """Who put the connection into service and hears what becomes of it."""

    def link_lost(self, link: L, reason: str) -> None:
        """*link* is gone; everything that it held has failed."""
        ...

    def link_heard(self, link: L) -> None:
        """A *link* that was suspected of silence has spoken."""
        ...

    def link_worn(self, link: L) -> None:
        """A *link* should be replaced; until then it serves."""
        ...
