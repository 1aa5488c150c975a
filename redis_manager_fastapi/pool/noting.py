"""Connections that tell of the writes they are given.

They are classes of their own, which a connection becomes when somebody wants to know, so that
a command pays nothing for it before.
"""

from collections import deque
from functools import cache
from typing import Any

from redis_manager_fastapi.commands.blocking import upper_word
from redis_manager_fastapi.commands.written import keys_written
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.request import Request
from redis_manager_fastapi.pool.written import Keys, Writes

_CLOSERS = frozenset({"EXEC", "DISCARD"})


class NotingLink(MultiplexedConnection):
    """A `MultiplexedConnection` that tells of writes.

    Attributes:
        writes: Who is told.
    """

    __slots__ = ()

    writes: Writes

    def submit(self, request: Request) -> None:
        """Queue *request*, and tell of it if it writes."""
        if not request.read_only:
            self.writes.note(request)
        super().submit(request)


class NotingConnection(DedicatedConnection):
    """A `DedicatedConnection` that tells of writes.

    Attributes:
        writes: Who is told.
    """

    writes: Writes

    _sent: deque[Keys] | None = None
    _queued: list[bytes] | None = None
    _replies = True

    def pack_command(self, *args: Any) -> list[bytes]:
        """Pack one command; if it writes, tell."""
        if self._serving:
            self._note_keys(args)
        return super().pack_command(*args)

    async def _read(self, *args: Any, **kwargs: Any) -> Any:
        """Read one reply; what it answers is told of again, before the reply is seen."""
        try:
            return await super()._read(*args, **kwargs)
        finally:
            if self._sent:
                self.writes.tell(self._sent.popleft())

    def _note_keys(self, args: tuple[Any, ...]) -> None:
        """Tell of what is sent, and note it for its reply: a transaction's is EXEC's."""
        if self._sent is None:
            self._sent = deque()
        keys, name = keys_written(args), upper_word(args[0]).partition(" ")[0]
        self.writes.tell(keys)
        if name == "CLIENT" and "REPLY" in " ".join(map(upper_word, args[:2])):
            self._replies = False
        if not self._replies:  # which of the commands one would answer is not known any more
            self._sent.clear()
            return
        if name == "EXEC":
            keys = self._queued
        elif self._queued is not None:
            self._queued = None if keys is None else [*self._queued, *keys]
        self._queued = [] if name == "MULTI" else None if name in _CLOSERS else self._queued
        self._sent.append(keys)


def note_link(link: MultiplexedConnection, writes: Writes) -> None:
    """Have *link* tell *writes* of what is submitted from now on."""
    if type(link) is MultiplexedConnection:
        link.__class__ = NotingLink
        link.writes = writes  # type: ignore[attr-defined]


def note_connection(connection: DedicatedConnection, writes: Writes) -> None:
    """Have *connection* tell *writes* of what is sent from now on."""
    if not isinstance(connection, NotingConnection):
        kind: Any = type(connection)
        connection.__class__ = _noting(kind)
        connection.writes = writes  # type: ignore[attr-defined]


@cache
def _noting(kind: type[DedicatedConnection]) -> type[NotingConnection]:
    """Return the class that connections of a *kind* become."""
    return type(f"Noting{kind.__name__}", (NotingConnection, kind), {})
