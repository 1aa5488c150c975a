"""The attempts that redis-py's own code makes at a command, by the contract."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import ref

import redis.exceptions as redis_errors
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import DataError, RedisError, WatchError

from redis_manager_fastapi.commands.blocking import blocking_timeout
from redis_manager_fastapi.commands.sharing import LEAVE_SESSION, UNANSWERED, unanswered
from redis_manager_fastapi.delivery.contract import (
    Execution,
    Happened,
    Kind,
    kind_of,
    kind_of_pipeline,
    kind_of_watched,
    ran_in_part,
)
from redis_manager_fastapi.delivery.leased import LONG, late, reply_deadline, too_late
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.delivery.shared import FAILURES, carry_on
from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    RedisManagerError,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.pool.deadline import Deadline, PassedError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import Suspicion
from redis_manager_fastapi.topology.failures import own_words

# What redis-py is told of, which drops the connection then.
_REPORTED = (redis_errors.ConnectionError, redis_errors.TimeoutError)

# Seconds between two attempts to connect.
_PAUSE = 0.05

Do = Callable[[], Awaitable[Any]]
Fail = Callable[..., Awaitable[Any]]


class ContractRetry(Retry):
    """What redis-py's clients ask to carry a command over a connection that they leased.

    They hold on to that connection, so it is connected again for a further attempt.

    Args:
        session: Whose lease it is.
        connection: The connection.
    """

    def __init__(self, session: Session[Pool], connection: DedicatedConnection) -> None:
        super().__init__(NoBackoff(), 0)
        self._session = session
        self._connection = ref(connection)  # its holder alone keeps it alive

    async def call_with_retry(
        self,
        do: Do,
        fail: Fail,
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        """Have *do* send a command, or a pipeline, and read its reply; again by the contract."""
        connection = self._connection()
        if connection is None:  # pragma: no cover  # whoever asks holds it
            return await do()
        watched = connection.has_session
        pool, deadline = await self._session.admit()
        begun = pool.loop.time()

        async def once() -> Any:
            try:
                return await do()
            except _REPORTED as error:
                try:
                    await (fail(error, 1) if with_failure_count else fail(error))
                except WatchError:
                    # redis-py calls a lost connection a changed key, also after EXEC.
                    if not _has_ended(error, sent):
                        raise
                raise

        sent = _Sent()
        outcomes: list[Any] = []
        connection.sent, connection.outcomes = sent, outcomes
        try:
            return await once()
        except FAILURES as failure:
            if not sent or connection.listens:
                raise  # a listener's, who connects again by itself
            error = failure
        finally:
            connection.sent = connection.outcomes = None
        execution = Execution(_kind(sent, watched=watched))
        partly = _seen_of_part(execution, error, sent, outcomes, pool.instance)
        again = _Again(self._session, connection, once, sent, execution, deadline, begun)
        until = pool.loop.time() + LONG if again.limit is None else again.limit
        grace = self._session.options.grace
        try:
            if partly is not None:
                raise partly from partly.__cause__
            return await carry_on(pool, execution, again.attempt, until, error, grace, leased=True)
        finally:
            del error, partly  # their tracebacks have this frame


class _Sent(list[tuple[Any, ...]]):
    """The commands that a client sends; what no client can execute is kept back.

    redis-py's pub/sub subscribes by the same way.
    """

    def append(self, command: tuple[Any, ...]) -> None:
        """Note a command.

        Raises:
            redis.DataError: No reply to it would come.
        """
        if command[0] not in LEAVE_SESSION:
            name = unanswered(command)
            if name is not None and not name.endswith("SUBSCRIBE"):
                raise DataError(UNANSWERED[name])
        super().append(command)


class _Again:
    """A further attempt, over the same connection, within the time of the command.

    Attributes:
        limit: When the reply must be there; None for a command that blocks for ever.
    """

    def __init__(
        self,
        session: Session[Pool],
        connection: DedicatedConnection,
        once: Do,
        commands: list[tuple[Any, ...]],
        execution: Execution,
        deadline: float,
        begun: float,
    ) -> None:
        self._session, self._connection, self._once = session, connection, once
        self._commands, self._execution, self._deadline = commands, execution, deadline
        single = len(commands) == 1
        self._blocking = blocking_timeout(commands[0]) if single else None
        self._blocks_until = begun + self._blocking if self._blocking else None
        self.limit = reply_deadline(commands[0], deadline) if single else deadline

    async def attempt(self) -> Any:
        sent, connection = False, self._connection
        if self._blocking is not None:
            again = self._session.opened.loop.time() + self._session.options.timeout
            self._deadline = again if self.limit is None else min(again, self.limit)
        connection.blocks_until = self._blocks_until
        try:
            async with Deadline(self.limit):
                await self._connect()
                sent = True
                return await self._once()
        except PassedError:
            late_by_now = self._late(sent)
            connection.abort()
            try:
                raise late_by_now from None
            finally:
                del late_by_now  # its traceback has this frame
        except ReplyLostError:
            if connection.parts:
                self._execution.was_answered()
            raise
        finally:
            connection.blocks_until = None

    async def _connect(self) -> None:
        """Connect again, for as long as grace lasts where a server that served does not."""
        pool, connection = self._session.opened, self._connection
        if connection.generation != pool.generation:
            connection.abort()  # its server was left, if the connection lives
        gives_up = pool.loop.time() + pool.settings.outage.grace
        while not connection.alive:
            await pool.wait_serving(self._deadline)
            generation = pool.generation
            try:
                await connection.connect()
            except RedisUnavailableError as error:
                if type(error) is not RedisUnavailableError or pool.loop.time() >= gives_up:
                    raise
                pool.suspect(generation, Suspicion.LEASE_LOST, str(error))
                await pool.wait_resolved(generation, self._deadline)
                await asyncio.sleep(_PAUSE)

    def _late(self, sent: bool) -> CommandTimeoutError:
        first, limit = self._commands[0], self.limit or 0.0
        if len(self._commands) == 1:
            return too_late(first, self._session, limit, self._connection, sent=sent)
        what = "a transaction" if first[0] == "MULTI" else "a pipeline"
        return late(what, self._session, limit, self._connection, sent=sent)


def _has_ended(error: RedisError, sent: list[tuple[Any, ...]]) -> bool:
    """Whether the transaction was sent to which *error* happened, so that it may have run."""
    return isinstance(error, RedisManagerError) and error.maybe_executed and ("EXEC",) in sent


def _seen_of_part(
    execution: Execution,
    error: Exception,
    sent: list[tuple[Any, ...]],
    outcomes: list[Any],
    instance: str,
) -> Exception | None:
    """Return what the caller sees of a server's error if a part of a transaction may have run."""
    if isinstance(error, RedisManagerError) or not _ran_in_part(sent, outcomes):
        return None
    execution.after(Happened.PARTLY)
    return execution.error(own_words(error), instance)


def _ran_in_part(sent: list[tuple[Any, ...]], outcomes: list[Any]) -> bool:
    """Whether it was a transaction of which a part may have run although it ended with an error."""
    if ("MULTI",) not in sent or ("EXEC",) not in sent:
        return False
    begun = sent.index(("MULTI",))
    commands: list[Any] = [(args, {}) for args in sent[begun + 1 : -1]]
    return ran_in_part(commands, outcomes[begun:])


def _kind(sent: list[tuple[Any, ...]], *, watched: bool) -> Kind:
    """Return what was sent: one command, or a pipeline with or without MULTI."""
    if len(sent) == 1:
        return kind_of_watched(sent[0]) if watched else kind_of(sent[0])
    if watched:
        return Kind.WATCHED
    transaction = sent[0][0] == "MULTI"
    commands = sent[1:-1] if transaction else sent
    return kind_of_pipeline(((args, {}) for args in commands), transaction=transaction)


def raise_lost(error: WatchError) -> None:
    """Raise the loss of a connection after which a command may have run."""
    # redis-py 8.1 calls a connection lost under WATCH a changed key, also after EXEC.
    lost = error.__context__
    try:
        if isinstance(lost, RedisManagerError) and lost.maybe_executed:
            raise lost from None
    finally:
        del error, lost  # their tracebacks have this frame
