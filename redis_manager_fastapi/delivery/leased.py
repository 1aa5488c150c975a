"""Carrying a command over a dedicated connection, by the contract."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Any, NoReturn

from redis.client import NEVER_DECODE
from redis.exceptions import DataError, ResponseError

from redis_manager_fastapi.commands.blocking import (
    BLOCKING,
    CONFIRMING,
    blocking_timeout,
    upper_word,
    with_time_left,
)
from redis_manager_fastapi.commands.sharing import (
    ANYWHERE,
    LEAVE_SESSION,
    SHARED,
    UNANSWERED,
    command_of_its_connection,
    unanswered,
)
from redis_manager_fastapi.delivery.contract import Execution, kind_of, kind_of_watched
from redis_manager_fastapi.delivery.replies import empty_response, parsed
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.delivery.shared import FAILURES, carry_on
from redis_manager_fastapi.errors import CommandTimeoutError, ReplyLostError
from redis_manager_fastapi.pool.causes import Connection
from redis_manager_fastapi.pool.deadline import Deadline, PassedError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.pacing import turnstile
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import timed_out

XREAD = frozenset({"XREAD", "xread", b"XREAD", b"xread"})

_WAITS = frozenset({"WAIT", "WAITAOF"})

# How many commands are looked at in one turn of the event loop.
_LOOKED_AT = 5_000

# Seconds: longer than any heal that is waited for.
LONG = 1e6

Exchange = Callable[[DedicatedConnection, tuple[Any, ...], dict[str, Any]], Awaitable[Any]]
"""Sends a command on a connection and returns the parsed reply."""


async def execute(
    session: Session[Pool], args: tuple[Any, ...], options: dict[str, Any], exchange: Exchange
) -> Any:
    """Execute one command on a connection of its own.

    A blocking command gets its own timeout plus the client's as a margin.  It takes no longer
    however often it goes out, and XREAD goes on from the ids from which it began.  One that
    blocks for ever has the client's for each connection that it needs.
    """
    pool, deadline = await session.admit()
    grace, blocking, clock = session.options.grace, blocking_timeout(args), pool.loop.time
    ends = clock() + (blocking or inf)
    limit = None if blocking == 0 else session.options.limit or deadline + (blocking or 0.0)
    execution: Execution | None = None

    async def attempt() -> Any:
        nonlocal args, deadline
        again = blocking is not None and execution is not None
        if again:
            deadline = min(clock() + session.options.timeout, limit or inf)
        async with pool.leases.acquire(
            args[0] if isinstance(args[0], str) else "a command",
            deadline,
            grace=grace,
            decode=session.options.decode,
            unlimited=True,  # one deadline over sending and reply instead
            lasting=blocking is not None and not (blocking and args[0] in CONFIRMING),
            registry=session.connection_kwargs["himport_registry"],
        ) as lease:
            lease.connection.for_one_command = True
            if again:
                args = with_time_left(args, ends - clock())
            try:
                async with Deadline(limit):
                    if args[0] in XREAD:
                        args = await from_last_ids(session, lease.connection, args)
                    return await exchange(lease.connection, args, options)
            except PassedError:
                raise abandoned(args, session, limit or 0.0, lease.connection) from None
            except ReplyLostError:
                if execution is not None and lease.connection.parts:
                    execution.was_answered()
                raise

    try:
        return await attempt()
    except FAILURES as failure:
        error, execution = failure, Execution(kind_of(args))
    until = clock() + LONG if limit is None else limit
    return await carry_on(pool, execution, attempt, until, error, grace, leased=True)


async def from_last_ids(
    session: Session[Pool], connection: DedicatedConnection, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return XREAD with the last ids in the place of `$`, wherever it goes on."""
    args = await connection.resolve(args)
    if session.options.keep is not None:
        session.options.keep(args)
    return args


async def refuse(name: str) -> NoReturn:
    """Refuse a command that means nothing on a connection that is another caller's next.

    Raises:
        redis.DataError: When the event loop had its turn.
    """
    await turnstile().refused()
    if name in UNANSWERED:
        raise DataError(UNANSWERED[name])
    raise DataError(
        f"{name} is about the connection that it is sent on, and this client has none to itself:"
        " use a client that is pinned to one (`async with r.client() as c`, RedisConnectionDep,"
        " or `r.on(node).client()` on a Cluster)"
    )


async def refuse_of_its_connection(args: tuple[Any, ...]) -> None:
    """Refuse a command that means nothing but on its caller's own connection.

    Raises:
        redis.DataError: The command is such a one, however it is spelled.
    """
    if args[0] not in ANYWHERE and (name := command_of_its_connection(args)):
        await refuse(name)


async def refuse_unanswered(args: tuple[Any, ...]) -> None:
    """Refuse what no client can execute, on a connection of its own or not.

    Raises:
        redis.DataError: The command is such a one.
    """
    if args[0] not in LEAVE_SESSION and (name := unanswered(args)):
        await refuse(name)


async def look_through(
    stack: Iterable[tuple[Any, Any]], deadline: float | None, *, transaction: bool
) -> float | None:
    """Refuse what a pipeline cannot execute; return when its replies must be there.

    Those that block one after the other have their time beside *deadline*, as single ones do.

    Raises:
        redis.DataError: No client can execute one of *stack*, or it is a WAIT for nothing.
    """
    written = False
    for number, (args, _) in enumerate(stack, 1):
        if number % _LOOKED_AT == 0:
            await asyncio.sleep(0)
        command = SHARED.get(args[0])
        if command is not None:
            written = written or not command.read_only
            continue
        await refuse_unanswered(args)
        word = upper_word(args[0]).partition(" ")[0]
        if word in _WAITS and (transaction or not written):
            await _refuse_to_wait(word, transaction=transaction)
        written = written or word not in BLOCKING
        if deadline is not None and not transaction:
            deadline = reply_deadline(args, deadline)
    return deadline


async def _refuse_to_wait(name: str, *, transaction: bool) -> NoReturn:
    await turnstile().refused()
    if transaction:
        raise DataError(f"{name} does not wait in a transaction: call it after that")
    raise DataError(
        f"{name} in a pipeline counts what the pipeline has written before it, which is nothing:"
        f" call `r.{name.lower()}()`"
    )


async def execute_pinned(
    session: Session[Pool],
    args: tuple[Any, ...],
    exchange: Callable[[], Awaitable[Any]],
    has_begun: Callable[[], bool],
    leased: Callable[[], DedicatedConnection | None],
) -> Any:
    """Execute on the connection that a client is pinned to; a loss ends the command.

    Args:
        session: The client's.
        args: The command.
        exchange: Executes it on that connection.
        has_begun: Whether that has been sent.
        leased: The connection; None if it was not leased, at the first command.
    """
    pool, deadline = await session.admit()
    limit = reply_deadline(args, deadline, session.options.limit)

    async def attempt() -> Any:
        try:
            async with Deadline(limit):
                return await exchange()
        except PassedError:
            connection = leased()
            if connection is None:
                raise pool.leases.no_place(session.options.timeout) from None
            raise too_late(args, session, limit or 0.0, connection, sent=has_begun()) from None

    try:
        return await attempt()
    except FAILURES as failure:
        error = failure
    grace = session.options.grace
    try:
        execution = Execution(kind_of_watched(args))
        return await carry_on(pool, execution, attempt, deadline, error, grace)
    finally:
        del error  # its traceback has this frame, and that has the client


async def exchange_listed(
    session: Session[Pool],
    connection: DedicatedConnection,
    args: tuple[Any, ...],
    options: dict[str, Any],
) -> Any:
    """Send a listed command on *connection* and return the parsed reply."""
    await connection.send_command(*args)
    try:
        reply = await connection.read_response(disable_decoding=NEVER_DECODE in options)
    except ResponseError as error:
        return empty_response(error, options)
    return await parsed(session.callbacks, args[0], reply, options)


def reply_deadline(
    args: tuple[Any, ...], deadline: float, limit: float | None = None
) -> float | None:
    """Return when the reply must be there; None for a command that blocks for ever.

    One that blocks has until *limit*, if there is one, or as long as it blocks from *deadline*.
    """
    blocking = blocking_timeout(args)
    if blocking is None:
        return deadline
    if blocking == 0:
        return None
    return deadline + blocking if limit is None else limit


def too_late(
    args: tuple[Any, ...],
    session: Session[Pool],
    limit: float,
    connection: DedicatedConnection | None,
    *,
    sent: bool,
) -> CommandTimeoutError:
    """Return the error for a command whose reply did not come in time."""
    name = upper_word(args[0]).partition(" ")[0]  # the rest may be arguments
    return late(name, session, limit, connection, blocking_timeout(args) or 0.0, sent=sent)


def abandoned(
    args: tuple[Any, ...], session: Session[Pool], limit: float, connection: DedicatedConnection
) -> CommandTimeoutError:
    """Drop the connection of such a command; return its error."""
    error = too_late(args, session, limit, connection, sent=True)
    connection.abort()
    return error


def late(
    what: str,
    session: Session[Pool],
    limit: float,
    connection: DedicatedConnection | None,
    more: float = 0.0,
    *,
    sent: bool = True,
) -> CommandTimeoutError:
    """Return the error for what got no reply within the client's time and *more* seconds.

    Args:
        what: Its name.
        session: Whose it is.
        limit: When its time was up, on the loop's clock.
        connection: Where it was sent; None if that is not known any more.
        more: What a blocking command's own time adds to the client's.
        sent: Whether it was sent at all.
    """
    pool, seconds = session.opened, session.options.timeout + more
    pool.timer_fired(limit)
    since, now = limit - seconds, pool.loop.time()
    if connection is not None:
        finding = connection.finding(since, now)
    else:
        finding = pool.why_late(since, now, Connection(pool.link_set.last_heard))
    return timed_out(what, session.instance, seconds, finding, written=sent)
