"""A Cluster's counters, by shard and by node."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.pool.counters import Counters, Counts, added
from redis_manager_fastapi.pool.state import PoolState, PoolStats


@dataclass(frozen=True, slots=True)
class NodeStats:
    """One node at one instant.

    Attributes:
        address: Where it is, as `host:port`.
        primary: Whether it takes writes.
        pool: Its pool's counters; None when nobody has needed a connection yet.
    """

    address: str
    primary: bool
    pool: PoolStats | None


@dataclass(frozen=True, slots=True)
class ShardStats:
    """The slots of one primary at one instant.

    Attributes:
        slots: The slots, such as `0-5460,6000`.
        serving: Whether a write would go out now.
        reason: Why not; empty while it would.
        nodes: The primary, then its replicas.
    """

    slots: str
    serving: bool
    reason: str
    nodes: tuple[NodeStats, ...]


@dataclass(frozen=True, slots=True)
class ClusterStats(PoolStats):
    """A Cluster's counters at one instant: the sums over its nodes, and each shard.

    Attributes:
        refreshes: How often the map of slots was asked for.
        shards: The shards, by their first slot.
        own: What no node counts: errors of commands that found none, further attempts, and
            callers that waited for the map.
    """

    refreshes: int = 0
    shards: tuple[ShardStats, ...] = ()
    own: Counts = field(default_factory=Counts)


def shards_of(slots: list[list[Node] | None]) -> tuple[ShardStats, ...]:
    """Return the shards; slots that no node has are one without nodes."""
    owned: dict[str, list[tuple[int, int]]] = {}
    nodes: dict[str, list[Node]] = {}
    for first, last in _runs(slots):
        listed = slots[first]
        name = listed[0].name if listed else ""
        owned.setdefault(name, []).append((first, last))
        if listed and len(listed) >= len(nodes.get(name, ())):
            nodes[name] = listed
    return tuple(_shard(owned[name], nodes.get(name, [])) for name in owned)


def _runs(slots: list[list[Node] | None]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of neighbouring slots with the same nodes."""
    first = 0
    for slot in range(1, len(slots)):
        if slots[slot] is not slots[first]:
            yield first, slot - 1
            first = slot
    yield first, len(slots) - 1


def _shard(runs: list[tuple[int, int]], nodes: list[Node]) -> ShardStats:
    serving = bool(nodes) and nodes[0].serving
    stats = tuple(
        NodeStats(str(node.address), node.is_primary, pool.stats() if (pool := node.pool) else None)
        for node in nodes
    )
    reason = "" if serving else _reason(nodes)
    slots = ",".join(f"{a}-{b}" if a != b else f"{a}" for a, b in runs)
    return ShardStats(slots, serving, reason, stats)


def _reason(nodes: list[Node]) -> str:
    if not nodes:
        return "no node serves them"
    pool = nodes[0].pool
    return (pool.reason if pool else "") or "connecting"


def summed(
    shards: tuple[ShardStats, ...],
    pools: list[PoolStats],
    *,
    instance: str,
    state: PoolState,
    refreshes: int,
    clients: int,
    waiting: int,
    own: Counters,
    counted: Counters,
) -> ClusterStats:
    """Return the sums over *pools*, with a reason that names the slots that do not serve.

    What was *counted*, by whichever nodes there have been, is added to the Cluster's *own*.
    """
    lost = [f"slots {shard.slots}: {shard.reason}" for shard in shards if not shard.serving]
    return ClusterStats(
        instance=instance,
        state=state,
        serving=state is PoolState.READY,
        generation=sum(pool.generation for pool in pools),
        reason="; ".join(lost),
        links=sum(pool.links for pool in pools),
        in_flight=sum(pool.in_flight for pool in pools),
        idle=sum(pool.idle for pool in pools),
        leased=sum(pool.leased for pool in pools),
        opening=sum(pool.opening for pool in pools),
        waiting=sum(pool.waiting for pool in pools) + waiting,
        clients=clients,
        grace_used=max((pool.grace_used for pool in pools), default=0.0),
        refreshes=refreshes,
        shards=shards,
        own=Counts(**own.fields()),
        **added((own, counted)).fields(),
    )
