"""MULTI and WATCH on one slot of a Cluster."""

from typing import Any, cast
from weakref import ref

from redis.asyncio.cluster import AbstractStrategy, PipelineCommand
from redis.exceptions import (
    AskError,
    CrossSlotTransactionError,
    ExecAbortError,
    RedisError,
    TryAgainError,
    WatchError,
)

from redis_manager_fastapi.client.cluster.observed import counted
from redis_manager_fastapi.client.cluster.router import ClusterClient, Route
from redis_manager_fastapi.client.large_pipeline import slices
from redis_manager_fastapi.client.pipeline import Pipeline
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.delivery.contract import Execution, Kind
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.pool.pacing import paced
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.topology.failures import keep_code

# How many commands are looked at in one turn of the event loop.
_LOOKED_AT = 1_000

# ASKING is for one command, and a watched key's connection has several; in words that
# are taken for a server's.
_MOVING = "WATCH of a key during rehashing of its slot"

# The words of redis-py's own.
_MOVED = "Slot rebalancing occurred while watching keys"
_CROSSING = "Cannot watch or send commands on different slots"
_CROSSING_QUEUED = "All keys involved in a cluster transaction must map to the same slot"


class OneSlotTransaction(AbstractStrategy):
    """A transaction, carried out by a pipeline on the node that has its slot.

    Without WATCH it is one write, which a redirect sends to another node as a
    whole; with WATCH it keeps the connection of its node, and a slot that moves
    meanwhile is a changed key.
    """

    def __init__(self, pipe: Any) -> None:
        super().__init__(pipe)
        self._client: ClusterClient = pipe.cluster_client
        self._watched: _NodePipeline | None = None
        self._slot: int | None = None
        self._explicit = False

    # In redis-py an attribute, which would keep a pipeline alive that is dropped under WATCH.
    @property
    def _pipe(self) -> Any:
        return self._seen()

    @_pipe.setter
    def _pipe(self, pipe: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._seen = ref(pipe)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Queue a command; after WATCH and before MULTI, return a coroutine that executes it."""
        if args[0] in ("WATCH", "UNWATCH") or (self._watched is not None and not self._explicit):
            return self._execute_at_once(*args, **options)
        return super().execute_command(*args, **options)

    async def execute(
        self, raise_on_error: bool = True, allow_redirections: bool = True
    ) -> list[Any]:
        """Execute the transaction; arguments are redis-py's."""
        stack = self._command_queue
        if self._watched is not None:
            return await self._execute_watched(self._watched, stack, raise_on_error)
        if not stack:
            return []
        slot = await self._common_slot(stack)
        await self._client.initialize()
        cluster, deadline = await self._client.session.admit()

        async def find() -> Node:
            return await self._client.node_of(slot, deadline)

        async def attempt(node: Node, asking: bool) -> list[Any]:
            pipe = self._pipeline(node, timeout=deadline - cluster.loop.time())
            pipe.asking = asking
            return await _execute(pipe, stack, raise_on_error)

        execution = Execution(Kind.TRANSACTION, routed=True)
        route = Route(cluster, slot, deadline, execution, self._client.session.options.grace)
        replies: list[Any] = await route.follow(attempt, find)
        return replies

    async def _execute_watched(
        self, pipe: "_NodePipeline", stack: list[PipelineCommand], raise_on_error: bool
    ) -> list[Any]:
        async for part in slices(stack, _LOOKED_AT):
            for command in part:
                await self._check_slot(command.args)
        try:
            return await _execute(pipe, stack, raise_on_error)
        except (AskError, TryAgainError):
            raise WatchError(_MOVED) from None

    @paced
    async def _execute_at_once(self, *args: Any, **options: Any) -> Any:
        if args[0] == "UNWATCH":
            await self._unwatch()
            return True
        slot = await self._check_slot(args)
        if self._watched is not None:
            return await self._immediately(self._watched, *args, **options)
        await self._client.initialize()
        cluster, deadline = await self._client.session.admit()

        async def find() -> Node:
            return await self._client.node_of(slot, deadline)

        async def attempt(node: Node, asking: bool) -> Any:
            if asking:
                raise TryAgainError(_MOVING)
            pipe = self._pipeline(node)
            try:
                reply = await pipe.execute_command(*args, **options)
            except BaseException:
                await pipe.reset()
                raise
            self._watched = pipe
            return reply

        execution = Execution(Kind.READ, routed=True)
        route = Route(cluster, slot, deadline, execution, self._client.session.options.grace)
        return await route.follow(attempt, find)

    def _pipeline(self, node: Node, *, timeout: float | None = None) -> "_NodePipeline":
        return _NodePipeline(self._client.client_of(node, timeout=timeout).session)

    @staticmethod
    async def _immediately(pipe: Pipeline, *args: Any, **options: Any) -> Any:
        pending: Any = pipe.execute_command(*args, **options)
        try:
            return await pending
        except (AskError, TryAgainError):
            raise WatchError(_MOVED) from None

    async def _check_slot(self, args: tuple[Any, ...]) -> int:
        slot = await self._client.slot_of_command(args)
        if self._slot is not None and slot != self._slot:
            raise CrossSlotTransactionError(_CROSSING_QUEUED if self._explicit else _CROSSING)
        self._slot = slot
        return slot

    async def _common_slot(self, stack: list[PipelineCommand]) -> int:
        slots = set()
        async for part in slices(stack, _LOOKED_AT):
            for command in part:
                slots.add(await self._client.slot_of_command(command.args))
        if len(slots) > 1:
            raise CrossSlotTransactionError(_CROSSING_QUEUED)
        return slots.pop()

    async def reset(self) -> None:
        """Give up everything queued and watched."""
        self._command_queue = []
        self._explicit = False
        await self._unwatch()

    def multi(self) -> None:
        """Queue from here on; the commands before, under WATCH, ran at once."""
        if self._explicit:
            raise RedisError("Cannot issue nested calls to MULTI")
        if self._command_queue:
            raise RedisError("Commands without an initial WATCH have already been issued")
        self._explicit = True

    async def watch(self, *names: Any) -> Any:
        """Watch keys of one slot."""
        if self._explicit:
            raise RedisError("Cannot issue a WATCH after a MULTI")
        return await self._execute_at_once("WATCH", *names)

    async def unwatch(self) -> Any:
        """Forget every watched key."""
        return await self._execute_at_once("UNWATCH")

    async def discard(self) -> None:
        """Give up everything queued and watched."""
        await self.reset()

    async def unlink(self, *names: Any) -> Any:
        """Queue an UNLINK."""
        return self.execute_command("UNLINK", *names)

    def mset_nonatomic(self, mapping: Any) -> Any:
        """Refuse: a transaction has one slot."""
        raise NotImplementedError("Method is not supported in transactional context.")

    async def _unwatch(self) -> None:
        pipe, self._watched, self._slot = self._watched, None, None
        if pipe is not None:
            await pipe.reset()


async def _execute(
    pipe: "_NodePipeline", stack: list[PipelineCommand], raise_on_error: bool
) -> list[Any]:
    """Execute *stack* as a transaction on *pipe*; a redirect of one command is the whole's."""
    if pipe.watching:
        pipe.multi()
    async for part in slices(stack, _LOOKED_AT):
        for command in part:
            pipe.execute_command(*command.args, **command.kwargs)
    try:
        replies: Any = await counted("TRANSACTION", pipe.where, pipe.deliver(raise_on_error))
    except ExecAbortError as error:
        if isinstance(error.__context__, AskError | TryAgainError):
            raise error.__context__ from None
        raise
    return cast("list[Any]", replies)


class _NodePipeline(Pipeline):
    """A pipeline on one node whose errors are told as those of a Cluster's pipelines are.

    Attributes:
        where: The node.
    """

    def __init__(self, session: Session[Pool]) -> None:
        super().__init__(session)
        self.where = session.deployment.where()

    def annotate_exception(self, exception: Any, number: int, command: Any) -> None:
        """Name the command in its error, whose text then no longer starts with its code."""
        keep_code(exception)
        annotate: Any = AbstractStrategy._annotate_exception  # noqa: SLF001
        annotate(self, exception, number, command)  # it looks at nothing of a strategy
