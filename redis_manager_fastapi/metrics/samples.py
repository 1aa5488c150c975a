"""How the numbers of one metric are found in a manager's stats, with the values of its labels."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from redis_manager_fastapi.metrics.seen import WHOLE, Seen
from redis_manager_fastapi.pool.state import PoolState

MOST_CONSUMERS = 50
"""The consumers of so many streams have labels of their own; a manager's others share one."""

OTHERS = "(others)"

Labels = tuple[str, ...]


class Sample(NamedTuple):
    """One number.

    Attributes:
        labels: The values of its metric's labels, in their order.
        value: The number; of the histogram, a `Latency`.
    """

    labels: Labels
    value: Any


Read = Callable[[Seen], Iterator[Sample]]


def of_manager(value: Callable[[Seen], float]) -> Read:
    """Read one number of the manager."""

    def read(seen: Seen) -> Iterator[Sample]:
        yield Sample((seen.name,), value(seen))

    return read


def of_nodes(attribute: str) -> Read:
    """Read an attribute of each pool, and of a Cluster as a whole."""

    def read(seen: Seen) -> Iterator[Sample]:
        for node, pool in seen.pools.items():
            yield Sample((seen.name, node), getattr(pool, attribute))

    return read


def of_servers(attribute: str) -> Read:
    """Read an attribute of each server's pool, so that they can be added."""

    def read(seen: Seen) -> Iterator[Sample]:
        for node, pool in _servers(seen):
            yield Sample((seen.name, node), getattr(pool, attribute))

    return read


def of_counts(attribute: str) -> Read:
    """Read what was counted for each node, and for a Cluster itself, so that they can be added."""

    def read(seen: Seen) -> Iterator[Sample]:
        for node, counts in seen.counts.items():
            yield Sample((seen.name, node), getattr(counts, attribute))

    return read


def of_realtime(part: str, attribute: str) -> Read:
    """Read an attribute of subscriptions or tails; of several names, how many there are."""

    def read(seen: Seen) -> Iterator[Sample]:
        value = getattr(getattr(seen.realtime, part), attribute)
        yield Sample((seen.name,), len(value) if isinstance(value, tuple) else value)

    return read


def of_consumers(attribute: str, *, shared: bool = False) -> Read:
    """Read an attribute of each consumed stream; *shared* if it is the group's, not ours."""

    def read(seen: Seen) -> Iterator[Sample]:
        found: dict[Labels, float] = {}
        kept: dict[Labels, None] = {}
        for each in seen.realtime.consumers:
            labels: Labels = (each.stream, each.group)
            value = getattr(each, attribute)
            if len(kept) < MOST_CONSUMERS:
                kept[labels] = None
            if value is None:
                continue
            if labels not in kept:
                labels = (OTHERS, OTHERS)
            known = found.get(labels, 0)
            same = shared and labels[0] != OTHERS
            found[labels] = max(known, value) if same else known + value
        for labels, value in found.items():
            yield Sample((seen.name, *labels), value)

    return read


def of_workers(attribute: str) -> Read:
    """Read an attribute of each registered function."""

    def read(seen: Seen) -> Iterator[Sample]:
        found: dict[str, float] = {}
        for each in seen.realtime.workers:
            found[each.name] = found.get(each.name, 0) + getattr(each, attribute)
        for name, value in found.items():
            yield Sample((seen.name, name), value)

    return read


def of_cache(attribute: str) -> Read:
    """Read an attribute of the client-side cache, if a client has asked for one."""

    def read(seen: Seen) -> Iterator[Sample]:
        if seen.cache is not None:
            yield Sample((seen.name,), getattr(seen.cache, attribute))

    return read


def cached_reads(seen: Seen) -> Iterator[Sample]:
    """Yield the reads of cached clients, by where their replies came from."""
    if seen.cache is not None:
        yield Sample((seen.name, "hit"), seen.cache.hits)
        yield Sample((seen.name, "miss"), seen.cache.misses)
        yield Sample((seen.name, "joined"), seen.cache.joined)


def cache_evictions(seen: Seen) -> Iterator[Sample]:
    """Yield the replies that were dropped, by why."""
    if seen.cache is not None:
        yield Sample((seen.name, "full"), seen.cache.evictions)
        yield Sample((seen.name, "invalidation"), seen.cache.invalidations)


def states(seen: Seen) -> Iterator[Sample]:
    """Yield each state of each node: 1 for the one that it is in."""
    present = {node: pool.state for node, pool in seen.pools.items()} or {WHOLE: PoolState.NEW}
    for node, its in present.items():
        for state in PoolState:
            yield Sample((seen.name, node, state.value), state is its)


def serving(seen: Seen) -> Iterator[Sample]:
    """Yield whether each node serves."""
    present = {node: pool.serving for node, pool in seen.pools.items()} or {WHOLE: False}
    for node, serves in present.items():
        yield Sample((seen.name, node), serves)


def connections(seen: Seen) -> Iterator[Sample]:
    """Yield the dedicated connections of each server, by what they are doing."""
    for node, pool in _servers(seen):
        for state, count in (("idle", pool.idle), ("used", pool.leased), ("opening", pool.opening)):
            yield Sample((seen.name, node, state), count)


def waiting(seen: Seen) -> Iterator[Sample]:
    """Yield who waits for each server, and for a Cluster's map."""
    servers = dict(_servers(seen))
    for node, pool in servers.items():
        yield Sample((seen.name, node), pool.waiting)
    if seen.stats is not None and WHOLE not in servers:
        elsewhere = sum(pool.waiting for pool in servers.values())
        yield Sample((seen.name, WHOLE), max(0, seen.stats.waiting - elsewhere))


def most_connections(seen: Seen) -> Iterator[Sample]:
    """Yield how many dedicated connections each server may have."""
    for node, _ in _servers(seen):
        yield Sample((seen.name, node), seen.manager.settings.pool.max_connections)


def errors(seen: Seen) -> Iterator[Sample]:
    """Yield the errors that callers met, by code."""
    for node, counts in seen.counts.items():
        for code, count in counts.errors.items():
            yield Sample((seen.name, node, code), count)


def pool_timeouts(seen: Seen) -> Iterator[Sample]:
    """Yield how many callers found no dedicated connection in time."""
    for node, counts in seen.counts.items():
        yield Sample((seen.name, node), counts.errors.get("redis_pool_timeout", 0))


def _servers(seen: Seen) -> Iterator[tuple[str, Any]]:
    """Yield the pools that have connections of their own: a Cluster as a whole has none."""
    for node, pool in seen.pools.items():
        if node != WHOLE or seen.counts[node] is pool:
            yield node, pool
