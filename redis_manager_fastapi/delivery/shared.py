"""Carrying a request over a shared connection, and carrying on after an error by the contract."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import RedisError

from redis_manager_fastapi.delivery.contract import Execution, Happened, Kind, Step, what_happened
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.causes import Connection
from redis_manager_fastapi.pool.pacing import REFUSALS, turnstile
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.proof import Proof
from redis_manager_fastapi.pool.request import Interrupted, Request, SingleRequest, timed_out
from redis_manager_fastapi.pool.state import Suspicion
from redis_manager_fastapi.topology.failures import from_reply

FAILURES = (RedisError, RedisManagerError, Interrupted)
"""What an attempt may end with; anything else is the user's own."""


async def deliver(pool: Pool, request: Request, grace: float | None) -> Any:
    """Send *request* when the pool serves and there is room; return the outcome.

    *grace*, in seconds, is the client's own, if it has one.
    """
    links = pool.link_set
    while (link := links.with_room()) is None:
        if links.serving:
            await wait_for_room(pool, request)
            return await request.future
        await pool.wait_serving(request.deadline, grace)
    link.submit(request)
    if request.script:
        link.submit(Proof(link, request))
    return await request.future


async def wait_for_room(pool: Pool, request: Request) -> None:
    """Wait until a connection has taken the request, or there is none any more.

    Raises:
        CommandTimeoutError: Its time was up first.
        TooManyWaitersError: `pool.max_waiting` callers wait already.
    """
    pool.check_crowd()
    room = pool.link_set.room
    entered = room.enter(request)
    try:
        async with asyncio.timeout_at(request.deadline):
            await entered
    except TimeoutError:
        room.leave(request)
        if entered.cancelled():  # no connection has taken it, though one may have passed it over
            now, seen = pool.loop.time(), Connection(pool.link_set.last_heard)
            finding = pool.why_late(request.began, now, seen)
            what, timeout = request.what(), request.deadline - request.began
            raise timed_out(what, pool.instance, timeout, finding, written=False) from None
    except BaseException:
        if not room.leave(request):
            request.future.cancel()
        raise


async def recover(
    pool: Pool, request: SingleRequest, outcome: Exception, kind: Kind, grace: float | None
) -> Any:
    """Turn an exception that a request ended with into a reply, or raise what the caller sees."""

    async def attempt() -> Any:
        request.renew()
        reply = await deliver(pool, request, grace)
        if isinstance(reply, Exception):
            raise reply
        return reply

    try:
        return await carry_on(pool, Execution(kind), attempt, request.deadline, outcome, grace)
    finally:
        del outcome  # its traceback has this frame


async def carry_on(
    pool: Pool,
    execution: Execution,
    attempt: Callable[[], Awaitable[Any]],
    deadline: float,
    error: Exception,
    grace: float | None,
    *,
    leased: bool = False,
) -> Any:
    """Make further attempts for as long as the contract allows; return what one returns.

    Args:
        pool: Where the command goes.
        execution: What it is, and what became of it so far.
        attempt: Executes it once.
        deadline: When its time is up, on the loop's clock.
        error: What the first attempt ended with.
        grace: How long it may wait in an outage, in seconds; None for `outage.grace`.
        leased: Whether it takes a dedicated connection.

    Raises:
        RedisManagerError: By the contract.
        redis.RedisError: The user's own mistake, in the server's words.
    """
    while True:
        step = execution.after(happened := what_happened(error))
        if step is Step.HEAL_AGAIN:
            await _heal(pool, execution, happened, error, deadline, grace, leased=leased)
        elif step is Step.WAIT_AGAIN and await pool.short_of_replicas.wait(deadline, grace):
            pass
        elif step is not Step.AGAIN:
            seen = execution.error(error, pool.instance)
            pool.counters.gave_up(seen, lost=happened is Happened.LOST)
            # Who waited for a reply has let the loop turn already.
            if isinstance(seen, REFUSALS) and not isinstance(error, Interrupted):
                await turnstile().refused()
            try:
                raise seen from seen.__cause__
            finally:
                del error, seen  # their tracebacks have this frame
        pool.counters.retried += 1
        try:
            reply = await attempt()
        except FAILURES as failure:
            error = failure
        else:
            if happened is Happened.SHORT:
                pool.short_of_replicas.end()
            return reply


async def _heal(
    pool: Pool,
    execution: Execution,
    happened: Happened,
    error: Exception,
    deadline: float,
    grace: float | None,
    *,
    leased: bool,
) -> None:
    if happened is Happened.REFUSED:
        try:
            await leave_refusing(pool, error, deadline, grace)
        except RedisManagerError as final:
            pool.counters.failed(final)
            raise execution.error(final, pool.instance) from final.__cause__
    elif leased:
        # Idle connections may be lost as well, and not know it yet.
        await pool.wait_resolved(pool.generation, deadline, grace)


async def leave_refusing(
    pool: Pool, error: Exception, deadline: float, grace: float | None
) -> None:
    """Have the pool healed from a server that does not serve, and wait for the result.

    Raises:
        RedisUnavailableError: No other server was found.
    """
    generation = pool.generation
    translated = from_reply(error, pool.instance)
    pool.suspect(generation, Suspicion.REFUSING, str(translated))
    if await pool.wait_resolved(generation, deadline, grace):
        try:
            raise translated
        finally:
            del translated  # its traceback has this frame
