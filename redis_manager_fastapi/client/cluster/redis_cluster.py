"""The cluster client: redis-py's `RedisCluster`, with one shared connection per node."""

import asyncio
import threading
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from redis._parsers.commands import CommandPolicies, RequestPolicy
from redis.client import EMPTY_RESPONSE, NEVER_DECODE
from redis.cluster import SLOT_ID
from redis.commands import READ_COMMANDS
from redis.exceptions import (
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
)

from redis_manager_fastapi.client.cluster.bound import BoundCluster
from redis_manager_fastapi.client.cluster.keys import KEYS_OF, ONE_KEY, slot_of
from redis_manager_fastapi.client.cluster.pipeline import ClusterPipeline
from redis_manager_fastapi.client.cluster.pubsub import ClusterPubSub
from redis_manager_fastapi.client.cluster.routing import (
    FOLLOWED,
    Chosen,
    Route,
    departed,
    exchange,
    refuse,
)
from redis_manager_fastapi.client.packing import LARGE_REQUEST, pack
from redis_manager_fastapi.client.replies import parse
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.cluster.slot_map import UncoveredSlotError
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.commands import SHARED, SharedCommand, blocking_timeout
from redis_manager_fastapi.pool.request import SingleRequest

_this_thread = threading.get_ident

# redis-py's rules by which one node takes a command that every node could take.
_ANY_NODE = (RequestPolicy.DEFAULT_NODE, RequestPolicy.DEFAULT_KEYLESS)
_SCRIPTS = ("EVAL", "EVALSHA", "FCALL", "FCALL_RO")


class RedisCluster(BoundCluster):
    """A `redis.asyncio.RedisCluster` over the manager's Cluster.

    Ordinary commands of all callers share one connection per node.  Redirects,
    fail-overs and moved slots are followed within each command's deadline; the
    outage contract is the same as with one server, shard by shard.
    """

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command where its keys are; arguments are redis-py's.

        Raises:
            RedisUnavailableError: The keys' shard did not come back within grace.
            ReplyLostError: A write was sent and not answered; it may have run.
            CommandTimeoutError: The deadline passed.
            redis.ResponseError: The server rejected the command, for the reason in its text.
        """
        if self.scope is not None and self.scope.ended:
            self.scope.check()
        command = ONE_KEY.get(args[0])
        if command is None or len(args) < 2 or "target_nodes" in options:
            return await self._execute_anywhere(args, options)
        return await self.execute_on_slot(slot_of(args[1]), command, args, options)

    async def execute_on_slot(
        self, slot: int, command: SharedCommand, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        """Execute a listed command whose keys are all in *slot*."""
        packed = pack(command, args)
        call = self.call_options
        if not call.shared or len(packed) > LARGE_REQUEST:
            return await self._execute_anywhere(args, options)
        cluster = self.binding.require()
        home = cluster.home
        if _this_thread() != home.thread:
            cluster.check_usable()
        request = SingleRequest()
        request.packed = packed
        request.future = home.loop.create_future()
        request.deadline = home.clock() + call.timeout
        request.decode = call.decode and NEVER_DECODE not in options
        request.read_only = command.read_only
        node = cluster.map.choose(slot, read_only=command.replicable)
        link = node.link if node is not None else None
        if link is not None and not link.full:
            link.submit(request)
            reply = await request.future
            if not isinstance(reply, Exception):
                return parse(self.response_callbacks, args[0], reply, options)
            lost: Exception | None = reply
        else:
            lost = None
        try:
            reply = await self._recover(slot, command, request, node, lost)
        except ResponseError:
            if EMPTY_RESPONSE in options:
                return options[EMPTY_RESPONSE]
            raise
        return parse(self.response_callbacks, args[0], reply, options)

    async def _recover(
        self,
        slot: int,
        command: SharedCommand,
        request: SingleRequest,
        node: Node | None,
        lost: Exception | None,
    ) -> Any:
        """Bring a request to its slot that could not go out at once, or met an error there."""
        cluster = self.binding.require()
        cluster.check_usable()

        async def find() -> Node:
            return await self.node_of(slot, request.deadline, read_only=command.replicable)

        async def attempt(target: Node, asking: bool) -> Any:
            request.renew()
            return await exchange(target.open(), request, asking=asking)

        route = Route(cluster, slot, request.deadline, read_only=request.read_only)
        error: Exception | None = None
        if lost is not None and node is not None:
            try:
                await refuse(node.open(), request, lost)
            except FOLLOWED as translated:
                error = translated
        return await route.follow(attempt, find, error, node)

    async def node_of(self, slot: int, deadline: float, *, read_only: bool = False) -> Node:
        """Return the node for a command on *slot*, once the map is known.

        Raises:
            redis.SlotNotCoveredError: No node has it.
        """
        cluster = self.binding.require()
        await cluster.known(deadline)
        node = cluster.map.choose(slot, read_only=read_only)
        if node is None:
            raise UncoveredSlotError(slot)
        return node

    async def _execute_anywhere(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Execute a command that redis-py's rules send to one node or to several."""
        await self.initialize()
        if _goes_on_nowhere(args, options):
            raise departed(self.binding.instance)
        cluster = self.binding.require()
        deadline = cluster.loop.time() + self.call_options.timeout
        while True:
            try:
                return await super().execute_command(*args, **options)
            except SlotNotCoveredError as error:
                await cluster.mended(getattr(error, "slot", None), str(error), deadline)

    async def _determine_nodes(
        self,
        command: str,
        *args: Any,
        request_policy: RequestPolicy,
        node_flag: str | None = None,
    ) -> list[Any]:
        """Pick nodes by redis-py's rules; those that the caller did not ask for are `Chosen`."""
        nodes: list[Any] = await super()._determine_nodes(
            command, *args, request_policy=request_policy, node_flag=node_flag
        )
        if node_flag:
            return nodes
        flag: Any = self.command_flags.get(command)
        replaceable = self._command_flags_mapping.get(flag, request_policy) in _ANY_NODE
        return [Chosen(node.name, replaceable) for node in nodes]

    async def _execute_command(self, target_node: Any, *args: Any, **options: Any) -> Any:
        """Execute on *target_node*, or where the command's slot is by now."""
        cluster = self.binding.require()
        clock, timeout = cluster.loop.time, self.call_options.timeout
        blocking = blocking_timeout(args)
        deadline = clock() + timeout + (inf if blocking == 0 else blocking or 0.0)
        command = SHARED.get(args[0])
        read_only = command is not None and command.replicable
        first = cluster.map.current(target_node)
        route = Route(cluster, None, deadline, read_only=False)

        async def find() -> Node:
            nonlocal first
            node, first = first, None
            if node is not None:
                return node
            named = not isinstance(target_node, Chosen)
            route.slot = await self._slot_if_any(args, named=named)
            if route.slot is not None:
                return await self.node_of(route.slot, deadline, read_only=read_only)
            return cluster.map.current(target_node) or self._stand_in(target_node)

        async def attempt(node: Node, asking: bool) -> Any:
            # A blocking command's own time is added to its client's, anew at each node.
            left = timeout if blocking is not None else deadline - clock()
            client = self.on(node, timeout=left)
            if not asking:
                return await client.execute_command(*args, **options)
            async with client.client() as pinned:
                await pinned.execute_command("ASKING")
                return await pinned.execute_command(*args, **options)

        return await route.follow(attempt, find)

    async def slot_of_command(self, args: tuple[Any, ...]) -> int:
        """Return the slot of a command's keys.

        Raises:
            redis.RedisClusterException: It has no keys, or keys of several slots.
        """
        return await self._determine_slot(*args)

    async def _determine_slot(self, command: str, *args: Any) -> int:
        """Find the slot by this library's tables, and by redis-py's rules beyond them."""
        if command in ONE_KEY and args:
            return slot_of(args[0])
        rule = KEYS_OF.get(command)
        if rule is not None and args:
            slots = {slot_of(key) for key in rule(args)}
            if len(slots) == 1:
                return slots.pop()
            raise RedisClusterException(f"{command} - all keys must map to the same key slot")
        slot: int = await super()._determine_slot(command, *args)
        return slot

    async def get_nodes_from_slot(self, command: str, *args: Any) -> list[Any]:
        """Return the node for a command with keys, as a list; a cursor's is the primary."""
        listed = SHARED.get(command)
        replicable = listed.replicable if listed is not None else command in READ_COMMANDS
        slot = await self._determine_slot(command, *args)
        return [self.nodes_manager.get_node_from_slot(slot, replicable)]

    async def targets(self, args: tuple[Any, ...], given: Any) -> list[Any]:
        """Return the nodes that redis-py's rules, or the caller, send a command to."""
        if given and not self._is_node_flag(given):
            return list(self._parse_target_nodes(given))
        if not given and args[0] not in self.command_flags:
            slot = await self.slot_of_command(args)
            return [self.nodes_manager.get_node_from_slot(slot)]
        policy = CommandPolicies().request_policy
        nodes: list[Any] = await self._determine_nodes(
            *args, request_policy=policy, node_flag=given
        )
        return nodes

    def _stand_in(self, target: Any) -> Node:
        """Return another node for a command whose node has left, if any other would do."""
        if isinstance(target, Chosen) and target.replaceable:
            return self.get_default_node()
        raise departed(self.binding.instance)

    async def _slot_if_any(self, args: tuple[Any, ...], *, named: bool) -> int | None:
        """Return the slot that a command belongs to; None when it belongs to a node.

        Args:
            args: The command.
            named: Whether the caller named the node.
        """
        flag = self.command_flags.get(args[0])
        if flag is not None and (named or flag != SLOT_ID):
            return None
        if named and args[0] in _SCRIPTS and _is_zero(args, 2):
            return None
        try:
            return await self.slot_of_command(args)
        except RedisManagerError:
            raise
        except (RedisClusterException, RedisError, LookupError, TypeError, ValueError):
            return None

    async def _execute_pipeline_by_slot(  # type: ignore[override]
        self, command: str, slots_to_args: Mapping[int, Iterable[Any]]
    ) -> list[Any]:
        """Execute a command on several slots side by side, for `mget_nonatomic` and the like."""
        await self.initialize()
        calls = [
            self.execute_on_slot(slot, SHARED[command], (command, *args), {})
            for slot, args in slots_to_args.items()
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:
        """Return a pipeline, split by node and sent side by side; a transaction has one slot."""
        if shard_hint:
            raise RedisClusterException("shard_hint is deprecated in cluster mode")
        return ClusterPipeline(self, transaction)  # type: ignore[abstract]

    def pubsub(self, *args: Any, **kwargs: Any) -> ClusterPubSub:
        """Return redis-py's `ClusterPubSub` on dedicated connections; arguments are redis-py's."""
        return ClusterPubSub(self, *args, **kwargs)


def _goes_on_nowhere(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether this is redis-py's `scan_iter` after its node has left: a cursor, and no node."""
    unnamed = "target_nodes" in options and options["target_nodes"] is None
    return unnamed and args[0] == "SCAN" and not _is_zero(args, 1)


def _is_zero(args: tuple[Any, ...], index: int) -> bool:
    return len(args) > index and args[index] in (0, "0", b"0")
