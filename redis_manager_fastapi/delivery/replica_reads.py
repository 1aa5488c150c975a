"""Reads that may go to a replica.

A replica's trouble is never the caller's: a read that it does not answer, or
answers with an error, is sent to the primary within the same deadline.
"""

import asyncio
from typing import Any, cast

from redis_manager_fastapi.commands.sharing import SHARED
from redis_manager_fastapi.delivery.shared import deliver
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import Batch, Request, SingleRequest
from redis_manager_fastapi.pool.state import Suspicion
from redis_manager_fastapi.supervision.deployment import Deployment
from redis_manager_fastapi.supervision.replica import WithReplica
from redis_manager_fastapi.topology.failures import from_reply, reconnecting_helps

READS = {name: command for name, command in SHARED.items() if command.replicable}
"""The commands that a replica may answer."""

# How often a read may be tried on replicas while the primary is away: each may be lost in turn.
_ATTEMPTS = 5


def next_link(deployment: Deployment[Pool]) -> MultiplexedConnection | None:
    """Return the connection to the replica, if it is its turn."""
    return cast(WithReplica, deployment).next_link()


async def read(
    deployment: Deployment[Pool],
    request: SingleRequest,
    grace: float | None,
    link: MultiplexedConnection | None = None,
    outcome: Any = None,
) -> Any:
    """Send a read to the replica, if it is its turn, and to the primary when it does not answer.

    While neither serves it goes to whichever serves first.  An exception is
    returned, as the primary's outcome.

    Args:
        deployment: Where it goes.
        request: What is sent.
        grace: The client's own, in seconds, if it has one.
        link: The connection to the replica on which a first attempt was made already.
        outcome: What that ended with.
    """
    both = cast(WithReplica, deployment)
    primary, replica = both.require(), both.replica.opened
    answered = link is not None
    if not answered:
        primary.check_usable()
        link = both.next_link()
    for _ in range(_ATTEMPTS):
        if link is not None:
            if not answered:
                link.submit(request)
                outcome = await request.future
            error, answered = _trouble(request, outcome), False
            if error is None:
                return outcome
            _report(replica, link, error)
            request.renew()
            primary.counters.retried += 1
        if primary.is_serving or replica is None:
            break
        await _either_serves(primary, replica, request.deadline, grace)
        link = both.next_link()
    return await deliver(primary, request, grace)


def _report(replica: Pool | None, link: MultiplexedConnection, error: Exception) -> None:
    """Have a replica probed that refuses to serve."""
    if replica is not None and link in replica.links and reconnecting_helps(error):
        reason = str(from_reply(error, replica.instance))
        replica.suspect(replica.generation, Suspicion.REFUSING, reason)


def _trouble(request: Request, outcome: Any) -> Exception | None:
    """Return the error for which the primary is asked: any, save that the time is up."""
    if isinstance(outcome, Exception):
        return None if isinstance(outcome, RedisManagerError) else outcome
    if type(request) is Batch:
        return next((reply for reply in outcome if isinstance(reply, Exception)), None)
    return None


async def _either_serves(
    primary: Pool, replica: Pool, deadline: float, grace: float | None
) -> None:
    """Wait until one of the pools serves, within the grace of each.

    Raises:
        RedisUnavailableError: Neither does; the error is the primary's.
    """
    loop = primary.loop
    first = loop.create_task(primary.wait_serving(deadline, grace))
    second = loop.create_task(replica.wait_serving(deadline, grace))
    waiting = {first, second}
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if None in [task.exception() for task in done]:
                return
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    await first
