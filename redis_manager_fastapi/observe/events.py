"""What happens to a pool, as values that listeners receive.

Listeners are plain callables, called in the event loop in the turn in which
it happened; they must not block.  An exception in one is logged and reaches
no other listener.
"""

from collections.abc import Callable
from dataclasses import dataclass

from redis_manager_fastapi.settings.place import Place


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The pool moved from one state to another.

    Attributes:
        instance: The manager's name.
        previous: The state that it left, as `PoolState.value`.
        state: The state that it is in now.
        generation: The generation in force after the move.
        reason: Why, in words; never holds a host, a user or a password.
        outage: Seconds since the pool last served; 0.0 unless *state* is
            "ready" after an outage.
        node: The address of the Cluster node, or of the replica that reads go
            to, whose pool it is, or "replica" while none is chosen; empty for
            a primary without a Cluster.
        address: The server that is spoken to, as `host:port` or a socket's path; empty
            before the first connection.
        elsewhere: Whether that is another server than before.
        waited: Commands that have waited since the pool last served.
        refused: Commands that were refused since then, because it did not serve.
        lost: Writes since then whose reply was lost.
    """

    instance: str
    previous: str
    state: str
    generation: int
    reason: str
    outage: float = 0.0
    node: str = ""
    address: str = ""
    elsewhere: bool = False
    waited: int = 0
    refused: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """A probe did not reach a server that serves.

    Attributes:
        instance: The manager's name.
        error: What went wrong.
        attempt: How many probes failed in a row, from 1.
        node: As with `StateChanged`.
    """

    instance: str
    error: Exception
    attempt: int
    node: str = ""


@dataclass(frozen=True, slots=True)
class StartDelayed:
    """A manager is still waiting for Redis, by the start-up policy `wait`.

    Attributes:
        instance: The manager's name.
        reason: Why, in words; never holds a host, a user or a password.
        seconds: For how long it has waited.
        timeout: For how long it will at most.
        place: Where Redis is looked for, and what decided that.
        node: Always empty.
    """

    instance: str
    reason: str
    seconds: float
    timeout: float
    place: Place
    node: str = ""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """A manager gave up opening, by its start-up policy; an app does not start then.

    Attributes:
        instance: The manager's name.
        reason: Why, in words; never holds a host, a user or a password.
        fix: What to set or to do, in words.
        place: Where Redis was looked for, and what decided that.
        node: Always empty.
    """

    instance: str
    reason: str
    fix: str
    place: Place
    node: str = ""


@dataclass(frozen=True, slots=True)
class Resubscribed:
    """A pub/sub object of redis-py's is subscribed again, after its connection was lost.

    What was published in between, it has not heard.

    Attributes:
        instance: The manager's name.
        channels: How many channels and patterns the server has confirmed.
        seconds: For how long nothing could be heard: since the last sign of life of the
            old connection.
        node: As with `StateChanged`.
    """

    instance: str
    channels: int
    seconds: float
    node: str = ""


@dataclass(frozen=True, slots=True)
class GroupRemade:
    """A consumer group was lost, after a flush or a fail-over, and was made again.

    What was pending for a consumer that does not run now is not delivered again.

    Attributes:
        instance: The manager's name.
        stream: The stream's key.
        group: The consumer group.
        start: The ID after which it goes on; "0" is the stream's beginning.
        node: Always empty.
    """

    instance: str
    stream: str
    group: str
    start: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class EntryDeadLettered:
    """A stream entry was delivered `max_deliveries` times, and is not delivered again.

    Attributes:
        instance: The manager's name.
        stream: The stream's key, which still has the entry.
        id: The entry's ID.
        group: The consumer group.
        dead_letter: The stream that took a copy; empty when it was only acknowledged.
        reason: What its body raised last.
        deliveries: How often it was delivered.
        node: Always empty.
    """

    instance: str
    stream: str
    id: str
    group: str
    dead_letter: str
    reason: str
    deliveries: int
    node: str = ""


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A handler of `@manager.consumer`, or a loop of `@manager.background`, raised.

    Attributes:
        instance: The manager's name.
        worker: The function's qualified name.
        error: What it raised.
        stream: The stream of the entry that it raised for; empty for a loop.
        id: That entry's ID.
        node: Always empty.
    """

    instance: str
    worker: str
    error: Exception
    stream: str = ""
    id: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionsBroken:
    """Channels that somebody listens to are not heard any more, until they are healed.

    Attributes:
        instance: The manager's name.
        reason: Why, in words; never holds a host, a user or a password.
        channels: How many they are.
        node: The address of the Cluster node; empty without a Cluster.
    """

    instance: str
    reason: str
    channels: int
    node: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionsHealed:
    """All channels of a break are heard again; who listens to one gets a `Gap`.

    Attributes:
        instance: The manager's name.
        reason: Why they were not heard.
        seconds: For how long.
        node: As with `SubscriptionsBroken`.
    """

    instance: str
    reason: str
    seconds: float
    node: str = ""


@dataclass(frozen=True, slots=True)
class StreamGap:
    """Listeners to a stream were told that they may have missed entries.

    Attributes:
        instance: The manager's name.
        stream: The stream's key.
        reason: Why.
        seconds: For how long the stream was out of sight.
        listeners: How many were told.
        node: Always empty.
    """

    instance: str
    stream: str
    reason: str
    seconds: float
    listeners: int
    node: str = ""


@dataclass(frozen=True, slots=True)
class CacheChanged:
    """A cache on the client's side serves, or serves nothing any more.

    Attributes:
        instance: The manager's name.
        serving: Whether it does.
        reason: Why not, in words; empty while it does.
        refused: Whether the server does not track keys at all: reads go to it as without a
            cache, until it is another server.
        node: As with `StateChanged`.
    """

    instance: str
    serving: bool
    reason: str = ""
    refused: bool = False
    node: str = ""


Event = (
    StateChanged
    | ProbeFailed
    | StartDelayed
    | StartFailed
    | Resubscribed
    | SubscriptionsBroken
    | SubscriptionsHealed
    | GroupRemade
    | EntryDeadLettered
    | WorkerFailed
    | StreamGap
    | CacheChanged
)
Listener = Callable[[Event], None]
