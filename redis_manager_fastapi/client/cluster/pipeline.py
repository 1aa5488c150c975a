"""Pipelines over a Cluster: split by node, sent side by side; transactions on one slot."""

import asyncio
from typing import Any

import redis.asyncio.cluster
from redis.asyncio.cluster import PipelineCommand, PipelineStrategy
from redis.exceptions import RedisClusterException

from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.client.cluster.observed import counted
from redis_manager_fastapi.client.cluster.parts import Parts
from redis_manager_fastapi.client.cluster.router import (
    ClusterClient,
    node_left,
    uncovered_is_unavailable,
)
from redis_manager_fastapi.client.cluster.transaction import OneSlotTransaction
from redis_manager_fastapi.client.observed import span_of_batch
from redis_manager_fastapi.client.typed import ClusterPipelineCommands
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.commands.keys import ONE_KEY
from redis_manager_fastapi.commands.sharing import SHARED
from redis_manager_fastapi.delivery.contract import (
    Execution,
    Kind,
    decide,
    kind_of,
    kind_of_pipeline,
    what_happened,
)
from redis_manager_fastapi.errors import RedisManagerError, RedisUnavailableError
from redis_manager_fastapi.pool.pacing import paced


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
            return await super().execute(raise_on_error, allow_redirections)


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
        cluster, deadline = await client.session.admit()
        parts: dict[str, tuple[Node, list[PipelineCommand]]] = {}
        for command in stack:
            try:
                with uncovered_is_unavailable(cluster):
                    node = await self._target(client, command)
            except RedisUnavailableError as error:
                command.result = error
                continue
            parts.setdefault(node.name, (node, []))[1].append(command)
        ended = await asyncio.gather(
            *(self._send(client, *part) for part in parts.values()), return_exceptions=True
        )
        for failure in filter(None, ended):
            raise failure
        if allow_redirections:
            await self._follow(client, stack, deadline)
        if raise_on_error:
            self._raise_first(stack)
        return [command.result for command in stack]

    async def _target(self, client: ClusterClient, command: PipelineCommand) -> Node:
        """Return the one node that *command* goes to."""
        args, targets = command.args, command.kwargs.get("target_nodes")
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

    async def _send(
        self, client: ClusterClient, node: Node, commands: list[PipelineCommand]
    ) -> None:
        """Send one node's part; its commands hold what became of them."""
        pipe = client.client_of(node).pipeline(transaction=False)
        for command in commands:
            options = {k: v for k, v in command.kwargs.items() if k != "target_nodes"}
            pipe.execute_command(*command.args, **options)
        results: list[Any]
        try:
            results = await counted("PIPELINE", node.address, pipe.deliver(False))
        except RedisManagerError as error:
            results = [error] * len(commands)
        for command, result in zip(commands, results, strict=True):
            command.result = result

    async def _follow(
        self, client: ClusterClient, stack: list[PipelineCommand], deadline: float
    ) -> None:
        """Send what was redirected, or could not go out, where it belongs, in its order."""
        clock = client.session.opened.loop.time
        for command in stack:
            left = deadline - clock()
            if left <= 0 or not _goes_on(command):
                continue
            hurried = client.with_options(timeout=left)
            hurried.answered = True
            try:
                command.result = await hurried.deliver(command.args, dict(command.kwargs))
            except Exception as error:  # the caller's, like every other command's result
                command.result = error

    def _raise_first(self, stack: list[PipelineCommand]) -> None:
        """Raise the first error; of the whole it says whether any part may have run."""
        failed = next((each for each in stack if isinstance(each.result, Exception)), None)
        if failed is None:
            return
        kind = kind_of_pipeline(((each.args, None) for each in stack), transaction=False)
        parts = Parts()
        for command in stack:
            parts.ended(command.result, kind_of(command.args))
        error = Execution(kind).error(failed.result, self._pipe.cluster_client.session.instance)  # type: ignore[attr-defined]
        if isinstance(error, RedisManagerError):
            raise parts.told(error, kind) from error.__cause__
        self._annotate_exception(error, failed.position + 1, failed.args)
        raise error


def _goes_on(command: PipelineCommand) -> bool:
    """Whether the contract lets a command go out again: its node has repeated a read already."""
    if not isinstance(command.result, Exception):
        return False
    kind, happened = kind_of(command.args), what_happened(command.result)
    repeated = kind is not Kind.SCRIPT
    return not decide(kind, happened, sent_before=False, repeated=repeated, routed=True).is_final
