"""The outage contract for commands on the multiplexed connection.

A command that was not written waits for the pool and goes out after the heal;
one that was written and not answered is sent again once, and only if it is
read-only; all of it within the command's own deadline.
"""

import asyncio
from typing import Any

from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    RedisManagerError,
    ReplyLostError,
)
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import Interrupted, Request, SingleRequest
from redis_manager_fastapi.pool.state import Suspicion
from redis_manager_fastapi.topology.failures import from_reply, reconnecting_helps


def _link_with_room(pool: Pool) -> MultiplexedConnection | None:
    """Return the connection with the least in flight, or None when none takes a command now."""
    links = pool.links
    if len(links) == 1:
        link = links[0]
    elif links:
        link = min(links, key=lambda each: each.in_flight)
    else:
        return None
    return None if link.full else link


async def deliver(pool: Pool, request: Request) -> Any:
    """Send *request* when the pool serves and there is room; return the outcome."""
    pool.check_usable()
    link = _link_with_room(pool)
    while link is None:
        await pool.serving(request.deadline)
        if pool.links and (link := _link_with_room(pool)) is None:
            await _room(pool, request.deadline)
            link = _link_with_room(pool)
    link.submit(request)
    return await request.future


async def _room(pool: Pool, deadline: float) -> None:
    """Wait for room on the connection with the least in flight."""
    pool.check_crowd()
    try:
        async with asyncio.timeout_at(deadline):
            await min(pool.links, key=lambda each: each.in_flight).room()
    except TimeoutError:
        message = "no room for the command before its deadline"
        raise CommandTimeoutError(message, instance=pool.instance) from None


async def recover(pool: Pool, request: SingleRequest, outcome: Exception) -> Any:
    """Turn an exception that a request ended with into a reply, or raise what the caller sees."""
    again, written = True, False
    try:
        while isinstance(outcome, Exception):
            if isinstance(outcome, RedisManagerError):
                raise outcome
            if isinstance(outcome, Interrupted):
                written = written or outcome.written
                again = _may_repeat(pool, request, outcome, again=again)
            elif reconnecting_helps(outcome) and again:
                again = False
                await report_refusal(pool, outcome, request.deadline)
            else:
                raise from_reply(outcome, pool.instance)
            request.renew()
            outcome = await deliver(pool, request)
    except RedisManagerError as error:
        # Its first time may have run, whatever became of the second.
        error.maybe_executed = error.maybe_executed or written
        raise
    return outcome


def _may_repeat(pool: Pool, request: Request, lost: Interrupted, *, again: bool) -> bool:
    """Return whether a written command may be sent once more after this time; raise if not now."""
    if not lost.written:
        return again
    if request.read_only and again:
        return False
    message = f"redis {pool.instance!r} took the command and its reply was lost"
    raise ReplyLostError(message, instance=pool.instance)


async def report_refusal(pool: Pool, error: Exception, deadline: float) -> None:
    """Have the pool healed from a server that does not serve, and wait for the result.

    The command was not executed, so it may go out again afterwards.
    """
    generation = pool.generation
    translated = from_reply(error, pool.instance)
    pool.suspect(generation, Suspicion.REFUSING, str(translated))
    if await pool.settled(generation, deadline):
        raise translated
