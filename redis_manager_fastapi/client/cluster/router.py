"""A command's way to its slot, through redirects, fail-overs and refusals.

A redirect says that the command was not executed, so it is followed for as long
as the command's deadline lasts.  What may have been executed is never sent
again by this module, unless it only reads.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, Self

from redis.asyncio.cluster import ClusterNode
from redis.exceptions import AskError, MovedError, SlotNotCoveredError

from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.cluster.slot_map import SLOTS, SlotMap, UncoveredSlotError
from redis_manager_fastapi.cluster.view import UNKNOWN_HOST
from redis_manager_fastapi.commands.blocking import with_time_left
from redis_manager_fastapi.commands.packing import ASKING
from redis_manager_fastapi.delivery.contract import (
    Execution,
    Happened,
    Kind,
    Step,
    is_unserved,
    what_a_read_met,
    what_happened,
)
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.delivery.shared import FAILURES, deliver, leave_refusing
from redis_manager_fastapi.errors import (
    Cause,
    CommandTimeoutError,
    RedisManagerError,
    RedisUnavailableError,
)
from redis_manager_fastapi.pool.request import Batch, Interrupted, Request, SingleRequest
from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.topology.failures import (
    from_reply,
    own_words,
    reconnecting_helps,
    refusal_code,
)

Attempt = Callable[[Node, bool], Awaitable[Any]]
Find = Callable[[], Awaitable[Node]]

# The first and the longest pause, in seconds, before a command that met TRYAGAIN, or was
# sent round in circles, goes out again.
_PAUSE_BASE = 0.002
_PAUSE_CAP = 0.05


class ClusterClient(Protocol):
    """What pipelines, transactions and pub/sub ask of the cluster client that made them."""

    session: Session[Cluster]
    encoder: Any
    answered: bool

    @property
    def nodes_manager(self) -> SlotMap:
        """The map of slots."""
        ...

    async def initialize(self) -> Self:
        """Wait until the map of slots is known."""
        ...

    def client_of(self, node: ClusterNode, *, timeout: float | None = None) -> Redis[Any]:
        """Return a client of one node alone, if it is of the cluster."""
        ...

    def with_options(self, *, timeout: float | None = None) -> Self:
        """Return a client that differs in the given options."""
        ...

    def deliver(self, args: tuple[Any, ...], options: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        """Execute a command where its keys are, unobserved."""
        ...

    async def node_of(self, slot: int, deadline: float, *, read_only: bool = False) -> Node:
        """Return the node for a command on *slot*."""
        ...

    async def slot_of_command(self, args: tuple[Any, ...]) -> int:
        """Return the slot of a command's keys."""
        ...

    async def targets(self, args: tuple[Any, ...], given: Any) -> list[Any]:
        """Return the nodes that a command goes to."""
        ...

    def get_default_node(self) -> Node:
        """Return a primary for commands without a key."""
        ...

    def keyslot(self, key: Any) -> int:
        """Return the slot of *key*."""
        ...


class AutoTarget(NamedTuple):
    """A node that redis-py's rules picked for a command whose caller named none.

    Attributes:
        name: Its name in the map.
        replaceable: Whether any other node would do.
        is_primary: Whether it was picked as a primary.
        beside: The names of all nodes that the command goes to.
    """

    name: str
    replaceable: bool
    is_primary: bool
    beside: frozenset[str] = frozenset()


class Route:
    """The way of one command, or of one batch for one slot.

    Attributes:
        slot: The command's slot; None for one that goes to a node by name, or as
            long as it is not known.
        keyless: Whether it is a script that any node would take, and that one has answered for
            all of them.
        reads: Whether it reads, and each node's own client sends it once more.

    Args:
        cluster: Where it goes.
        slot: The command's slot, if it is known.
        deadline: When its time is up, on the loop's clock.
        execution: What the command is, and what became of it so far.
        grace: How long it may wait in an outage, in seconds; None for `outage.grace`.
    """

    def __init__(
        self,
        cluster: Cluster,
        slot: int | None,
        deadline: float,
        execution: Execution,
        grace: float | None,
    ) -> None:
        self._cluster = cluster
        self.slot, self.keyless, self.reads = slot, False, False
        self._deadline = deadline
        self._grace = grace
        self._execution = execution
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
            attempt: Sends to a node, after ASKING if *asking*; raises what came back.
            find: Finds the node by the map as it is now.
            error: What a first attempt, made already, ended with.
            sender: The node of that attempt.
        """
        self._node = sender
        while True:
            if error is not None:
                await self._conclude(error, find)
                self._cluster.counters.retried += 1
            self._check_deadline()
            try:
                if self._node is None:
                    self._node = await find()
                return await attempt(self._node, self._asking)
            except (*FAILURES, SlotNotCoveredError) as failure:  # the latter is no RedisError
                error = failure

    async def _conclude(self, error: Exception, find: Find) -> None:
        """Find out where the command goes next, or raise what the caller sees."""
        failed, self._node, self._asking = self._node, None, False
        happened = self._happened(error)
        step = self._execution.after(happened)
        if isinstance(error, RedisManagerError):
            self._execution.maybe_executed |= error.maybe_executed
        if step is Step.RAISE:
            raise self._give_up(error, happened)
        try:
            if step is Step.REDIRECT:
                await self._redirect(error, failed)
            elif happened is Happened.SHORT:
                await self._wait_for_replicas(error, failed)
            elif step is Step.WAIT_AGAIN:
                await self._rest()
            elif step is Step.ELSEWHERE:
                await self._elsewhere(error, failed, find)
            elif happened in (Happened.UNSERVED, Happened.UNCOVERED):
                reason = _reason(error.__cause__ or error)
                await self._cluster.mended(self.slot, reason, self._deadline, self._grace)
            elif happened is Happened.REFUSED and failed is not None:
                await leave_refusing(failed.open(), error, self._deadline, self._grace)
        except RedisManagerError as final:
            raise self._seen(final) from final.__cause__

    def _happened(self, error: Exception) -> Happened:
        """Return what an attempt met; a redirect of another slot is a script's own words."""
        happened = what_a_read_met(error) if self.reads else what_happened(error)
        if isinstance(error, AskError) and not 0 <= error.slot_id < SLOTS:
            return Happened.FAILED
        keyed = self._execution.kind is Kind.SCRIPT and not self.keyless
        if keyed and type(error) is RedisUnavailableError:
            # Its node's client says that it may have run; the slot's next node may serve it.
            if is_unserved(error):
                return Happened.UNSERVED
            away = error.__cause__ is not None and reconnecting_helps(error.__cause__)
            return Happened.UNAVAILABLE if away else happened
        if isinstance(error, AskError) and self.slot != error.slot_id:
            known = self.slot is not None or self._execution.kind is Kind.SCRIPT
            return Happened.FAILED if known else happened
        return happened

    def _give_up(self, error: Exception, happened: Happened) -> Exception:
        """Return what the caller sees of a command that does not go out again."""
        if isinstance(error, CommandTimeoutError):
            self._cluster.doubt()
        if isinstance(error, Interrupted):  # what else was lost, its node's client has counted
            self._cluster.counters.lost += happened is Happened.LOST
        return self._seen(self._final(error, happened))

    def _final(self, error: Exception, happened: Happened) -> Exception:
        """Return what the caller is told who is not led any further."""
        if happened not in (Happened.REDIRECTED, Happened.POSTPONED):
            return error if isinstance(error, RedisManagerError) else own_words(error)
        instance, word = self._cluster.instance, getattr(error, "status_code", "")
        message = f"redis {instance!r} did not lead the script to its slot ({word})"
        unavailable = RedisUnavailableError(message, instance=instance)
        unavailable.__cause__ = error
        return unavailable

    async def _wait_for_replicas(self, error: Exception, failed: Node | None) -> None:
        """Wait a moment; another node may be the primary by then."""
        self._cluster.doubt()
        spell = failed.open().short_of_replicas if failed is not None else None
        if spell is None or not await spell.wait(self._deadline, self._grace):
            raise self._seen(error)

    async def _redirect(self, error: Exception, sender: Node | None) -> None:
        if isinstance(error, MovedError) and error.host == UNKNOWN_HOST:
            await self._cluster.refreshed(sender, self._deadline, self._deadline)
        elif isinstance(error, AskError):  # a MovedError is one
            address = self._cluster.settings.reach(_address(error, sender))
            if not await self._cluster.knows(address, sender, self._deadline):
                raise unknown_node(self._cluster.instance) from error
            if isinstance(error, MovedError):
                self._cluster.moved(error.slot_id, address)
                if self.slot is None:  # its key is hidden in its spelling
                    self._node = self._cluster.map.get_node_from_slot(error.slot_id)
            else:
                self._node = self._cluster.map.add_importing(address)
                self._asking = True
        await self._slow_down()

    async def _elsewhere(self, error: Exception, failed: Node | None, find: Find) -> None:
        """A node did not take the command: try another one, if the map has another by now."""
        self._cluster.check_usable()
        self._cluster.doubt()
        if failed is None:
            raise self._seen(error)
        demoted = refusal_code(error.__cause__ or error) == "READONLY"
        try:
            node = await find()
            if node is failed and demoted and self._grace != 0:
                # It was demoted, and the map does not say so yet.
                await self._cluster.refreshed(failed, self._deadline, self._deadline)
                node = await find()
        except SlotNotCoveredError:
            return  # no node has the slot by now, as the next look for one is told
        if node is failed:
            raise self._seen(error)
        self._node = node

    def _seen(self, error: Exception) -> Exception:
        seen = self._execution.error(error, self._cluster.instance)
        self._cluster.counters.failed(seen)
        return seen

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
            instance = self._cluster.instance
            message = f"no node of redis {instance!r} took the command before its deadline"
            late = CommandTimeoutError(message, instance=instance, cause=Cause.REDIRECTED)
            raise self._seen(late)


async def recover(
    cluster: Cluster,
    slot: int,
    execution: Execution,
    request: SingleRequest,
    grace: float | None,
    node: Node | None,
    lost: Exception | None,
    *,
    replicable: bool,
) -> Any:
    """Bring a request to its slot that could not go out at once, or met an error there.

    Args:
        cluster: Where it goes.
        slot: The keys'.
        execution: What the command is.
        request: What is sent.
        grace: How long it may wait in an outage, in seconds; None for `outage.grace`.
        node: Where it went, or is to go first; None if no node is known.
        lost: What a first attempt ended with; None if there was none.
        replicable: Whether a replica may answer it.
    """
    deadline = request.deadline

    async def find() -> Node:
        return await node_in(cluster, slot, deadline, grace, replicable=replicable)

    async def attempt(target: Node, asking: bool) -> Any:
        request.future = cluster.loop.create_future()
        sent = after_asking(request) if asking else request
        outcome = await deliver(target.deployment.opened or target.open(), sent, grace)
        if asking and isinstance(outcome, list):
            outcome = outcome[1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    try:
        return await Route(cluster, slot, deadline, execution, grace).follow(
            attempt, find, lost, node
        )
    finally:
        del lost  # its traceback has this frame


async def node_in(
    cluster: Cluster, slot: int, deadline: float, grace: float | None, *, replicable: bool
) -> Node:
    """Return the node for a command on *slot*, once the map is known.

    Raises:
        redis.SlotNotCoveredError: No node has it.
    """
    await cluster.known(deadline, grace)
    node = cluster.map.choose(slot, read_only=replicable)
    if node is None:
        raise UncoveredSlotError(slot)
    return node


@contextmanager
def uncovered_is_unavailable(cluster: Cluster) -> Iterator[None]:
    """Within it a slot without a node makes the Cluster unavailable."""
    try:
        yield
    except SlotNotCoveredError as error:
        raise cluster.unavailable() from error


async def send(
    client: Redis[Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
    *,
    asking: bool,
    limit: float | None = None,
    left: float | None = None,
    keep: Callable[[tuple[Any, ...]], None] | None = None,
) -> Any:
    """Execute a command by a node's own client.

    ASKING holds for one command: if the last ids are looked up after it, XREAD meets a
    redirect, and comes again with them.

    Args:
        client: The node's.
        args: The command.
        options: redis-py's, for its reply.
        asking: Whether ASKING goes first.
        limit: When it has to end if it blocks, on the loop's clock; None for its own time
            and the client's from now.
        left: How many seconds it has left to block, if it went out before.
        keep: Takes XREAD's arguments once ids are in the place of `$`.
    """
    if left is not None:
        args = with_time_left(args, left)
    if limit is not None or keep is not None:
        changed = replace(client.session.options, limit=limit, keep=keep)
        client = client.with_call_options(changed)
    if not asking:
        return await client.deliver(args, options)
    async with client.client() as pinned:
        await pinned.deliver(("ASKING",), {})
        return await pinned.deliver(args, options)


def node_left(instance: str) -> RedisUnavailableError:
    """Return the error for a command whose node is not in the map any more."""
    message = f"the node that the command is for has left the cluster of redis {instance!r}"
    return RedisUnavailableError(message, instance=instance)


def standing(cluster: Cluster, target: Any) -> Node | None:
    """Return the node that a command is for as the map is now.

    That is its heir if it was demoted; if it has left, too, unless the heir has the command.
    """
    node = cluster.map.current(target)
    if not isinstance(target, AutoTarget) or not target.is_primary:
        return node
    if node is not None:
        return node if node.is_primary else cluster.map.heir(target) or node
    heir = cluster.map.heir(target)
    return heir if heir is not None and heir.name not in target.beside else None


def unknown_node(instance: str) -> RedisUnavailableError:
    """Return the error for a redirect to where no node of the Cluster is."""
    message = f"a redirect of redis {instance!r} names a node that the cluster does not know"
    return RedisUnavailableError(message, instance=instance)


def _address(error: AskError, sender: Node | None) -> Address:
    """Return where a redirect points: without a host (since Redis 7.0), to another port of its own.

    The rule is of https://redis.io/docs/latest/commands/cluster-slots/ for nodes whose
    preferred endpoint is unknown.
    """
    host = "" if error.host == UNKNOWN_HOST else error.host
    host = host or (sender.address.host if sender is not None else "")
    return Address(host, error.port)


def _reason(error: BaseException) -> str:
    if isinstance(error, SlotNotCoveredError):
        return str(error)
    return str(from_reply(error, "")) if isinstance(error, Exception) else ""


def after_asking(request: Request) -> Batch:
    """Return *request* with ASKING ahead of it, in the same write."""
    packed, reply = ASKING + request.packed, request.future
    return Batch(
        packed,
        reply,
        request.deadline,
        request.decodes,
        request.read_only,
        began=request.began,
        expected=2,
        script=request.script,
    )
