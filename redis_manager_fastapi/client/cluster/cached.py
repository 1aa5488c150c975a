"""Reads of a Cluster that may be answered in the process.

Each node has a tracked lane of its own.  What was read from a node is served only while the
map says that the node has the key's slot, in the role that it had then.
"""

from typing import Any, Protocol, Self, cast

from redis.client import NEVER_DECODE
from redis.exceptions import ResponseError

from redis_manager_fastapi.caching.asking import AskedRequest, place_of
from redis_manager_fastapi.caching.reads import CachedReads
from redis_manager_fastapi.caching.values import own
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.commands.cached import CACHED, keys_read
from redis_manager_fastapi.commands.sharing import SHARED, SharedCommand
from redis_manager_fastapi.delivery.replies import empty_response, parsed
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.errors import PoolClosedError, RedisOutageError
from redis_manager_fastapi.pool.counters import Held
from redis_manager_fastapi.pool.request import SingleRequest


class CachingClient(Protocol):
    """What a cached read asks of the cluster client that it is made by."""

    session: Session[Cluster]

    def with_options(self, *, grace: float | None = None, cache: float | None = None) -> Self:
        """Return a client that differs in the given options."""
        ...

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command where its keys are."""
        ...

    async def recover(
        self,
        cluster: Cluster,
        slot: int,
        command: SharedCommand,
        args: tuple[Any, ...],
        request: SingleRequest,
        node: Node | None,
        lost: Exception | None,
    ) -> Any:
        """Bring a request to its slot that met an error."""
        ...


def is_cached(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether a command may be answered by the cache: it reads keys of one slot, and as usual."""
    if args[0] not in CACHED or len(args) < 2:
        return False
    return "target_nodes" not in options and NEVER_DECODE not in options


async def read_cached(client: CachingClient, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Read by way of the cache, or as without it while its lane does not serve."""
    session, request, command = client.session, AskedRequest(), SHARED[args[0]]
    reads = cast(CachedReads, session.cached)
    cluster = session.request(request, command, args, options)
    slots = {slot_of(key) for key in keys_read(args)}
    if cluster is None or len(slots) != 1 or not session.options.shared:
        return await client.with_options(cache=0).execute_command(*args, **options)
    slot = slots.pop()
    known = reads.last_known(place_of(args, request.packed), cluster.affinity.clock())
    node = cluster.map.choose(slot, read_only=command.replicable)
    if known is None:
        return await _read(client, cluster, slot, command, args, options, request, node)
    if node is None or not node.serving:
        cluster.check_usable()
        return await _hand_out(session, args, options, known)
    with Held():
        try:
            hasty = client.with_options(grace=0)
            return await _read(hasty, cluster, slot, command, args, options, request, node)
        except RedisOutageError as error:
            if isinstance(error, PoolClosedError):
                raise
    return await _hand_out(session, args, options, known)


async def _read(
    client: CachingClient,
    cluster: Cluster,
    slot: int,
    command: SharedCommand,
    args: tuple[Any, ...],
    options: dict[str, Any],
    request: AskedRequest,
    node: Node | None,
) -> Any:
    reads = cast(CachedReads, client.session.cached)
    lane = node.deployment.tracked(reads.cache, node) if node is not None else None
    asking = lane.asking if lane is not None else None
    if asking is None or asking.link.full:
        return await client.with_options(cache=0).execute_command(*args, **options)
    request.future = cluster.affinity.loop.create_future()
    request.args, request.session, request.places = args, client.session, cluster.map.slots[slot]
    asking.submit(request)
    reply = await request.future
    if isinstance(reply, Exception):
        try:
            reply = await client.recover(cluster, slot, command, args, request, node, reply)
        except ResponseError as error:
            return empty_response(error, options)
    return await parsed(client.session.callbacks, args[0], reply, options)


async def _hand_out(
    session: Session[Cluster],
    args: tuple[Any, ...],
    options: dict[str, Any],
    known: tuple[Any, float],
) -> Any:
    """Return the value of what is known, and note how old it is."""
    value, age = known
    cast(CachedReads, session.cached).handed_out(age)
    return await parsed(session.callbacks, args[0], own(value), options)
