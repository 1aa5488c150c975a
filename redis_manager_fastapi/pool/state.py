"""The pool's life as a table.

A pool is in exactly one `PoolState` at a time, and `TRANSITIONS` lists every
move that it may make.  Nothing here does I/O or starts a task, so each rule
can be read, and tested, on its own.
"""

import enum
from dataclasses import dataclass


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


class Suspicion(enum.Enum):
    """Why a pool is suspected, which decides how far healing goes."""

    LEASE_LOST = "a dedicated connection broke"
    LINK_LOST = "the shared connection broke"
    SILENT = "a heartbeat is late"
    REFUSING = "the server refuses to serve"
    MOVED = "another server is the primary"


GRAVITY: dict[Suspicion, int] = {
    Suspicion.LEASE_LOST: 0,
    Suspicion.REFUSING: 1,
    Suspicion.LINK_LOST: 2,
    Suspicion.SILENT: 3,
    Suspicion.MOVED: 4,
}
"""Which suspicion takes the place of which: the one with the higher number."""


def check_transition(current: PoolState, new: PoolState) -> None:
    """Raise `RuntimeError` when the table does not allow the move."""
    if new not in TRANSITIONS[current]:
        raise RuntimeError(f"a pool cannot go from {current.value} to {new.value}")


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A pool's counters at one instant.

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
        connects: Connections made since the pool opened, probes included.
        replica: The counters of the pool that reads from a replica, by
            `REDIS_SENTINEL__READS`; None without one.
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
    connects: int
    replica: "PoolStats | None" = None
