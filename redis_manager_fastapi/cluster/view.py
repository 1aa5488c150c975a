"""What one node says of the whole Cluster: asked, parsed and compared.

Nothing here changes any state; `SlotMap` takes what it likes.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import hiredis
from redis.exceptions import NoPermissionError, ResponseError

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.dialer import Dialer
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.request import Batch
from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.tasks import end

_WORDS: Any = (("CLUSTER", "SLOTS"), ("CLUSTER", "INFO"), ("CLUSTER", "NODES"))
_QUESTION = b"".join(hiredis.pack_command(words) for words in _WORDS)
_EPOCH = hiredis.pack_command(_WORDS[1])
_UNREACHABLE = frozenset({"noaddr", "handshake"})
_SLOTS = 16_384

# What an answer raises that is none to the question.
_SENSELESS = (AttributeError, LookupError, TypeError, ValueError)

# What stands in the place of a host name that a node ought to have by
# `cluster-preferred-endpoint-type hostname`, and has not.
UNKNOWN_HOST = "?"


@dataclass(frozen=True, slots=True)
class SlotRange:
    """Neighbouring slots with the same nodes.

    Attributes:
        start: The first slot.
        end: The last slot.
        nodes: The nodes that have them, the primary first.
    """

    start: int
    end: int
    nodes: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class View:
    """The Cluster as one node sees it.

    Attributes:
        healthy: Whether the node itself would serve.
        epoch: Its newest epoch: a higher one has seen more fail-overs.
        ranges: The slots that have a primary.
        members: Where its nodes are, also those without a slot.
    """

    healthy: bool
    epoch: int
    ranges: tuple[SlotRange, ...]
    members: frozenset[Address] = frozenset()

    def reached(self, by: Callable[[Address], Address]) -> "View":
        """Return the same view with each node where it is reached."""
        ranges = (replace(each, nodes=tuple(map(by, each.nodes))) for each in self.ranges)
        return replace(self, ranges=tuple(ranges), members=frozenset(map(by, self.members)))

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Orders views: the best one is the greatest."""
        covered = sum(each.end - each.start + 1 for each in self.ranges)
        return self.healthy, self.epoch, covered


async def ask_link(link: MultiplexedConnection, asked: Address, timeout: float) -> View | None:
    """Ask over a connection in service; None when it does not answer in time."""
    replies = await _ask(link, _QUESTION, timeout, expected=len(_WORDS))
    return parse(replies, asked) if isinstance(replies, list) else None


async def ask_epoch(link: MultiplexedConnection, timeout: float) -> int:
    """Ask for the newest epoch alone, which every fail-over raises; 0 if that is not answered."""
    replies = await _ask(link, _EPOCH, timeout, expected=1)
    info = replies[0] if isinstance(replies, list) else None
    return int(_facts(info).get("cluster_current_epoch", 0)) if isinstance(info, str) else 0


async def _ask(link: MultiplexedConnection, question: bytes, timeout: float, expected: int) -> Any:
    reply, deadline = link.loop.create_future(), link.loop.time() + timeout
    request = Batch(
        question,
        reply,
        deadline,
        decode=True,
        read_only=True,
        began=deadline - timeout,
        expected=expected,
        own=True,
    )
    link.submit(request)
    return await request.future


async def ask_address(dialer: Dialer, asked: Address) -> View:
    """Ask over a connection made for the purpose; by whichever address of a name knows slots.

    Raises:
        RedisUnavailableError: The node cannot be reached, or is not part of a Cluster.
    """
    views: list[View] = []

    async def ask(connection: DedicatedConnection) -> None:
        await connection.send_packed_command(_QUESTION)
        replies = [await _reply(connection) for _ in _WORDS]
        try:
            views.append(parse(replies, asked))
        except _SENSELESS as error:
            message = f"its answer makes no sense ({type(error).__name__})"
            raise RedisUnavailableError(message) from error
        if not views[-1].ranges:
            raise RedisUnavailableError("the node knows of no slots")

    try:
        (await dialer.dial(ask)).abort()
    except RedisUnavailableError:
        if not views:
            raise
    return views[-1]


async def _reply(connection: DedicatedConnection) -> Any:
    """Return a reply, also where it is an error: another one follows."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


async def best_of(questions: Iterable[Any], patience: float) -> tuple[View | None, list[Exception]]:
    """Await all *questions* side by side and return the best view, with the errors of the others.

    It has the members that any of them knows.  After the first answer the others get
    *patience* seconds more.
    """
    loop = asyncio.get_running_loop()
    tasks = {loop.create_task(question) for question in questions}
    waiting, views, errors = set(tasks), list[View](), list[Exception]()
    limit: float | None = None
    try:
        while waiting:
            left = None if limit is None else max(0.0, limit - loop.time())
            done, waiting = await asyncio.wait(
                waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                _sort(task, views, errors)
            if views and limit is None:
                limit = loop.time() + patience
    finally:
        await end(tasks)
    if not views:
        return None, errors
    members = frozenset[Address]().union(*(view.members for view in views))
    return replace(max(views, key=lambda view: view.rank), members=members), errors


def _sort(task: "asyncio.Task[View | None]", views: list[View], errors: list[Exception]) -> None:
    error = task.exception()
    if isinstance(error, Exception):
        errors.append(error)
    elif error is None and (view := task.result()) is not None and view.ranges:
        views.append(view)


def parse(replies: list[Any], asked: Address) -> View:
    """Turn the replies to the question into a view.

    A node without an address of its own is the one that was asked.

    Raises:
        redis.ResponseError: The node refused to say.
        ValueError: What it says makes no sense.
    """
    slots, info, *nodes = replies
    if isinstance(slots, Exception):
        raise slots
    facts = _facts(info)
    ranges = tuple(_range(entry, asked) for entry in slots)
    in_slots = (address for each in ranges for address in each.nodes)
    return View(
        healthy=facts.get("cluster_state") == "ok",
        epoch=int(facts.get("cluster_current_epoch", 0)),
        ranges=ranges,
        members=frozenset({*in_slots, *_members(nodes[0] if nodes else None, asked)}),
    )


def _facts(info: Any) -> dict[str, str]:
    """Parse CLUSTER INFO; for a user who may not ask it the slots have to do."""
    if isinstance(info, NoPermissionError):
        return {"cluster_state": "ok"}
    if isinstance(info, Exception):
        raise info
    text = info if isinstance(info, str) else info.decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


def _members(nodes: Any, asked: Address) -> Iterator[Address]:
    """Yield each address in a reply to CLUSTER NODES; none for a user who may not ask for it."""
    text = nodes.decode() if isinstance(nodes, bytes) else nodes
    for line in text.splitlines() if isinstance(text, str) else ():
        _, place, flags, *_ = line.split(" ")
        if _UNREACHABLE & set(flags.split(",")):
            continue
        address, *names = place.split(",")
        host, _, port = address.partition("@")[0].rpartition(":")
        yield Address(host or asked.host, int(port))
        if names and names[0]:
            yield Address(names[0], int(port))


def _range(entry: list[Any], asked: Address) -> SlotRange:
    start, end, *listed = entry
    nodes = tuple(Address(_host(node) or asked.host, int(node[1])) for node in listed)
    if not (nodes and 0 <= int(start) <= int(end) < _SLOTS):
        raise ValueError("slots without a node, or that there are not")
    return SlotRange(int(start), int(end), nodes)


def _host(node: list[Any]) -> str:
    """Return a node's host in a reply to CLUSTER SLOTS; its IP if it lacks a name, or nothing."""
    host = str(node[0] or "")
    if host != UNKNOWN_HOST:
        return host
    more = node[3] if len(node) > 3 else []
    return str(dict(zip(more[::2], more[1::2], strict=True)).get("ip", ""))
