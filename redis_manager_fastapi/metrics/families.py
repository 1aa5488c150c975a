"""Which metrics there are, as a table: for Prometheus and for OpenTelemetry alike.

Nothing here knows a monitoring system.  Everything is read from `stats()` when somebody asks,
so that metrics cost nothing until then.
"""

from dataclasses import dataclass

from redis_manager_fastapi.metrics.samples import (
    Labels,
    Read,
    cache_evictions,
    cached_reads,
    connections,
    errors,
    most_connections,
    of_cache,
    of_consumers,
    of_counts,
    of_manager,
    of_nodes,
    of_realtime,
    of_servers,
    of_workers,
    pool_timeouts,
    serving,
    states,
    waiting,
)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Attributes:
        name: Its name, without prefix, unit and suffix.
        words: What it says.
        labels: The names of its labels.
        read: Yields its samples of one manager.
        unit: What it is counted in; empty for things.
        grows: Whether it is a counter.
        semantic: Its name by OpenTelemetry's conventions, or in redis-py, if they have one.
    """

    name: str
    words: str
    labels: Labels
    read: Read
    unit: str = ""
    grows: bool = False
    semantic: str = ""


_MANAGER = ("redis",)
_NODE = ("redis", "node")
_STREAM = ("redis", "stream", "group")
_WORKER = ("redis", "worker")


def _counter(name: str, attribute: str, words: str, unit: str = "") -> Family:
    return Family(name, words, _NODE, of_counts(attribute), unit, grows=True)


def _server(name: str, attribute: str, words: str) -> Family:
    return Family(name, words, _NODE, of_servers(attribute))


def _heard(name: str, part: str, attribute: str, words: str, *, grows: bool = False) -> Family:
    return Family(name, words, _MANAGER, of_realtime(part, attribute), grows=grows)


def _consumed(attribute: str, words: str, *, grows: bool = False, shared: bool = False) -> Family:
    read = of_consumers(attribute, shared=shared)
    return Family(f"consumer_{attribute}", words, _STREAM, read, grows=grows)


_POOL = (
    Family("up", "Whether commands go out now", _NODE, serving),
    Family("state", "1 for the state that the pool is in", (*_NODE, "state"), states),
    Family(
        "ready",
        "Whether the manager is ready: it serves, and every subscribed channel is heard",
        _MANAGER,
        of_manager(lambda seen: seen.manager.is_ready),
    ),
    _server("generation", "generation", "How many sets of connections there have been"),
    _server("links", "links", "Shared connections in service"),
    _server("in_flight", "in_flight", "Commands on shared connections without a reply so far"),
    Family(
        "connections",
        "Dedicated connections",
        (*_NODE, "state"),
        connections,
        semantic="db.client.connection.count",
    ),
    Family(
        "max_connections",
        "How many dedicated connections there may be (REDIS_POOL__MAX_CONNECTIONS)",
        _NODE,
        most_connections,
        semantic="db.client.connection.max",
    ),
    Family(
        "waiting",
        "Callers that wait for Redis to serve, or for a connection",
        _NODE,
        waiting,
        semantic="db.client.connection.pending_requests",
    ),
    Family(
        "pool_timeouts",
        "Callers that found no dedicated connection in time",
        _NODE,
        pool_timeouts,
        grows=True,
        semantic="db.client.connection.timeouts",
    ),
    Family(
        "scopes",
        "Clients of requests and `async with` blocks in use",
        _MANAGER,
        of_manager(lambda seen: seen.stats.clients if seen.stats is not None else 0),
    ),
    Family(
        "grace_used",
        "How much of grace the present outage has used",
        _NODE,
        of_nodes("grace_used"),
        "seconds",
    ),
    Family(
        "grace",
        "How long commands wait in an outage (REDIS_OUTAGE__GRACE)",
        _MANAGER,
        of_manager(lambda seen: seen.manager.settings.outage.grace),
        "seconds",
    ),
    Family(
        "grace_longest",
        "The most of grace that an outage has used",
        _NODE,
        of_counts("grace_longest"),
        "seconds",
    ),
)

_COUNTED = (
    _counter("commands", "commands", "Commands that were answered"),
    Family("errors", "Errors that callers met", (*_NODE, "code"), errors, grows=True),
    _counter("retries", "retried", "Attempts after a command's first"),
    _counter("lost_replies", "lost", "Commands whose reply was lost, so that they may have run"),
    _counter("waited", "waited", "Callers that waited in an outage"),
    _counter("refused", "refused", "Callers that were refused, because grace was over"),
    _counter("connects", "connects", "Attempts to connect, probes included"),
    _counter("sent", "bytes_sent", "What was sent", "bytes"),
    _counter("received", "bytes_received", "What was received", "bytes"),
    _counter("resubscribed", "resubscribed", "Pub/sub objects of redis-py's subscribed again"),
    _counter("missed", "missed", "For how long they heard nothing", "seconds"),
)

_CACHE = (
    Family(
        "csc_requests",
        "Reads of cached clients: those answered in the process, those that asked the server,"
        " and those that waited for another one's reply",
        (*_MANAGER, "result"),
        cached_reads,
        grows=True,
        semantic="redis.client.csc.requests",
    ),
    Family(
        "csc_items",
        "Replies that are kept in the process",
        _MANAGER,
        of_cache("entries"),
        semantic="redis.client.csc.items",
    ),
    Family("csc_kept", "What they take", _MANAGER, of_cache("bytes"), "bytes"),
    Family(
        "csc_evictions",
        "Replies that were dropped, for want of room or because a key had changed",
        (*_MANAGER, "reason"),
        cache_evictions,
        grows=True,
        semantic="redis.client.csc.evictions",
    ),
    Family(
        "csc_stale",
        "Last known values that were handed out while Redis was away",
        _MANAGER,
        of_cache("stale"),
        grows=True,
    ),
)

_REALTIME = (
    _heard("subscription_listeners", "subscriptions", "listeners", "Open `subscribe` blocks"),
    _heard(
        "subscription_channels", "subscriptions", "channels", "Channels and patterns listened to"
    ),
    _heard("subscription_connections", "subscriptions", "connections", "Connections to hear them"),
    _heard("subscription_deaf", "subscriptions", "deaf", "Channels listened to and not heard now"),
    _heard("subscription_messages", "subscriptions", "messages", "Messages received", grows=True),
    _heard("subscription_gaps", "subscriptions", "gaps", "Breaks in hearing", grows=True),
    _heard(
        "subscription_dropped",
        "subscriptions",
        "dropped",
        "Messages that slow listeners lost",
        grows=True,
    ),
    _heard("tails", "tails", "tails", "Open `tail` blocks"),
    _heard("tail_streams", "tails", "streams", "Streams that they follow"),
    _heard("tail_entries", "tails", "entries", "Entries received", grows=True),
    _heard("tail_gaps", "tails", "gaps", "Gaps that tails were told of", grows=True),
    _heard("tail_dropped", "tails", "dropped", "Entries that slow tails lost", grows=True),
    _consumed("in_hand", "Entries read and not through yet"),
    _consumed("handled", "Entries whose body was through", grows=True),
    _consumed("failed", "Entries whose body raised", grows=True),
    _consumed("acknowledged", "Entries that the server was told of", grows=True),
    _consumed("claimed", "Entries taken over from other consumers", grows=True),
    _consumed("dead_lettered", "Entries given up", grows=True),
    _consumed("pending", "Entries of the group that nobody acknowledged so far", shared=True),
    _consumed("lag", "Entries that the group has not delivered so far", shared=True),
    Family("worker_running", "Whether a registered function runs", _WORKER, of_workers("running")),
    Family(
        "worker_restarts",
        "How often a registered function was begun again",
        _WORKER,
        of_workers("restarts"),
        grows=True,
    ),
)

FAMILIES = (*_POOL, *_COUNTED, *_CACHE, *_REALTIME)
"""Every metric but the histogram."""

DURATION = Family(
    "duration",
    "How long commands took",
    _NODE,
    of_counts("latency"),
    "seconds",
    semantic="db.client.operation.duration",
)
"""The histogram."""
