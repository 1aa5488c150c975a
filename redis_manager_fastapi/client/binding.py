"""Where clients find the pool, and what a client may be told about its calls."""

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.errors import RedisNotStartedError
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import PoolStats

P = TypeVar("P")


class Attachment(Generic[P]):
    """The link between a manager's clients and the pool, or Cluster, that is open now.

    A client may be made before the manager opens, and outlive its closing: it
    looks here at each command.

    Attributes:
        instance: The manager's name.
        pool: The pool, or None while the manager is not open.
    """

    def __init__(self, instance: str, pool: P | None = None) -> None:
        self.instance = instance
        self.pool = pool

    def require(self) -> P:
        """Return the pool.

        Raises:
            RedisNotStartedError: The manager has not been opened.
        """
        if self.pool is None:
            raise not_started(self.instance)
        return self.pool

    def stats(self) -> PoolStats:
        """Return the counters of this instant.

        Raises:
            RedisNotStartedError: The manager has not been opened.
        """
        pool: Any = self.require()
        stats: PoolStats = pool.stats()
        return stats


class Binding(Attachment[Pool]):
    """The link to the pool of one server."""


class ReplicatedBinding(Binding):
    """The link to the pool of a primary, and to the one that reads from a replica.

    Attributes:
        replica: The latter; None while the manager is not open.
    """

    replica: Pool | None = None

    def stats(self) -> PoolStats:
        """Return the primary's counters, and the replica's among them."""
        replica = self.replica.stats() if self.replica is not None else None
        return replace(super().stats(), replica=replica)


class ClusterBinding(Attachment[Cluster]):
    """The link to a Cluster."""


def not_started(instance: str) -> RedisNotStartedError:
    """Return the error for a manager whose lifespan never ran, with the fix for app and tests."""
    message = (
        f"redis {instance!r} is not started: pass its lifespan to the app,"
        " `FastAPI(lifespan=manager.lifespan)` or `manager.wrap(your_lifespan)`; in tests, run the"
        " lifespan too, `with TestClient(app) as client:` or `async with manager:`; the lifespan of"
        " a mounted sub-app never runs, so pass it to the outermost app"
    )
    return RedisNotStartedError(message, instance=instance)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How a client's commands are carried out.

    Attributes:
        decode: Whether replies are `str` rather than `bytes`.
        timeout: Each command's deadline, in seconds.
        pipelining: Whether commands may share a connection at all.
        shared: Whether this client's listed commands do.
    """

    decode: bool
    timeout: float
    pipelining: bool
    shared: bool

    def changed(
        self, decode_responses: bool | None, timeout: float | None, dedicated: bool | None
    ) -> "CallOptions":
        """Return these options with the given ones in their place; None leaves one as it is.

        Raises:
            ValueError: *timeout* is not a number above 0.
        """
        if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
            raise ValueError(f"timeout must be a number of seconds above 0, not {timeout!r}")
        return CallOptions(
            decode=self.decode if decode_responses is None else decode_responses,
            timeout=self.timeout if timeout is None else timeout,
            pipelining=self.pipelining,
            shared=self.shared if dedicated is None else self.pipelining and not dedicated,
        )
