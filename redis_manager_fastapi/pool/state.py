"""The pool's life as a table.

A pool is in exactly one `PoolState` at a time, and `TRANSITIONS` lists every
move that it may make.  Nothing here does I/O or starts a task, so each rule
can be read, and tested, on its own.
"""

import enum
from dataclasses import dataclass

from redis_manager_fastapi.observe.caching import CacheStats
from redis_manager_fastapi.observe.realtime import RealTimeStats
from redis_manager_fastapi.pool.counters import Counts


class PoolState(enum.Enum):
    """Where a pool stands."""

    NEW = "new"
    STARTING = "starting"
    READY = "ready"
    SUSPECT = "suspect"
    DOWN = "down"
    DRAINING = "draining"
    CLOSED = "closed"


TRANSITIONS: dict[PoolState, frozenset[PoolState]] = {
    PoolState.NEW: frozenset({PoolState.STARTING, PoolState.DRAINING}),
    PoolState.STARTING: frozenset({PoolState.READY, PoolState.DOWN, PoolState.DRAINING}),
    PoolState.READY: frozenset({PoolState.SUSPECT, PoolState.DRAINING}),
    PoolState.SUSPECT: frozenset({PoolState.READY, PoolState.DOWN, PoolState.DRAINING}),
    PoolState.DOWN: frozenset({PoolState.READY, PoolState.DRAINING}),
    PoolState.DRAINING: frozenset({PoolState.CLOSED}),
    PoolState.CLOSED: frozenset(),
}

FINAL = frozenset({PoolState.DRAINING, PoolState.CLOSED})

IDLE = FINAL | {PoolState.NEW}
"""The states in which nobody waits for the pool to serve."""

REFUSING = FINAL | {PoolState.DOWN}
"""The states in which a new command fails, at once or when grace is over."""


class Suspicion(enum.Enum):
    """Why a pool is suspected; `CONSEQUENCES` says what is done about it.

    The gravest suspicion is at the bottom, and takes the place of a lighter one:

    | suspicion  | links meanwhile | PING first | backoff | old links      | old leases |
    | ---------- | --------------- | ---------- | ------- | -------------- | ---------- |
    | LEASE_LOST | serve           | yes        | yes     | drain          | kept       |
    | REFUSING   | serve           | no         | yes     | drain          | aborted    |
    | LINK_LOST  | serve           | no         | yes     | drain          | kept       |
    | LINK_QUIET | serve           | no         | yes     | drain if heard | kept       |
    | SILENT     | suspended       | no         | yes     | aborted        | aborted    |
    | MOVED      | retired         | no         | no      | drain if heard | aborted    |

    *Links meanwhile*: the multiplexed connections that are not lost go on
    serving; or they are suspended until any bytes come, which clears the
    suspicion of the connection that they came over; or they are retired, and the
    leased connections aborted, at once.  The one that is quiet is suspended.
    *PING first*: a PING on the links decides whether a new connection is tried.
    *Backoff*: the first attempt keeps its distance from the last.
    *Old links* and *old leases*: what becomes of them when a new generation
    serves.  To drain is to finish what is in flight, if heard only on a link
    that was heard within `health.interval`; a lease that is kept ends when its
    holder gives it back; at another IP address, one that listens or blocks moves on.
    A server at another address counts as moved, and after DOWN no lease is kept.  A
    server that refuses, and is found again at the same IP address, keeps its leases:
    nothing is better elsewhere.
    """

    LEASE_LOST = "a dedicated connection broke"
    REFUSING = "the server refuses to serve"
    LINK_LOST = "a multiplexed connection broke"
    LINK_QUIET = "a heartbeat was not answered, on one of several connections"
    SILENT = "a heartbeat was not answered"
    MOVED = "another server is the primary"


class Meanwhile(enum.Enum):
    """What the multiplexed connections do while their server is suspected."""

    SERVE = "serve"
    SUSPEND = "suspended"
    LEAVE = "retired"


class OldLinks(enum.Enum):
    """What becomes of a multiplexed connection when a new generation serves."""

    DRAIN = "drain"
    DRAIN_IF_HEARD = "drain if heard"
    ABORT = "aborted"


@dataclass(frozen=True, slots=True)
class Consequences:
    """A row of the table of suspicions.

    Attributes:
        gravity: A suspicion takes the place of one with a lower number.
        links: What the links do meanwhile.
        ask_first: Whether a PING on the links can clear it.
        backoff: Whether the attempt to connect keeps its distance from the last.
        old_links: What becomes of them when a new generation serves.
        keep_leases: Whether holders keep the connections that they have leased.
    """

    gravity: int
    links: Meanwhile = Meanwhile.SERVE
    ask_first: bool = False
    backoff: bool = True
    old_links: OldLinks = OldLinks.DRAIN
    keep_leases: bool = False


CONSEQUENCES: dict[Suspicion, Consequences] = {
    Suspicion.LEASE_LOST: Consequences(0, ask_first=True, keep_leases=True),
    Suspicion.REFUSING: Consequences(1),
    Suspicion.LINK_LOST: Consequences(2, keep_leases=True),
    Suspicion.LINK_QUIET: Consequences(3, old_links=OldLinks.DRAIN_IF_HEARD, keep_leases=True),
    Suspicion.SILENT: Consequences(4, links=Meanwhile.SUSPEND, old_links=OldLinks.ABORT),
    Suspicion.MOVED: Consequences(
        5, links=Meanwhile.LEAVE, backoff=False, old_links=OldLinks.DRAIN_IF_HEARD
    ),
}


OF_ONE_LINK = frozenset({Suspicion.LINK_LOST, Suspicion.LINK_QUIET})
"""With these the other links serve on, also when no new connection can be made."""


def is_graver(new: Suspicion, current: Suspicion | None) -> bool:
    """Whether *new* takes the place of *current*."""
    return current is None or CONSEQUENCES[new].gravity > CONSEQUENCES[current].gravity


def fate_of_links(suspicion: Suspicion | None, *, elsewhere: bool) -> OldLinks:
    """Return what becomes of the old links; *elsewhere* is the new server's address."""
    fate = OldLinks.DRAIN if suspicion is None else CONSEQUENCES[suspicion].old_links
    return OldLinks.DRAIN_IF_HEARD if elsewhere and fate is OldLinks.DRAIN else fate


def keeps_leases(
    suspicion: Suspicion | None, *, elsewhere: bool, same: bool = False, down: bool
) -> bool:
    """Whether leases of the old generation are kept.

    Args:
        suspicion: What was suspected.
        elsewhere: Whether the new server has another address.
        same: Whether it is at the same IP address.
        down: Whether the pool was down until now.
    """
    if elsewhere or down:
        return False
    if suspicion is Suspicion.REFUSING and same:
        return True
    return suspicion is None or CONSEQUENCES[suspicion].keep_leases


def where(host: object, port: object, path: object) -> str:
    """Return a server's address in words: `host:port`, or its socket's path."""
    if host is None:
        return str(path)
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def check_transition(current: PoolState, new: PoolState) -> None:
    """Raise `RuntimeError` when the table does not allow the move."""
    if new not in TRANSITIONS[current]:
        raise RuntimeError(f"a pool cannot go from {current.value} to {new.value}")


@dataclass(frozen=True, slots=True)
class PoolStats(Counts):
    """A pool at one instant, and what it has counted (`Counts`).

    Attributes:
        instance: The manager's name.
        state: Where the pool stands.
        serving: Whether a command would go out now.
        generation: How many times the pool has replaced its connections.
        reason: Why it does not serve; empty while it does.
        links: Multiplexed connections in service.
        in_flight: Commands sent or queued on them whose reply is still to come.
        idle: Dedicated connections ready to be leased.
        leased: Dedicated connections that callers hold.
        opening: Dedicated connections being made.
        waiting: Callers waiting for the pool to serve or for a connection.
        clients: Scoped clients in use.
        grace_used: How much of grace the present outage has used up, in seconds; 0.0 while
            it serves.
        replica: The counters of the pool that reads from a replica, by
            `REDIS_SENTINEL__READS`; None without one.
        realtime: The counters of what listens; set in the manager's own stats alone.
        cache: The counters of the client-side cache, set as those of *realtime* are; None
            until a client asks for one.
        sentinels: Sentinels that are listened to now, for news of another primary.
    """

    instance: str
    state: PoolState
    serving: bool
    generation: int
    reason: str
    links: int
    in_flight: int
    idle: int
    leased: int
    opening: int
    waiting: int
    clients: int
    grace_used: float = 0.0
    replica: "PoolStats | None" = None
    realtime: RealTimeStats | None = None
    cache: CacheStats | None = None
    sentinels: int = 0
