"""Pipelines over a Cluster: split by node, sent side by side; transactions on one slot."""

import asyncio
from typing import Any, NamedTuple

import redis.asyncio.cluster
from redis.asyncio.cluster import PipelineCommand, PipelineStrategy
from redis.exceptions import AskError, RedisClusterException

from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.client.cluster.observed import counted
from redis_manager_fastapi.client.cluster.parts import Parts
from redis_manager_fastapi.client.cluster.router import (
    ClusterClient,
    node_left,
    uncovered_is_unavailable,
)
from redis_manager_fastapi.client.cluster.transaction import OneSlotTransaction
from redis_manager_fastapi.client.large_pipeline import free, slices
from redis_manager_fastapi.client.observed import span_of_batch
from redis_manager_fastapi.client.pipeline import Pipeline
from redis_manager_fastapi.client.typed import ClusterPipelineCommands
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.commands.blocking import upper_word
from redis_manager_fastapi.commands.keys import ONE_KEY
from redis_manager_fastapi.commands.packing import check_packable
from redis_manager_fastapi.commands.sharing import SHARED
from redis_manager_fastapi.delivery.contract import (
    Execution,
    Happened,
    Kind,
    decide,
    kind_of,
    kind_of_pipeline,
    what_a_read_met,
    what_happened,
)
from redis_manager_fastapi.delivery.leased import refuse_unanswered
from redis_manager_fastapi.errors import RedisManagerError, RedisUnavailableError
from redis_manager_fastapi.pool.pacing import paced

# How many commands are brought to their nodes in one turn of the event loop.
_BROUGHT = 1_000


class _Part(NamedTuple):
    """What goes to one node, by a pipeline there."""

    node: Node
    pipe: Pipeline
    commands: list[PipelineCommand]


class ClusterPipeline(ClusterPipelineCommands, redis.asyncio.cluster.ClusterPipeline):  # type: ignore[misc]  # exact
    """A `redis.asyncio.cluster.ClusterPipeline` that keeps the outage contract.

    Each node's part leaves as one write.  A part that was lost fails alone:
    `execute(raise_on_error=False)` returns the other parts' replies beside its
    errors.
    """

    def __init__(self, client: ClusterClient, transaction: Any = None) -> None:
        super().__init__(client, transaction)  # type: ignore[arg-type]
        self._session = client.session
        strategy: Any = OneSlotTransaction if transaction else SplitPipeline
        self._execution_strategy = strategy(self)

    @paced
    async def execute(
        self, raise_on_error: bool = True, allow_redirections: bool = True
    ) -> list[Any]:
        """Execute the queued commands; arguments are redis-py's.

        Raises:
            ReplyLostError: A part was sent and not answered, and not all of it reads.
            RedisUnavailableError: A shard did not come back within grace.
            CommandTimeoutError: The deadline passed.
            redis.WatchError: A watched key changed, or its slot moved.
        """
        self._session.check()
        transaction = isinstance(self._execution_strategy, OneSlotTransaction)
        queue: Any = self._execution_strategy._command_queue  # type: ignore[attr-defined]  # noqa: SLF001
        commands = (command.args for command in queue)
        with span_of_batch(self._session, commands, len(queue), transaction=transaction):
            replies = await super().execute(raise_on_error, allow_redirections)
        await free(queue)
        return replies


class SplitPipeline(PipelineStrategy):
    """Commands without MULTI, each where its keys are."""

    async def _execute(
        self,
        client: Any,
        stack: list[PipelineCommand],
        raise_on_error: bool = True,
        allow_redirections: bool = True,
    ) -> list[Any]:
        await client.initialize()
        _, deadline = await client.session.admit()
        parts: dict[str, _Part] = {}
        async for some in slices(stack, _BROUGHT):
            for command in some:
                await refuse_unanswered(command.args)
                check_packable(command.args)  # one that cannot be packed keeps back every part
                await self._bring(client, command, parts)
        # Of many commands each node's part begins in a turn of its own.
        many = len(stack) > _BROUGHT
        sent = (self._send(part, turn * many) for turn, part in enumerate(parts.values()))
        ended = await asyncio.gather(*sent, return_exceptions=True)
        for failure in filter(None, ended):
            raise failure
        if allow_redirections:
            await self._follow(client, stack, deadline)
        if raise_on_error:
            await self._raise_first(stack)
        return [command.result for command in stack]

    async def _bring(
        self, client: ClusterClient, command: PipelineCommand, parts: dict[str, _Part]
    ) -> None:
        """Put *command* into the part of its node, if there is one."""
        try:
            with uncovered_is_unavailable(client.session.opened):
                node = await self._target(client, command)
        except RedisUnavailableError as error:
            command.result = error
            return
        part = parts.get(node.name)
        if part is None:
            pipe: Any = client.client_of(node).pipeline(transaction=False)
            parts[node.name] = part = _Part(node, pipe, [])
        options = command.kwargs
        if "target_nodes" in options:
            options = {k: v for k, v in options.items() if k != "target_nodes"}
        part.pipe.execute_command(*command.args, **options)
        part.commands.append(command)

    async def _target(self, client: ClusterClient, command: PipelineCommand) -> Node:
        """Return the one node that *command* goes to."""
        args, targets = command.args, command.kwargs.get("target_nodes")
        if upper_word(args[0]) == "WATCH":
            await self.watch()  # has redis-py's error for it
        listed = SHARED.get(args[0])
        if not targets and args[0] in ONE_KEY and len(args) > 1:
            read_only = listed is not None and listed.replicable
            return client.session.opened.map.get_node_from_slot(slot_of(args[1]), read_only)
        nodes: Any = await client.targets(args, targets)
        if len(nodes) > 1:
            raise RedisClusterException(f"Too many targets for command {args}")
        node = client.session.opened.map.current(nodes[0])
        if node is None:
            raise node_left(client.session.instance)
        return node

    async def _send(self, part: _Part, turn: int) -> None:
        """Send one node's part in a *turn* to come; its commands hold what became of them."""
        for _ in range(turn):
            await asyncio.sleep(0)
        commands, results = part.commands, []
        try:
            results = await counted("PIPELINE", part.node.address, part.pipe.deliver(False))
        except (RedisManagerError, UnicodeDecodeError) as error:  # every other part has its own
            results = [error] * len(commands)
        left = iter(results)
        async for some in slices(commands):
            for command, result in zip(some, left, strict=False):
                command.result = result

    async def _follow(
        self, client: ClusterClient, stack: list[PipelineCommand], deadline: float
    ) -> None:
        """Send what was redirected, or could not go out, where it belongs, in its order."""
        clock = client.session.opened.loop.time
        async for some in slices(stack):
            for command in some:
                left = deadline - clock()
                if left <= 0:
                    return
                if not await _goes_on(client, command):
                    continue
                hurried = client.with_options(timeout=left)
                hurried.answered = True
                try:
                    command.result = await hurried.deliver(command.args, dict(command.kwargs))
                except Exception as error:  # the caller's, like every other command's result
                    command.result = error

    async def _raise_first(self, stack: list[PipelineCommand]) -> None:
        """Raise the first error; of the whole it says whether any part may have run."""
        async for some in slices(stack):
            for command in some:
                if isinstance(command.result, Exception):
                    raise await self._error_of(stack, command)

    async def _error_of(self, stack: list[PipelineCommand], failed: PipelineCommand) -> Exception:
        """Return the error of the whole, of which *failed* is the first command to fail."""
        parts, kinds = Parts(), set()
        async for commands in slices(stack, _BROUGHT):
            queued = ((each.args, None) for each in commands)
            kinds.add(kind_of_pipeline(queued, transaction=False))
            for command in commands:
                parts.ended(command.result, kind_of(command.args))
        kind = Kind.READ_PIPELINE if kinds == {Kind.READ_PIPELINE} else Kind.PIPELINE
        error = Execution(kind).error(failed.result, self._pipe.cluster_client.session.instance)  # type: ignore[attr-defined]
        if isinstance(error, RedisManagerError):
            return parts.told(error, kind)
        self._annotate_exception(error, failed.position + 1, failed.args)
        return error


async def _goes_on(client: ClusterClient, command: PipelineCommand) -> bool:
    """Whether the contract lets a command go out again: its node has repeated a read already."""
    error = command.result
    if not isinstance(error, Exception):
        return False
    kind = kind_of(command.args)
    happened = what_a_read_met(error) if kind is Kind.READ else what_happened(error)
    if kind is not Kind.SCRIPT:
        return not decide(kind, happened, sent_before=False, repeated=True, routed=True).is_final
    if happened in (Happened.REFUSED, Happened.SHORT):
        return False  # a node's client would send it twice more
    # A redirect of another slot is in its own words.
    if isinstance(error, AskError) and error.slot_id != await client.slot_of_command(command.args):
        return False
    return not decide(kind, happened, sent_before=False, repeated=False, routed=True).is_final
