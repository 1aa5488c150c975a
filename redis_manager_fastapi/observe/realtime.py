"""The counters of what listens: subscriptions, stream consumers, tails and workers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SubscriptionStats:
    """What this process is subscribed to by `manager.subscribe`.

    Attributes:
        listeners: Open `subscribe` blocks.
        channels: Channels, patterns and sharded channels that somebody listens to.
        connections: Connections that they are heard over.
        messages: Messages received from servers, each counted once however many listeners.
        gaps: Breaks after which listeners were told of a `Gap`, each counted once, however many
            listeners there are.
        dropped: Messages that slow listeners lost.
        deaf: Channels and patterns that somebody listens to and that are not subscribed now.
    """

    listeners: int = 0
    channels: int = 0
    connections: int = 0
    messages: int = 0
    gaps: int = 0
    dropped: int = 0
    deaf: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsumerStats:
    """One stream that this process consumes as a member of a group.

    Attributes:
        stream: The stream's key.
        group: The consumer group.
        in_hand: Entries that were read and are not through yet.
        handled: Entries whose body was through.
        failed: Entries whose body raised or was cancelled.
        acknowledged: Entries that the server has been told of.
        claimed: Entries taken over from consumers that had them too long.
        dead_lettered: Entries moved to the dead-letter stream.
        pending: Entries that the group has delivered and nobody acknowledged, as last seen;
            None before.
        lag: Entries that the group has not delivered yet, as last seen; None where the
            server does not say.
    """

    stream: str
    group: str
    in_hand: int = 0
    handled: int = 0
    failed: int = 0
    acknowledged: int = 0
    claimed: int = 0
    dead_lettered: int = 0
    pending: int | None = None
    lag: int | None = None


@dataclass(frozen=True, slots=True)
class TailStats:
    """The streams that this process follows by `manager.tail`.

    Attributes:
        tails: Open `tail` blocks.
        streams: Streams that they follow.
        entries: Entries received from servers, each counted once however many tails.
        gaps: Times that a tail was told of a `Gap`.
        dropped: Entries that slow tails lost.
    """

    tails: int = 0
    streams: int = 0
    entries: int = 0
    gaps: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """A handler of `@manager.consumer`, or a loop of `@manager.background`.

    Attributes:
        name: The function's qualified name.
        running: Whether it runs now, and does not pause before it is begun again.
        restarts: How often it was begun again.
        error: The class of what it raised last; empty if it never did.
    """

    name: str
    running: bool = False
    restarts: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class RealTimeStats:
    """All that listens in this process, over one manager.

    Attributes:
        subscriptions: Of `manager.subscribe`.
        consumers: One for each stream of each `manager.consume` and `@manager.consumer`.
        tails: Of `manager.tail`.
        workers: One for each registered function.
    """

    subscriptions: SubscriptionStats = SubscriptionStats()
    consumers: tuple[ConsumerStats, ...] = ()
    tails: TailStats = TailStats()
    workers: tuple[WorkerStats, ...] = ()
