"""Who is to blame for a reply that is late, by what was seen while it was waited for.

Nothing is noted for a single command: `cause_of` reads what is known anyway, once a
deadline has passed or a connection is lost.  The probes of an outage tell a silent server
from a silent network: a server that was stopped still has its connections accepted by
its kernel, which also acknowledges what is sent to it.
"""

from dataclasses import dataclass
from typing import Protocol

from redis_manager_fastapi.errors import Cause
from redis_manager_fastapi.topology.racing import Reach

# More bytes than this of a reply that is not complete, and it is a large one.
_LARGE = 16 * 1024

# A connect that takes longer (seconds) than this hangs.
_HANGS = 0.1

# What comes within so many seconds of a command's start may have been on its way before.
_ON_ITS_WAY = 0.05


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a reply did not come.

    Attributes:
        cause: Who is to blame.
        blocked_at: The stack that blocked the event loop; empty if none did, or none was seen.
    """

    cause: Cause
    blocked_at: str = ""


class WhyLate(Protocol):
    """Says who is to blame, by all that is known of the server."""

    def __call__(self, since: float, now: float, seen: "Connection", of: object = None) -> Finding:
        """Return why a command of *since*, on the loop's clock, has no reply by *now*.

        Args:
            since: When it was called.
            now: When it waits no longer.
            seen: What was seen of the connection that it went out on.
            of: That connection; None if it waited for one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Connection:
    """What was seen of the connection that a command went out on, or would have.

    Attributes:
        heard_at: When bytes last came over it, on the loop's clock.
        received: How many have come of a reply that is not complete.
        begun: Whether that is the command's own.
        unacknowledged: Whether the other end's host does not acknowledge what is sent.
    """

    heard_at: float
    received: int = 0
    begun: bool = False
    unacknowledged: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """What was seen while a command waited.

    Attributes:
        since: When it was called, on the loop's clock.
        now: When it waits no longer.
        blocked: How many seconds of this the event loop did not turn.
        connection: What was seen of its own connection.
        others_heard_at: When bytes last came over another connection to the same server.
        reach: How far fresh connections got.
    """

    since: float
    now: float
    blocked: float
    connection: Connection
    others_heard_at: float
    reach: Reach


def cause_of(wait: Wait) -> Cause:
    """Return who is to blame, if what came last is the rule and what was seen first the proof."""
    own, reach, half = wait.connection, wait.reach, (wait.now - wait.since) / 2
    if wait.blocked >= half:
        return Cause.LOOP_BLOCKED
    if own.heard_at > wait.since and own.received > _LARGE:
        return Cause.LARGE_REPLY
    if own.heard_at > wait.since and wait.now - own.heard_at < half:
        # Bytes came until a moment ago: of others' replies, or hardly any of its own.
        return Cause.NETWORK_SILENT if own.begun else Cause.QUEUED
    if own.unacknowledged:
        return Cause.NETWORK_SILENT
    answered = max(wait.others_heard_at, reach.answered_at)
    if answered > wait.since + min(_ON_ITS_WAY, half):
        return Cause.COMMAND_SLOW
    if wait.now - reach.hanging_since - wait.blocked > _HANGS:
        return Cause.NETWORK_SILENT
    return Cause.SERVER_SILENT
