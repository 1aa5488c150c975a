"""What a script answers is its caller's, also where a server does not keep it to one line.

Redis 7.4 and 8.2 write the line breaks in an error that a script throws as they are.  What
follows one would be the next caller's reply, in the words of whoever chose the script's
arguments.  So a PING with a secret goes out behind each script, in the same write: if anything
else comes in its answer's place, the connection goes before another reply is matched.
"""

import asyncio
import secrets
from typing import Any, Protocol

import hiredis

from redis_manager_fastapi.pool.request import (
    DoubtfulReplyError,
    Heartbeat,
    Interrupted,
    Request,
    SingleRequest,
)

_SECRET = secrets.token_hex(12).encode()
_PING: Any = hiredis.pack_command(("PING", _SECRET))  # type: ignore[arg-type]


class Proven(Protocol):
    """A shared connection.

    Attributes:
        last_beat: The heartbeat that was sent last; None before the first.
        loop: Whose futures its requests have.
        uncounted: How many of the replies that are being matched answer nobody's command.
    """

    last_beat: Heartbeat | None
    loop: asyncio.AbstractEventLoop
    uncounted: int

    def ask(self, timeout: float) -> Heartbeat:
        """Send a heartbeat."""
        ...

    def submit(self, request: Request) -> None:
        """Queue a request."""
        ...


class Proving:
    """In a connection's place for one script, which it sends with its proof.

    Attributes:
        loop: Whose future the script's call makes.
    """

    __slots__ = ("_link", "loop")

    def __init__(self, link: Proven) -> None:
        self._link, self.loop = link, link.loop

    def submit(self, request: Request) -> None:
        """Queue *request*, and its proof behind it."""
        self._link.submit(request)
        self._link.submit(Proof(self._link, request))


def with_proof(link: Proven, request: Request) -> tuple[Request, ...]:
    """Return *request*, and its proof if it has a script in it."""
    return (request, Proof(link, request)) if request.script else (request,)


class Proof(SingleRequest):
    """A PING that says whether the reply before it was one.

    A server that refuses PING answers as it answers heartbeats, whose place is known.

    Args:
        link: Where it goes.
        request: What goes ahead of it, and ends it too if it is given up.
    """

    __slots__ = ("_beat", "_link")

    def __init__(self, link: Proven, request: Request) -> None:
        self.packed, self.decodes, self.read_only = _PING, False, True
        self.began, self.deadline, self.future = request.began, request.deadline, request.future
        self._beat = link.last_beat or link.ask(request.deadline - request.began)
        self._link = link

    def finish(self, outcome: Any) -> None:
        """Take the answer.

        Raises:
            DoubtfulReplyError: It is another one: the script's reply had more than one in it.
        """
        if isinstance(outcome, Interrupted):
            return
        self._link.uncounted += 1
        refused = isinstance(outcome, Exception) and str(outcome) == self._beat.refusal
        if outcome != _SECRET and not refused:
            raise DoubtfulReplyError("a script's reply was more than one")

    def expire(self, *_: Any, **__: Any) -> None:
        """Go on waiting: its script is told."""
