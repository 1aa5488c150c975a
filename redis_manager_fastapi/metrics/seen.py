"""A manager as it is when somebody asks for its metrics: its stats, by node."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from redis_manager_fastapi.errors import RedisNotStartedError
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.observe.caching import CacheStats
from redis_manager_fastapi.observe.realtime import RealTimeStats
from redis_manager_fastapi.pool.counters import Counts
from redis_manager_fastapi.pool.state import PoolStats
from redis_manager_fastapi.registry import RedisRegistry

WHOLE = ""
"""The label of a whole, in the place of a node: the one server, the primary, or the Cluster."""

REPLICA = "replica"
"""The label of the replica that reads go to."""

# Stats are read again so often when what they are made of changes in another thread meanwhile.
_ATTEMPTS = 5

Source = RedisManager | RedisRegistry


@dataclass(frozen=True, slots=True)
class Seen:
    """A manager at one instant.

    Attributes:
        manager: The manager.
        stats: Its stats; None before it has been opened.
        pools: What there is to say of each node, by the node's label.
        counts: What was counted for each; of a Cluster as a whole, what no node has counted.
    """

    manager: RedisManager
    stats: PoolStats | None
    pools: Mapping[str, PoolStats]
    counts: Mapping[str, Counts]

    @property
    def name(self) -> str:
        """The manager's name."""
        return self.manager.name

    @property
    def realtime(self) -> RealTimeStats:
        """The counters of what listens."""
        return (self.stats and self.stats.realtime) or RealTimeStats()

    @property
    def cache(self) -> CacheStats | None:
        """The counters of the client-side cache; None until a client asks for one."""
        return self.stats.cache if self.stats is not None else None


def see(manager: RedisManager) -> Seen:
    """Look at a manager, from whichever thread."""
    for _ in range(_ATTEMPTS):
        try:
            stats = manager.stats()
        except RedisNotStartedError:
            break
        except RuntimeError:  # "changed size during iteration"
            continue
        nodes = _nodes(stats)
        own = getattr(stats, "own", stats)
        return Seen(manager, stats, {WHOLE: stats, **nodes}, {WHOLE: own, **nodes})
    return Seen(manager, None, {}, {})


def _nodes(stats: PoolStats) -> dict[str, PoolStats]:
    """Return the pools below a manager's own: those of a Cluster, or a replica's."""
    if stats.replica is not None:
        return {REPLICA: stats.replica}
    nodes = [node for shard in getattr(stats, "shards", ()) for node in shard.nodes]
    return {node.address: node.pool for node in nodes if node.pool is not None}


def managers_of(sources: Iterable[Source]) -> tuple[RedisManager, ...]:
    """Return the managers of *sources*, each once.

    Raises:
        TypeError: One is neither a manager nor a registry.
        ValueError: There is none, or two have the same name.
    """
    found: dict[str, RedisManager] = {}
    for source in sources:
        if not isinstance(source, RedisManager | RedisRegistry):
            raise TypeError(f"metrics are of a manager or a registry, not of {source!r}")
        for manager in source.values() if isinstance(source, RedisRegistry) else (source,):
            if found.setdefault(manager.name, manager) is not manager:
                raise ValueError(f"two managers are named {manager.name!r}: name one otherwise")
    if not found:
        raise ValueError("metrics are of a manager or a registry; none was given")
    return tuple(found.values())
