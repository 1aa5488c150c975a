"""Who goes where a pool goes."""

from typing import Protocol


class Follower(Protocol):
    """Who has a connection of its own to the pool's server, and goes where the pool goes."""

    def pool_changed(self) -> None:
        """The pool has another state, another generation, or another primary."""
        ...

    async def before_serving(self, peer: object) -> None:
        """Return once it is ready for the server at *peer*, which the pool will serve next."""
        ...
