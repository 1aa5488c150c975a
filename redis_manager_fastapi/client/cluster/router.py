"""A command's way to its slot, through redirects, fail-overs and refusals.

A redirect says that the command was not executed, so it is followed for as long
as the command's deadline lasts.  What may have been executed is never sent
again by this module, unless it only reads.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    SlotNotCoveredError,
    TryAgainError,
)

from redis_manager_fastapi.client.delivery import deliver, report_refusal
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.commands.packing import ASKING
from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    PoolClosedError,
    RedisManagerError,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import Batch, Interrupted, Request
from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.topology.failures import (
    from_reply,
    moves_on,
    reconnecting_helps,
    refusal_code,
)

Attempt = Callable[[Node, bool], Awaitable[Any]]
Find = Callable[[], Awaitable[Node]]

# What a route draws its conclusions from; anything else is the user's own mistake.
FOLLOWED = (RedisManagerError, SlotNotCoveredError, AskError, TryAgainError, ClusterDownError)

# The first and the longest pause, in seconds, before a command that met TRYAGAIN, or was
# sent round in circles, goes out again.
_PAUSE_BASE = 0.002
_PAUSE_CAP = 0.05


class AutoTarget(NamedTuple):
    """A node that redis-py's rules picked for a command whose caller named none.

    Attributes:
        name: Its name in the map.
        replaceable: Whether any other node would do.
    """

    name: str
    replaceable: bool


class Route:
    """The way of one command, or of one batch for one slot.

    Attributes:
        slot: The command's slot; None for one that goes to a node by name, or as
            long as it is not known.

    Args:
        cluster: Where it goes.
        slot: The command's slot, if it is known.
        deadline: When its time is up, on the loop's clock.
        read_only: Whether it may be sent again after a lost reply.
    """

    def __init__(
        self, cluster: Cluster, slot: int | None, deadline: float, *, read_only: bool
    ) -> None:
        self._cluster = cluster
        self.slot = slot
        self._deadline = deadline
        self._again = read_only
        self._node: Node | None = None
        self._asking = False
        self._redirects = 0
        self._pause = _PAUSE_BASE

    async def follow(
        self,
        attempt: Attempt,
        find: Find,
        error: Exception | None = None,
        sender: Node | None = None,
    ) -> Any:
        """Return what *attempt* returns once it has reached the right node.

        Args:
            attempt: Sends to a node, after ASKING if told so; raises what came back.
            find: Finds the node by the map as it is now.
            error: What a first attempt, made already, raised.
            sender: The node of that attempt.
        """
        self._node = sender
        while True:
            if error is not None:
                if not moves_on(error):
                    raise error
                await self._learn(error, find)
            self._check_deadline()
            try:
                if self._node is None:
                    self._node = await find()
                return await attempt(self._node, self._asking)
            except FOLLOWED as failure:
                error = failure

    async def _learn(self, error: Exception, find: Find) -> None:
        """Draw the conclusion from *error*: where next, or raise it."""
        failed, self._node, self._asking = self._node, None, False
        if isinstance(error, MovedError):
            self._cluster.moved(error.slot_id, _address(error, failed))
            await self._slow_down()
        elif isinstance(error, AskError):
            self._node = self._cluster.map.add_importing(_address(error, failed))
            self._asking = True
            await self._slow_down()
        elif isinstance(error, TryAgainError):
            await self._rest()
        elif isinstance(error, ClusterDownError | SlotNotCoveredError):
            await self._cluster.mended(self.slot, _reason(error), self._deadline)
        elif isinstance(error, ReplyLostError):
            if error.maybe_executed and not self._again:
                raise error
            self._again = self._again and not error.maybe_executed
        else:
            await self._unavailable(error, failed, find)

    async def _unavailable(self, error: Exception, failed: Node | None, find: Find) -> None:
        """A node did not take the command: try another one, if the map has another by now."""
        if isinstance(error.__cause__, ClusterDownError):
            await self._cluster.mended(self.slot, _reason(error.__cause__), self._deadline)
            return
        self._cluster.check_usable()
        if type(error) not in (RedisUnavailableError, PoolClosedError, CommandTimeoutError):
            raise error
        self._cluster.doubt()
        if failed is None or isinstance(error, CommandTimeoutError):
            raise error
        self._node = await find()
        if self._node is failed:
            raise error

    async def _slow_down(self) -> None:
        """Let the first redirects pass; a command that is sent in circles takes its time."""
        self._redirects += 1
        if self._redirects > 3:
            await self._rest()

    async def _rest(self) -> None:
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, _PAUSE_CAP)

    def _check_deadline(self) -> None:
        if self._cluster.loop.time() >= self._deadline:
            message = "no node took the command before its deadline"
            raise CommandTimeoutError(message, instance=self._cluster.instance)


@contextmanager
def uncovered_is_unavailable(cluster: Cluster) -> Iterator[None]:
    """Within it a slot without a node makes the Cluster unavailable."""
    try:
        yield
    except SlotNotCoveredError as error:
        raise cluster.unavailable() from error


def node_left(instance: str) -> RedisUnavailableError:
    """Return the error for a command whose node is not in the map any more."""
    message = f"the node that the command is for has left the cluster of redis {instance!r}"
    return RedisUnavailableError(message, instance=instance)


def _address(error: AskError, sender: Node | None) -> Address:
    """Return where a redirect points: without a host (since Redis 7.0), to another port of its own.

    The rule is of https://redis.io/docs/latest/commands/cluster-slots/ for nodes whose
    preferred endpoint is unknown.
    """
    host = error.host or (sender.address.host if sender is not None else "")
    return Address(host, error.port)


def _reason(error: BaseException) -> str:
    if isinstance(error, SlotNotCoveredError):
        return str(error)
    return str(from_reply(error, "")) if isinstance(error, Exception) else ""


async def exchange(pool: Pool, request: Request, *, asking: bool) -> Any:
    """Send *request* over a node's shared connection; return the reply or raise what came.

    Raises:
        ReplyLostError: The connection was lost; `maybe_executed` tells whether it was sent.
        redis.RedisError: The server's error, redirects included.
    """
    if asking:
        request = _after_asking(request)
    outcome = await deliver(pool, request)
    if asking and isinstance(outcome, list):
        outcome = outcome[1]
    if isinstance(outcome, Exception):
        await refuse(pool, request, outcome)
    return outcome


async def refuse(pool: Pool, request: Request, outcome: Exception) -> None:
    """Raise what a request ended with; a server that does not serve is healed from first."""
    if isinstance(outcome, Interrupted):
        message = f"redis {pool.instance!r} took the command and its reply was lost"
        raise ReplyLostError(message, instance=pool.instance, maybe_executed=outcome.written)
    if reconnecting_helps(outcome):
        await report_refusal(pool, outcome, request.deadline)
        message = "the server did not execute the command"
        raise ReplyLostError(message, instance=pool.instance, maybe_executed=False)
    if refusal_code(outcome) is not None:
        raise outcome
    raise from_reply(outcome, pool.instance)


def _after_asking(request: Request) -> Batch:
    """Return *request* with ASKING ahead of it, in the same write."""
    packed, reply = ASKING + request.packed, request.future
    return Batch(packed, reply, request.deadline, request.decode, request.read_only, expected=2)
