"""The client of a deployment whose reads may go to a replica.

A replica's trouble is never the caller's: a read that it does not answer, or
answers with an error, is sent to the primary within the same deadline.
"""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

from redis.client import NEVER_DECODE

from redis_manager_fastapi.client.binding import CallOptions, ReplicatedBinding
from redis_manager_fastapi.client.delivery import deliver, recover
from redis_manager_fastapi.client.packing import LARGE_REQUEST, pack
from redis_manager_fastapi.client.pipeline import Pipeline
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.client.replies import parsed, recovered
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.commands import SHARED
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import Batch, Request, SingleRequest, new_request
from redis_manager_fastapi.pool.state import Suspicion
from redis_manager_fastapi.topology.failures import from_reply, reconnecting_helps

READS = {name: command for name, command in SHARED.items() if command.replicable}
"""The commands that a replica may answer."""

# How often a read may be tried on replicas while the primary is away.
_ATTEMPTS = 2


class ReplicatedRedis(Redis):
    """A `Redis` whose reads go to a replica, by `REDIS_SENTINEL__READS`.

    Writes, transactions, scripts, cursors and whatever takes a dedicated
    connection go to the primary, as does a read while no replica serves.

    Args:
        binding: Where the pools are.
        options: How commands are carried out.
        connection_kwargs: What redis-py's code looks up.
        spread: Whether primary and replica take turns.
    """

    binding: ReplicatedBinding

    def __init__(
        self,
        binding: ReplicatedBinding,
        options: CallOptions,
        connection_kwargs: dict[str, Any],
        *,
        spread: bool,
    ) -> None:
        super().__init__(binding, options, connection_kwargs)
        # Shared by every copy of this client.
        turns = itertools.cycle((True, False)) if spread else itertools.repeat(True)
        self._replica_s_turn: Iterator[bool] = turns

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command and return the parsed reply; arguments are redis-py's.

        Raises:
            RedisUnavailableError: Redis did not come back within grace.
            ReplyLostError: A write was sent and not answered; it may have run.
            CommandTimeoutError: The deadline passed.
            redis.ResponseError: The server rejected the command, for the reason in its text.
        """
        scope, call = self.scope, self.call_options
        if scope is not None and scope.ended:
            scope.check()
        command = READS.get(args[0]) if call.shared else None
        if command is None:
            return await super().execute_command(*args, **options)
        primary, link = self.binding.require(), self.next_link()
        if link is None and primary.is_serving:
            return await super().execute_command(*args, **options)
        packed = pack(command, args)
        if len(packed) > LARGE_REQUEST:
            return await super().execute_command(*args, **options)
        primary.check_usable()
        decode = call.decode and NEVER_DECODE not in options
        deadline = primary.loop.time() + call.timeout
        reply_to = primary.loop.create_future()
        request = new_request(packed, reply_to, deadline, decode=decode, read_only=True)
        reply = await self.read(request, link)
        if isinstance(reply, Exception):
            reply = await recovered(primary, request, reply, options)
        return await parsed(self.response_callbacks, args[0], reply, options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return a pipeline; one that only reads, and is no transaction, goes where reads go."""
        return ReplicatedPipeline(self, self._bound("a pipeline"), transaction, shard_hint)

    def next_link(self) -> MultiplexedConnection | None:
        """Return the replica's connection if the next read is for it.

        While a replica is suspected, or it is the primary's turn, that is only
        when the primary does not serve.
        """
        replica = self.binding.replica
        if replica is None or not replica.links:
            return None
        wanted = next(self._replica_s_turn) and replica.suspicion is None
        if not wanted and self.binding.require().is_serving:
            return None
        link = replica.link or min(replica.links, key=lambda each: each.in_flight)
        return None if link.full else link

    async def read(self, request: SingleRequest, link: MultiplexedConnection | None) -> Any:
        """Send a read on a replica's *link*, and to the primary when that does not answer.

        Without a *link* it goes to whichever serves first.  An exception is returned, as
        the primary's outcome.
        """
        primary, replica = self.binding.require(), self.binding.replica
        for _ in range(_ATTEMPTS):
            if link is not None:
                link.submit(request)
                outcome = await request.future
                error = _trouble(request, outcome)
                if error is None:
                    return outcome
                _tell(replica, link, error)
                request.renew()
            if primary.is_serving or replica is None:
                break
            await _either_serves(primary, replica, request.deadline)
            link = self.next_link()
        return await deliver(primary, request)


class ReplicatedPipeline(Pipeline):
    """A pipeline whose reads may go to a replica."""

    _client: ReplicatedRedis

    async def _carry(self, pool: Pool, request: Batch) -> Any:
        client = self._client
        reads = all(args[0] in READS for args, _ in self.command_stack)
        if not reads or self.is_transaction or self.explicit_transaction:
            return await super()._carry(pool, request)
        outcome = await client.read(request, client.next_link())
        if isinstance(outcome, Exception):
            outcome = await recover(pool, request, outcome)
        return outcome


def _tell(replica: Pool | None, link: MultiplexedConnection, error: Exception) -> None:
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


async def _either_serves(primary: Pool, replica: Pool, deadline: float) -> None:
    """Wait until one of the pools serves, within the grace of each.

    Raises:
        RedisUnavailableError: Neither does; the error is the primary's.
    """
    loop = primary.loop
    first = loop.create_task(primary.serving(deadline))
    second = loop.create_task(replica.serving(deadline))
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
