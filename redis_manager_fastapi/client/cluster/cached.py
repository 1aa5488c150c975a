"""Reads of a Cluster that may be answered in the process.

Each node has a tracked lane of its own.  What was read from a node is served only while the
map says that the node has the key's slot, in the role that it had then.
"""

from collections.abc import Generator, Sequence
from typing import Any, cast

from redis.client import NEVER_DECODE

from redis_manager_fastapi.caching.asking import Asking
from redis_manager_fastapi.caching.reads import CachedReads
from redis_manager_fastapi.caching.store import LIFE
from redis_manager_fastapi.client.cached_call import CachedCall, CachedCommand
from redis_manager_fastapi.client.call import CommandFuture
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.client.cluster.routed_call import RoutedCall, RoutedCommand
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.commands.cached import CACHED, keys_read
from redis_manager_fastapi.commands.keys import ONE_KEY
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.state import FINAL


def is_cached(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether a command may be answered by the cache, if its keys are in one slot."""
    if len(args) < 2 or args[0] not in CACHED:
        return False
    return "target_nodes" not in options and NEVER_DECODE not in options


class CachedRoutedCommand(CachedCommand, RoutedCommand):
    """A read that goes to the node of its slot if it is not known."""

    __slots__ = ()

    @property
    def places(self) -> Sequence[object]:
        """The nodes that have its slot."""
        cluster: Cluster = cast(Any, self.pool)
        return cluster.map.slots[self.slot] or ()


class CachedRoutedFuture(CachedRoutedCommand, CommandFuture):
    """Such a read that somebody has asked whether it is a future, and that is one since."""

    __slots__ = ()


class CachedRoutedCall(CachedRoutedCommand, CachedCall, RoutedCall):  # pyright: ignore[reportIncompatibleVariableOverride]  # it has its own
    """A read of a cluster client with `cache=`."""

    __slots__ = ()

    future_type = CachedRoutedFuture

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._is_known_elsewhere():
            return RoutedCall.__await__(self)
        return CachedCall.__await__(self)

    def _is_known_elsewhere(self) -> bool:
        """Whether its reply is known, of a node that has not its slot any more."""
        cluster: Cluster | None = cast(Any, self.session.deployment.opened)
        reads = cast(CachedReads, self.session.cached)
        try:
            found: Any = reads.entries.get(self.args)
            if type(found) is not tuple or cluster is None:
                return False
            life = reads.lives[found[LIFE]]
            return life.place not in (cluster.map.slots[slot_of(self.args[1])] or ())
        except Exception:  # of an argument, which is met again, or of a life that has ended
            return True

    def _prepare(self) -> MultiplexedConnection | None:
        if self.args[0] not in ONE_KEY and len({slot_of(key) for key in keys_read(self.args)}) > 1:
            return None  # with no pool: for several nodes
        return self._asking_or(RoutedCall._prepare(self))  # noqa: SLF001 (its own)

    def _asking(self) -> Asking | None:
        """Return what answers a cached read; None while, or if, nothing can."""
        node, reads = getattr(self, "node", None), cast(CachedReads, self.session.cached)
        lane = node.deployment.tracked(reads.cache, node) if node is not None else None
        asking = lane.asking if lane is not None else None
        return None if asking is None or asking.link.full else asking

    def _is_away(self) -> bool:
        """Whether the node does not serve that has its slot."""
        return self.pool.state not in FINAL and (self.node is None or not self.node.serving)
