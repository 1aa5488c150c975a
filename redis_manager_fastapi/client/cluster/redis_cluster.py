"""The cluster client: redis-py's `RedisCluster`, with one shared connection per node."""

from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Any, Literal, Self, Unpack, cast, overload

import redis.asyncio
import redis.observability.providers as observability
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Encoder  # pyright: ignore[reportPrivateImportUsage]  # there is no `__all__`
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.cluster import SLOT_ID
from redis.commands import READ_COMMANDS
from redis.exceptions import (
    AskError,
    RedisClusterException,
    RedisError,
    SlotNotCoveredError,
)
from redis.maint_notifications import MaintNotificationsConfig

from redis_manager_fastapi.client.cached_call import caching
from redis_manager_fastapi.client.call import allocate, coroutine_function
from redis_manager_fastapi.client.callbacks import OwnCallbacks
from redis_manager_fastapi.client.cluster.cached import CachedRoutedCall, is_cached
from redis_manager_fastapi.client.cluster.keys import (
    KeyFinder,
    goes_on_nowhere,
    is_zero,
    known_slot,
    slot_of,
)
from redis_manager_fastapi.client.cluster.observed import stand_in_for_cluster
from redis_manager_fastapi.client.cluster.parts import check_parts, part, together, whole
from redis_manager_fastapi.client.cluster.picking import PickingNodes
from redis_manager_fastapi.client.cluster.pipeline import ClusterPipeline
from redis_manager_fastapi.client.cluster.pubsub import ClusterPubSub
from redis_manager_fastapi.client.cluster.routed_call import RoutedCall, routed
from redis_manager_fastapi.client.cluster.router import (
    AutoTarget,
    Route,
    node_in,
    node_left,
    send,
    standing,
)
from redis_manager_fastapi.client.observed import Observers, leave_observers, meant, span_of_command
from redis_manager_fastapi.client.options import OptionArguments
from redis_manager_fastapi.client.parameters import NoParameter
from redis_manager_fastapi.client.redis import Redis, carried
from redis_manager_fastapi.client.typed import ClusterCommands, TextT
from redis_manager_fastapi.cluster.cluster import Cluster, Clustered
from redis_manager_fastapi.cluster.node import Node, refusing
from redis_manager_fastapi.cluster.redis_py import OWN_EXECUTE_COMMAND, CommandPolicies
from redis_manager_fastapi.cluster.slot_map import ClientsMap, SlotMap
from redis_manager_fastapi.commands.blocking import blocking_timeout, new_only, upper_word
from redis_manager_fastapi.commands.keys import ONE_KEY, find_one_key
from redis_manager_fastapi.commands.sharing import ANY_SCRIPTS, SHARED
from redis_manager_fastapi.delivery.contract import Execution, Kind, kind_of
from redis_manager_fastapi.delivery.leased import refuse_of_its_connection
from redis_manager_fastapi.delivery.session import CallOptions, Scope, Session
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.pacing import paced
from redis_manager_fastapi.redis_py import measures

theirs = redis.asyncio.RedisCluster
_SCRIPTS = ("EVAL", "EVALSHA", "FCALL", "FCALL_RO")

# Some of the client's attributes are slots, which `__dict__` does not show.
_OURS = ("_lock", "nodes_manager", "response_callbacks")
_SLOTS = tuple(name for name in redis.asyncio.RedisCluster.__slots__ if name not in _OURS)


class RedisCluster(ClusterCommands[TextT], OwnCallbacks, NoParameter, PickingNodes):  # type: ignore[misc]  # replies are exact
    """A `redis.asyncio.RedisCluster` over the manager's Cluster.

    Ordinary commands of all callers share one connection per node.  Redirects,
    fail-overs and moved slots are followed within each command's deadline; the
    outage contract is the same as with one server, shard by shard.  It opens
    nothing and closes nothing itself: map and nodes are the manager's.
    """

    as_parameter = "RedisClusterDep"

    session: Session[Cluster]
    observers: Observers | None = None

    answered = False
    """Whether what it executes was sent before, and answered by a redirect."""

    def __init__(self, session: Session[Cluster]) -> None:
        self.session = session  # redis-py's constructor asks for the map already
        self._shares_callbacks = True
        # redis-py wants a node to start from; the map comes from the deployment instead.
        super().__init__(
            startup_nodes=[ClusterNode("0.0.0.0", 0)],  # noqa: S104 (never connected to)
            retry=Retry(NoBackoff(), 0),
            decode_responses=session.options.decode,
            protocol=session.connection_kwargs["protocol"],
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self.commands_parser = KeyFinder(self)
        self.connection_kwargs = session.connection_kwargs
        self._himport_registry = session.connection_kwargs["himport_registry"]
        self.read_from_replicas = session.deployment.settings.cluster.reads != "primary"
        self._initialize = False

    def __repr__(self) -> str:
        return f"<RedisCluster {self.session.instance!r} {self.session.options}>"

    def __del__(self, *_: Any) -> None:
        """Nothing is left open: the manager owns the connections."""

    @property  # type: ignore[override]
    def nodes_manager(self) -> SlotMap:
        """The map of slots, with what redis-py's code looks up of this client."""
        session, deployment = self.session, cast(Clustered, self.session.deployment)
        kwargs, listeners = session.connection_kwargs, deployment.listeners
        clients: Any = ClientsMap(lambda: session.opened.map, kwargs, listeners)
        return cast(SlotMap, clients)

    @nodes_manager.setter
    def nodes_manager(self, unused: Any) -> None:
        """Leave the one that redis-py's constructor makes."""

    @paced
    async def initialize(self, *args: Any, **kwargs: Any) -> Self:
        """Wait until the map of slots is known; arguments are redis-py's, unused."""
        cluster, deadline = await self.session.admit()
        await cluster.known(deadline, self.session.options.grace)
        return self

    async def aclose(self) -> None:
        """Do nothing; the manager closes the connections."""

    @overload
    def with_options(
        self, *, decode_responses: Literal[True], **options: Unpack[OptionArguments]
    ) -> "RedisCluster[str]": ...
    @overload
    def with_options(
        self, *, decode_responses: Literal[False], **options: Unpack[OptionArguments]
    ) -> "RedisCluster[bytes]": ...
    @overload
    def with_options(
        self, *, decode_responses: None = None, **options: Unpack[OptionArguments]
    ) -> Self: ...
    @overload
    def with_options(
        self, *, decode_responses: bool, **options: Unpack[OptionArguments]
    ) -> "RedisCluster[str] | RedisCluster[bytes]": ...
    def with_options(
        self,
        *,
        decode_responses: bool | None = None,
        timeout: float | None = None,
        dedicated: bool | None = None,
        grace: float | None = None,
        cache: float | None = None,
        stale: float | None = None,
        cache_exact: bool | None = None,
    ) -> Any:
        """Return a client on the same Cluster that differs in the given options.

        Args:
            decode_responses: `False` returns `bytes`, `True` returns `str`.
            timeout: Each command's deadline, in seconds.
            dedicated: `True` takes a dedicated connection for every command.
            grace: How long a command waits in an outage, in seconds after the last reply, in
                the place of `outage.grace`; 0 fails at once.
            cache: For how many seconds the reply to a read may come from this process; 0 for
                never. This and the next two are as with `Redis.with_options`.
            stale: How many seconds old a last known value may be, while its shard is away.
            cache_exact: Whether a cached reply ends when its key expires.
        """
        options = self.session.options.changed(decode_responses, timeout, dedicated, grace)
        client = self._copy()
        client.session = self.session.with_options(options)
        if not (cache is stale is cache_exact is None):
            client.session = caching(client.session, cache, stale, cache_exact)
        client.connection_kwargs = client.session.connection_kwargs
        client.encoder = Encoder("utf-8", "strict", options.decode)
        return client

    def scoped(self, scope: Scope | None, options: CallOptions | None = None) -> Self:
        """Return a client that ends with *scope*, with other options if they are given."""
        client = self._copy()
        client.session = self.session.scoped(scope, options)
        return client

    @property
    def stale_for(self) -> float:
        """How old the oldest value is that this client gave in an outage, in seconds; else 0.0."""
        cached = self.session.cached
        return cached.stale_for if cached is not None else 0.0

    def on(self, node: ClusterNode, *, timeout: float | None = None) -> Redis[TextT]:
        """Return a client of one node alone, which follows no redirect.

        Args:
            node: One of `get_nodes()`.
            timeout: Each command's deadline, in seconds; the client's if left out.

        Its commands raise `RedisUnavailableError` once the node is not part of the cluster any
        more, and `PoolClosedError` when the manager is draining or closed.
        """
        try:
            return self.client_of(node, timeout=timeout)
        except RedisManagerError as refusal:
            session = self.session
            options, kwargs = session.options, session.connection_kwargs
            deployment = refusing(session.deployment, refusal)
            node_session = Session(deployment, options, kwargs, session.callbacks)
            return cast("Redis[TextT]", Redis(node_session).scoped(session.scope))

    def client_of(self, node: ClusterNode, *, timeout: float | None = None) -> Redis[TextT]:
        """Return the same at once, or not at all; for those who let the event loop turn.

        Raises:
            PoolClosedError: The manager is draining or closed.
            RedisUnavailableError: The node is not part of the cluster any more.
        """
        cluster = self.session.opened
        cluster.check_usable()
        target = cluster.map.current(node)
        if target is None:
            raise node_left(cluster.instance)
        session = self.session
        if target.deployment.tracer is not session.deployment.tracer:
            target.deployment.trace(session.deployment.tracer)
        options = session.options
        if timeout is not None:
            options = replace(options, timeout=max(timeout, 0.001))
        target.open()
        if target.client is None:
            kwargs = session.connection_kwargs
            target.client = Redis(Session(target.deployment, options, kwargs, session.callbacks))
        client: Redis[Any] = target.client.scoped(session.scope)
        client.session, self._shares_callbacks = client.session.with_callbacks_of(session), True
        return client.with_call_options(options)

    def _copy(self) -> Self:
        """Return a client that shares everything; redis-py's constructor would build it anew."""
        copy = object.__new__(type(self))
        self._shares_callbacks = True
        copy.__dict__.update(self.__dict__)
        for name in _SLOTS:
            setattr(copy, name, getattr(self, name))
        copy.commands_parser = self.commands_parser
        leave_observers(copy, self)
        return copy

    # In redis-py an `async def`, for which pyright wants CPython's own class of coroutines.
    @coroutine_function
    def execute_command(self, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Execute a command where its keys are; arguments are redis-py's.

        Raises:
            RedisUnavailableError: The keys' shard did not come back within grace.
            ReplyLostError: A write was sent and not answered; it may have run.
            CommandTimeoutError: The deadline passed.
            redis.ResponseError: The server rejected the command, for the reason in its text.
        """
        session = self.session
        metrics = observability._observability_instance  # noqa: SLF001 (as `measures` has it)
        if (
            theirs.execute_command is not OWN_EXECUTE_COMMAND
            or session.deployment.observed
            or (metrics is not None and metrics._provider_manager is not None)  # noqa: SLF001
        ):
            return carried(self._execute_observed, args, options)
        command = find_one_key(args[0]) if len(args) > 1 else None
        if (
            command is None
            or session.cached is not None
            or not session.options.shared
            or "target_nodes" in options
        ):
            found = self._routed(args, options)
            return carried(self.execute_anywhere, args, options) if found is None else found
        # As `routed` does, whose call would cost as much as all this.
        call: RoutedCall = allocate(RoutedCall)
        call.args = args
        call.client = self
        call.command = command
        call.future = None
        call.options = options
        call.session = session  # type: ignore[assignment]  # a Cluster in the place of a pool
        return call

    def deliver(self, args: tuple[Any, ...], options: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        """Execute a command that nobody observes, or that is observed already."""
        call = self._routed(args, options)
        return self.execute_anywhere(args, options) if call is None else call

    def _routed(self, args: tuple[Any, ...], options: dict[str, Any]) -> RoutedCall | None:
        """Return a call that goes to the node with its key's slot; None if it needs redis-py's."""
        session = self.session
        if session.options.shared:
            if session.cached is not None and is_cached(args, options):
                return routed(CachedRoutedCall, self, SHARED[args[0]], args, options)
            command = ONE_KEY.get(args[0]) if len(args) > 1 else None
            if command is not None and "target_nodes" not in options:
                return routed(RoutedCall, self, command, args, options)
        return None

    async def _execute_observed(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Execute a command for whoever observes it; see `client/observed.py`."""
        client = meant(self)
        if self.observers is not None:
            with self.observers.run_for(client) as observers:
                return await observers.execute_command(*args, **options)
        has_key = args[0] in ONE_KEY and len(args) > 1 and "target_nodes" not in options
        slot = slot_of(*args[1:2]) if has_key else None
        with span_of_command(client.session, args, slot):
            if theirs.execute_command is OWN_EXECUTE_COMMAND and not measures():
                return await client.deliver(args, options)
            stand_in: Any = super(RedisCluster, stand_in_for_cluster(client, options, slot))
            return await stand_in.execute_command(*args, **options)

    async def node_of(self, slot: int, deadline: float, *, read_only: bool = False) -> Node:
        """Return the node for a command on *slot*, once the map is known.

        Raises:
            redis.SlotNotCoveredError: No node has it.
        """
        cluster, grace = self.session.opened, self.session.options.grace
        return await node_in(cluster, slot, deadline, grace, replicable=read_only)

    @paced
    async def execute_anywhere(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Execute a command that redis-py's rules send to one node or to several."""
        await refuse_of_its_connection(args)
        cluster, deadline = await self.session.admit()
        grace = self.session.options.grace
        await cluster.known(deadline, grace)
        if goes_on_nowhere(args, options):
            raise node_left(self.session.instance)
        while True:
            try:
                with whole(args, deadline):
                    if upper_word(args[0]) == "WAIT" and not options.get("target_nodes"):
                        return await self._wait_everywhere(args, options)
                    return await OWN_EXECUTE_COMMAND(self, *args, **options)
            except SlotNotCoveredError as error:
                await cluster.mended(getattr(error, "slot", None), str(error), deadline, grace)

    async def _wait_everywhere(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Have every primary wait for its replicas; return the least of their counts."""
        cluster = self.session.opened
        owners = [AutoTarget(node.name, False, True) for node in cluster.map.owners]
        if not owners:
            raise cluster.unavailable()
        waiting = [self._execute_command(owner, *args, **options) for owner in owners]
        return min(await together(waiting, "WAIT"))

    @part
    async def _execute_command(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, target_node: Any, deadline: float, *args: Any, **options: Any
    ) -> Any:
        """Execute on *target_node*, or where the command's slot is by now."""
        cluster, timeout = self.session.opened, self.session.options.timeout
        clock, blocking = cluster.loop.time, blocking_timeout(args)
        deadline += inf if blocking == 0 else blocking or 0.0
        ends, again = deadline - timeout, False
        command = SHARED.get(args[0])
        read_only = command is not None and command.replicable
        named = not isinstance(target_node, AutoTarget)
        first = standing(cluster, target_node)
        # The node's own client has sent a read again already.
        kind = Kind.SCRIPT if upper_word(args[0]) in ANY_SCRIPTS else Kind.WRITE
        execution = Execution(kind, routed=True, answered=self.answered)
        route = Route(cluster, None, deadline, execution, self.session.options.grace)
        route.keyless = kind is Kind.SCRIPT and is_zero(args, 2)
        route.reads = kind_of(args) is Kind.READ

        async def find() -> Node:
            nonlocal first
            node, first = first, None
            if node is not None:
                return node
            route.slot = await self._slot_if_any(args, named=named)
            if route.slot is not None:
                return await self.node_of(route.slot, deadline, read_only=read_only)
            return standing(cluster, target_node) or self._stand_in(target_node)

        def go_on_with(resolved: tuple[Any, ...]) -> None:
            nonlocal args
            args = resolved

        async def attempt(node: Node, asking: bool) -> Any:
            nonlocal again
            left, again = ends - clock() if again else None, True
            client = self.client_of(node, timeout=min(timeout, deadline - clock()))
            limit, keep = deadline if blocking else None, go_on_with if new_only(args) else None
            try:
                return await send(
                    client, args, options, asking=asking, limit=limit, left=left, keep=keep
                )
            except AskError:
                if route.slot is None:
                    route.slot = await self._slot_if_any(args, named=named)
                raise

        return await route.follow(attempt, find)

    async def slot_of_command(self, args: tuple[Any, ...]) -> int:
        """Return the slot of a command's keys.

        Raises:
            redis.RedisClusterException: It has no keys, or keys of several slots.
        """
        return await self._determine_slot(*args)

    async def _determine_slot(self, command: str, *args: Any) -> int:
        """Find the slot by this library's tables, and by redis-py's rules beyond them."""
        known = known_slot(command, args)
        return await super()._determine_slot(command, *args) if known is None else known

    async def get_nodes_from_slot(self, command: str, *args: Any) -> list[Any]:
        """Return the node for a command with keys, as a list; a cursor's is the primary."""
        listed = SHARED.get(command)
        replicable = listed.replicable if listed is not None else command in READ_COMMANDS
        slot = await self._determine_slot(command, *args)
        return [self.session.opened.map.get_node_from_slot(slot, replicable)]

    async def targets(self, args: tuple[Any, ...], given: Any) -> list[Any]:
        """Return the nodes that redis-py's rules, or the caller, send a command to."""
        if given and not self._is_node_flag(given):
            return list(self._parse_target_nodes(given))
        if not given and args[0] not in self.command_flags:
            slot = await self.slot_of_command(args)
            return [self.session.opened.map.get_node_from_slot(slot)]
        nodes: list[Any] = await self._determine_nodes(
            *args, request_policy=CommandPolicies().request_policy, node_flag=given
        )
        return nodes

    async def _slot_if_any(self, args: tuple[Any, ...], *, named: bool) -> int | None:
        """Return the slot that a command belongs to; None when it belongs to a node.

        Args:
            args: The command.
            named: Whether the caller named the node.
        """
        flag = self.command_flags.get(args[0])
        if flag is not None and (named or flag != SLOT_ID):
            return None
        if named and args[0] in _SCRIPTS and is_zero(args, 2):
            return None
        try:
            return await self.slot_of_command(args)
        except RedisManagerError:
            raise
        except (RedisClusterException, RedisError, LookupError, TypeError, ValueError):
            return None

    def _split_command_across_slots(  # type: ignore[override]
        self, command: str, *keys: Any
    ) -> Coroutine[Any, Any, int]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Execute DEL, EXISTS, TOUCH or UNLINK on several slots; return the sum of the replies."""
        split = super()._split_command_across_slots
        return carried(lambda args, _: split(*args), (command, *keys), {})

    async def _execute_pipeline_by_slot(  # type: ignore[override]
        self, command: str, slots_to_args: Mapping[int, Iterable[Any]]
    ) -> list[Any]:
        """Execute a command on several slots side by side, for `mget_nonatomic` and the like."""
        check_parts(slots_to_args.values())
        await self.initialize()
        seen = theirs.execute_command is not OWN_EXECUTE_COMMAND or self.session.deployment.observed
        observed = seen or measures() or "execute_command" in vars(self)
        by_rules = not self.session.options.shared
        calls: list[Any] = [
            self.execute_command(command, *args)
            if observed
            else self.execute_anywhere((command, *args), {})
            if by_rules
            else routed(RoutedCall, self, SHARED[command], (command, *args), {})
            for args in slots_to_args.values()
        ]
        return await together(calls, command)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:
        """Return a pipeline, split by node and sent side by side; a transaction has one slot."""
        if shard_hint:
            raise RedisClusterException("shard_hint is deprecated in cluster mode")
        client = meant(self)
        if self.observers is not None:
            with self.observers.run_for(client) as observers:
                pipe: ClusterPipeline = observers.pipeline(transaction)
            return pipe
        return ClusterPipeline(client, transaction)  # type: ignore[abstract]

    def pubsub(self, *args: Any, **kwargs: Any) -> ClusterPubSub:
        """Return redis-py's `ClusterPubSub` on dedicated connections; arguments are redis-py's."""
        return ClusterPubSub(self, *args, **kwargs)
