"""Reads of a Cluster that may be answered in the process.

Each node has a tracked lane of its own.  What was read from a node is served only while the
map says that the node has the key's slot, in the role that it had then.
"""

from collections.abc import Coroutine
from typing import Any, Protocol, Self, cast

from redis.client import NEVER_DECODE
from redis.exceptions import ResponseError

from redis_manager_fastapi.caching.asking import Asking, place_of
from redis_manager_fastapi.caching.reads import CachedReads
from redis_manager_fastapi.caching.values import own
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.client.cluster.router import recover
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.commands.cached import CACHED, keys_read
from redis_manager_fastapi.commands.sharing import SHARED, SharedCommand
from redis_manager_fastapi.delivery.contract import Execution, Kind
from redis_manager_fastapi.delivery.replies import empty_response, parsed
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.errors import PoolClosedError, RedisOutageError
from redis_manager_fastapi.pool.pacing import paced
from redis_manager_fastapi.pool.request import SingleRequest


class CachingClient(Protocol):
    """What a cached read asks of the cluster client that it is made by."""

    session: Session[Cluster]

    def with_options(self, *, grace: float | None = None, cache: float | None = None) -> Self:
        """Return a client that differs in the given options."""
        ...

    def execute_command(self, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        """Execute a command where its keys are."""
        ...


def is_cached(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether a command may be answered by the cache: it reads keys of one slot, and as usual."""
    if len(args) < 2 or args[0] not in CACHED:
        return False
    return "target_nodes" not in options and NEVER_DECODE not in options


@paced
async def read_cached(client: CachingClient, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Read by way of the cache, or as without it while its lane does not serve."""
    session, request, command = client.session, SingleRequest(), SHARED[args[0]]
    reads = cast(CachedReads, session.cached)
    cluster = session.request(request, command, args, options)
    slots = {slot_of(key) for key in keys_read(args)}
    if cluster is None or len(slots) != 1 or not session.options.shared:
        return await client.with_options(cache=0).execute_command(*args, **options)
    slot = slots.pop()
    known = reads.last_known(place_of(args, request.packed), cluster.affinity.clock())
    node = cluster.map.choose(slot, read_only=command.replicable)
    try:
        if known is not None and (node is None or not node.serving):
            cluster.check_usable()
            return await _hand_out(session, args, options, known)
        patient = client if known is None else client.with_options(grace=0)
        return await _read(patient, cluster, slot, command, args, options, request, node)
    except RedisOutageError as error:
        if known is None or isinstance(error, PoolClosedError):
            raise
    return await _hand_out(session, args, options, known)


async def _read(
    client: CachingClient,
    cluster: Cluster,
    slot: int,
    command: SharedCommand,
    args: tuple[Any, ...],
    options: dict[str, Any],
    request: SingleRequest,
    node: Node | None,
) -> Any:
    reads = cast(CachedReads, client.session.cached)
    lane = node.deployment.tracked(reads.cache, node) if node is not None else None
    if lane is None or lane.link is None or lane.link.full:
        return await client.with_options(cache=0).execute_command(*args, **options)
    request.future = cluster.affinity.loop.create_future()
    places = cluster.map.slots[slot]
    Asking(reads, lane.link, lane.life, args, places).submit(request)
    reply = await request.future
    if isinstance(reply, Exception):
        try:
            execution, replicable = Execution(Kind.READ, routed=True), command.replicable
            reply = await recover(
                client.session,
                cluster,
                slot,
                execution,
                request,
                node,
                reply,
                replicable=replicable,
            )
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
