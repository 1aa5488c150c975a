"""When the commands of one turn of the event loop leave.

Callers that are answered together ask again together, in the next turn, so their next commands
wait for each other.  Of `MANY`, the first half goes ahead: the server works on it while the other
half is still being made, and so on by turns.

Callers that several connections have answered in one turn, as the nodes of a Cluster do, may each
ask any of them next.  So nothing goes ahead then, and all of these connections write when the
callers of the last one have asked.
"""

from asyncio import AbstractEventLoop
from sys import maxsize
from typing import Any
from weakref import WeakKeyDictionary

MANY = 16
"""From this many commands on, a batch leaves in halves: each write costs as much as two or three
commands, and the server's idle time more."""

WHOLE = maxsize
"""As a batch's size: no command leaves before the turn ends."""

_together: WeakKeyDictionary[AbstractEventLoop, list[Any]] = WeakKeyDictionary()


def answered_together(loop: AbstractEventLoop) -> list[Any]:
    """Return the loop's list of connections that were answered, until their callers have asked."""
    return _together.setdefault(loop, [])
