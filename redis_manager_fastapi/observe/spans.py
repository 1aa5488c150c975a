"""What makes spans of commands, as those know it who execute them."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Where = tuple[str, int] | tuple[str] | tuple[()]
"""A server: its host and port, or its unix socket alone; empty if it is not known."""


class Tracer(Protocol):
    """Makes a span that begins and ends with each block; what is raised in it is the span's."""

    def command(
        self, args: Sequence[Any], slot: int | None = None
    ) -> AbstractContextManager[object]:
        """Return the block for one command, of *slot* with a Cluster."""
        ...

    def batch(
        self, commands: Iterable[Sequence[Any]], size: int, *, transaction: bool
    ) -> AbstractContextManager[object]:
        """Return the block for a pipeline of *size* commands, or for a transaction."""
        ...


def host_and_port(where: Where) -> tuple[str | None, int | None]:
    """Return both, as far as they are known; a unix socket's path is the host."""
    host = where[0] if where else None
    return host, where[1] if len(where) == 2 else None
