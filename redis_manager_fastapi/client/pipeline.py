"""Pipelines: redis-py's, sent as one contiguous write when every command may share."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, cast

import redis.asyncio.client
import redis.exceptions
import redis.observability.providers as observability
from redis.client import NEVER_DECODE
from redis.exceptions import RedisError, WatchError

from redis_manager_fastapi.client.large_pipeline import (
    LOOKED_AT,
    execute_pipeline,
    execute_transaction,
    free,
    look,
)
from redis_manager_fastapi.client.observed import (
    span_of_batch,
    span_of_command,
    stand_in_for_pipeline,
)
from redis_manager_fastapi.client.shared_exchange import SharedExchange, TooLargeToShareError
from redis_manager_fastapi.client.typed import PipelineCommands
from redis_manager_fastapi.commands.packing import LARGE_REQUEST, SLICE
from redis_manager_fastapi.commands.sharing import LEAVE_SESSION, SHARED
from redis_manager_fastapi.delivery.attempts import raise_lost
from redis_manager_fastapi.delivery.connection_pool import LeasedConnections
from redis_manager_fastapi.delivery.contract import (
    Execution,
    Happened,
    Kind,
    kind_of,
    kind_of_pipeline,
    kind_of_watched,
    ran_in_part,
    short_of_replicas,
    what_happened,
)
from redis_manager_fastapi.delivery.leased import (
    late,
    look_through,
    refuse_unanswered,
    reply_deadline,
)
from redis_manager_fastapi.delivery.replica_reads import READS, read
from redis_manager_fastapi.delivery.replies import STUMBLES, parsed, raise_if_misread
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.delivery.shared import FAILURES, carry_on, deliver, recover
from redis_manager_fastapi.errors import (
    Cause,
    CommandTimeoutError,
    RedisManagerError,
    ReplyLostError,
)
from redis_manager_fastapi.pool.deadline import Deadline, PassedError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.pacing import turnstile
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import ENDED, Batch
from redis_manager_fastapi.redis_py import OWN_EXECUTE, OWN_EXECUTE_COMMAND, OWN_IMMEDIATE, measures
from redis_manager_fastapi.topology.failures import keep_code, own_words

theirs = redis.asyncio.client.Pipeline

# What redis-py's pipelines are told of, beside their caller.
LOST = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)

# A command takes at least as many bytes as PING; more of them are too large to share.
_MOST_SHARED = LARGE_REQUEST // len(b"*1\r\n$4\r\nPING\r\n")

# What leads a transaction, or leaves the connection as it is.
_AT_ONCE = LEAVE_SESSION | {"UNWATCH", "WATCH"}


class Pipeline(PipelineCommands, redis.asyncio.client.Pipeline):  # type: ignore[misc]  # replies are exact
    """A `redis.asyncio.client.Pipeline` that keeps the outage contract.

    Whether replies may have been lost under a write decides what a caller
    sees: a pipeline that only reads is sent again, any other raises
    `ReplyLostError`.  Replies are never applied by halves.

    Attributes:
        asking: Whether ASKING goes ahead of it, on the same connection.
    """

    connection_pool: Any  # a `LeasedConnections`
    connection: Any  # a `DedicatedConnection`, or None

    def __init__(
        self, session: Session[Pool], transaction: bool = True, shard_hint: str | None = None
    ) -> None:
        connections: Any = LeasedConnections(session, "a pipeline", lasting=False)
        super().__init__(connections, session.callbacks, transaction, shard_hint)
        self.asking = self._ordinary = False
        self._session = session

    def __del__(self, *_: Any) -> None:
        """Dropped under WATCH, its connection is given back by the pool."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute the queued commands and return their replies; arguments are redis-py's.

        Raises:
            ReplyLostError: Sent and not answered, and not all of it reads.
            RedisUnavailableError: Redis did not come back within grace.
            CommandTimeoutError: The deadline passed.
            redis.WatchError: A watched key changed, or the connection was lost under WATCH.
        """
        if theirs.execute is OWN_EXECUTE and not self._is_observed:
            return await self.deliver(raise_on_error)
        if not self.command_stack and not self.watching:
            return await self.deliver(raise_on_error)
        transaction = self.is_transaction or self.explicit_transaction
        commands, size = (args for args, _ in self.command_stack), len(self.command_stack)
        with span_of_batch(self._session, commands, size, transaction=transaction):
            if theirs.execute is OWN_EXECUTE and not measures():
                return await self.deliver(raise_on_error)
            copy = stand_in_for_pipeline(self, self._session, self.deliver)
            stand_in: Any = super(Pipeline, copy)
            return cast("list[Any]", await stand_in.execute(raise_on_error))

    @property
    def _is_observed(self) -> bool:
        metrics = observability._observability_instance  # noqa: SLF001
        return self._session.deployment.observed or (
            metrics is not None and metrics._provider_manager is not None  # noqa: SLF001
        )

    async def deliver(self, raise_on_error: bool) -> list[Any]:
        """Execute a pipeline that nobody observes, or that is observed already."""
        await self._session.admit()
        kind = await self._look()
        try:
            share = self._may_share()
            execute = self._execute_shared if share else self._execute_leased
            replies = await execute(kind, raise_on_error)
        except RedisManagerError as error:
            self._session.failed(error)
            await turnstile().refused()
            raise
        except RedisError as error:
            seen = self._told(error, kind)
            try:
                await turnstile().before(seen)
                raise seen from seen.__cause__
            finally:
                del seen  # its traceback has this frame
        except STUMBLES as error:
            raise_if_misread(error, "a pipeline's command", {})
            raise
        for start in range(0, len(replies), LOOKED_AT):
            if start:
                await asyncio.sleep(0)
            for reply in replies[start : start + LOOKED_AT]:
                if isinstance(reply, RedisError):
                    self.connection_pool.report(reply)
                    self._session.failed(reply)
        return replies

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute WATCH, or a command under it; arguments are redis-py's.

        Raises:
            ReplyLostError: Sent and not answered, and it does not read.
            RedisUnavailableError: Redis did not come back within grace.
            redis.WatchError: The connection was lost under WATCH.
        """
        # Sentry looks at commands of clients, and not at these.
        of_clients = theirs.immediate_execute_command is OWN_IMMEDIATE
        instrumented = (
            not of_clients or redis.asyncio.Redis.execute_command is not OWN_EXECUTE_COMMAND
        )
        if not instrumented and not self._is_observed:
            return await self.deliver_at_once(args, options)
        with span_of_command(self._session, args):
            if not instrumented and not measures():
                return await self.deliver_at_once(args, options)
            copy = stand_in_for_pipeline(self, self._session, self.deliver_at_once)
            by_client: Any = super(theirs, copy)
            by_pipeline: Any = super(Pipeline, copy)
            if of_clients:
                return await by_client.execute_command(*args, **options)
            return await by_pipeline.immediate_execute_command(*args, **options)

    async def deliver_at_once(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Execute a command that nobody observes, or that is observed already."""
        try:
            return await self._execute_at_once(args, options)
        except RedisManagerError as error:
            self._session.failed(error)
            await turnstile().refused()
            raise
        except WatchError as error:
            if kind_of(args) is not Kind.READ:
                raise_lost(error)
            raise
        except RedisError as error:
            seen = self._told(error, kind_of_watched(args))
            try:
                await turnstile().before(seen)
                raise seen from seen.__cause__
            finally:
                del seen  # its traceback has this frame

    def _told(self, error: RedisError, kind: Kind) -> Exception:
        """Report and count a server's error; return what the caller sees of it."""
        self.connection_pool.report(error)
        execution = Execution(kind)
        execution.after(what_happened(error))
        seen = execution.error(error, self._session.instance)
        self._session.failed(seen)
        return seen

    async def _execute_at_once(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if args[0] not in _AT_ONCE:
            await refuse_unanswered(args)
        _, deadline = await self._session.admit()
        await self._lease(deadline)
        limit, leased = reply_deadline(args, deadline), self.connection
        try:
            async with Deadline(limit):
                return await self._exchange_at_once(args, options)
        except BaseException as error:
            if self.connection is not None and not self.watching:
                connection, self.connection = self.connection, None
                await self.connection_pool.release(connection)
            if isinstance(error, TimeoutError):
                raise self._late(limit or deadline, leased) from None
            raise

    def annotate_exception(self, exception: Any, number: int, command: Iterable[object]) -> None:
        """Name the command in its error, whose text then no longer starts with its code."""
        keep_code(exception)
        super().annotate_exception(exception, number, command)

    def _may_share(self) -> bool:
        bound = self.watching or self.connection is not None or self.scripts
        many = len(self.command_stack) > _MOST_SHARED
        if bound or many or not self._session.options.shared:
            return False
        return bool(self.command_stack) and all(
            args[0] in SHARED and NEVER_DECODE not in options
            for args, options in self.command_stack
        )

    async def _look(self) -> Kind:
        """Return what the commands are together; of very many, note whether all are ordinary."""
        transaction, stack = self.is_transaction or self.explicit_transaction, self.command_stack
        self._ordinary = False
        if len(stack) > _MOST_SHARED:
            kind, self._ordinary = await look(stack, transaction=transaction)
        else:
            kind = kind_of_pipeline(stack, transaction=transaction)
        return Kind.WATCHED if self.watching else kind

    async def _execute_shared(self, kind: Kind, raise_on_error: bool) -> list[Any]:
        stack, transaction = self.command_stack, self.is_transaction or self.explicit_transaction
        carry = partial(self._carry, kind)
        exchange: Any = SharedExchange(self._session, carry, kind, self.asking)
        # redis-py 8.1: `_execute_transaction` and `_execute_pipeline` read the replies.
        execute = self._execute_transaction if transaction else self._execute_pipeline
        try:
            return await execute(exchange, stack, raise_on_error)
        except TooLargeToShareError:
            return await self._execute_leased(kind, raise_on_error)
        finally:
            await self.reset()

    async def _carry(self, kind: Kind, pool: Pool, request: Batch) -> Any:
        """Send a batch and return its replies."""
        grace = self._session.options.grace
        if self._may_read_replica():
            replies = await read(self._session.deployment, request, grace)
        else:
            replies = await deliver(pool, request, grace)
        if isinstance(replies, Exception):
            replies = await recover(pool, request, replies, kind, grace)
        if kind is Kind.TRANSACTION and not self.asking:
            replies = await self._wait_for_replicas(pool, request, replies)
        return replies

    async def _wait_for_replicas(self, pool: Pool, request: Batch, replies: list[Any]) -> list[Any]:
        """Send a transaction again that was refused as a whole for want of replicas."""
        error, grace = short_of_replicas(replies), self._session.options.grace
        if error is None:
            return replies

        async def attempt() -> Any:
            request.renew()
            outcome = await deliver(pool, request, grace)
            failure = outcome if isinstance(outcome, Exception) else short_of_replicas(outcome)
            if failure is not None:
                raise failure
            return outcome

        execution = Execution(Kind.TRANSACTION)
        again = await carry_on(pool, execution, attempt, request.deadline, error, grace)
        return cast("list[Any]", again)

    async def _execute_transaction(
        self, connection: Any, commands: Any, raise_on_error: bool
    ) -> list[Any]:
        """Execute by redis-py's code; an error says whether some of it may have run."""
        connection.outcomes = []
        try:
            replies = await self._transact(connection, commands, raise_on_error)
            self._raise_first_lost(commands, replies if raise_on_error else [])
        except (RedisManagerError, WatchError):
            raise
        except AttributeError as error:
            if not connection.outcomes or isinstance(connection.outcomes[-1], ENDED):
                raise
            instance, cause = self._session.instance, Cause.BAD_REPLY
            message = f"a transaction on redis {instance!r} lost its reply: {cause.words}"
            raise ReplyLostError(message, instance=instance, cause=cause) from error
        except RedisError as error:
            outcomes: list[Any] = connection.outcomes
            if not ran_in_part(commands, outcomes):
                raise
            self.connection_pool.report(error)
            execution = Execution(Kind.TRANSACTION)
            execution.after(Happened.PARTLY)
            # That MULTI was refused says more than that EXEC had none.
            first = outcomes[0]
            reason = first if isinstance(first, RedisError) else error
            seen = execution.error(own_words(reason), self._session.instance)
            try:
                raise seen from seen.__cause__
            finally:
                del first, reason, seen  # their tracebacks have this frame
        finally:
            connection.outcomes = None
        return replies

    def _raise_first_lost(self, commands: Any, replies: list[Any]) -> None:
        """Raise a script's error of a class that redis-py has for lost connections: it left it."""
        for number, reply in enumerate(replies):
            if isinstance(reply, redis.exceptions.ConnectionError):
                self.annotate_exception(reply, number + 1, commands[number][0])
                raise reply

    async def _transact(self, connection: Any, commands: Any, raise_on_error: bool) -> list[Any]:
        """Execute by redis-py's code; the values of many replies are made in slices."""
        if self._ordinary:
            return await execute_transaction(self, connection, commands, raise_on_error)
        execute = super()._execute_transaction
        if len(commands) <= SLICE:
            return cast("list[Any]", await execute(connection, commands, raise_on_error))
        callbacks, self.response_callbacks = self.response_callbacks, {}
        try:
            replies: list[Any] = await execute(connection, commands, raise_on_error)
        finally:
            self.response_callbacks = callbacks
        for number, (args, options) in enumerate(commands):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            if not isinstance(replies[number], Exception):
                replies[number] = await parsed(callbacks, args[0], replies[number], options)
        return replies

    async def _execute_pipeline(
        self, connection: Any, commands: Any, raise_on_error: bool
    ) -> list[Any]:
        if self._ordinary:
            return await execute_pipeline(self, connection, commands, raise_on_error)
        execute = super()._execute_pipeline
        return cast("list[Any]", await execute(connection, commands, raise_on_error))

    def _may_read_replica(self) -> bool:
        if (
            not self._session.deployment.reads_replicas
            or self.is_transaction
            or self.explicit_transaction
        ):
            return False
        return all(args[0] in READS for args, _ in self.command_stack)

    async def _execute_leased(self, kind: Kind, raise_on_error: bool) -> list[Any]:
        if not self.command_stack and not self.watching:
            return []
        queued = self.command_stack, self.scripts, self.explicit_transaction
        pool, deadline = await self._session.admit()
        limit = await self._limit(deadline)

        async def attempt() -> Any:
            self.command_stack, self.scripts, self.explicit_transaction = queued
            await self._lease(deadline)
            leased = self.connection
            try:
                async with Deadline(limit):
                    if self.asking:
                        await self._ask()
                    return await self._exchange(raise_on_error)
            except PassedError:
                ends = limit or deadline
                raise self._late(ends, leased, ends - deadline) from None
            except WatchError as error:
                raise_lost(error)
                raise
            except RedisError as error:
                self.connection_pool.report(error)
                raise

        try:
            replies = await attempt()
        except FAILURES as failure:
            error = failure
        else:
            if len(queued[0]) > LOOKED_AT:
                await free(queued[0])
            return cast("list[Any]", replies)
        execution, grace = Execution(kind), self._session.options.grace
        try:
            replies = await carry_on(pool, execution, attempt, deadline, error, grace, leased=True)
        finally:
            del error  # its traceback has this frame
        return cast("list[Any]", replies)

    async def _limit(self, deadline: float) -> float | None:
        """Return when all replies must be there; refuse what no pipeline can execute."""
        stack = self.command_stack
        if len(stack) > SLICE:
            await asyncio.sleep(0)  # each look at all of them takes a while
        if self._ordinary or all(args[0] in SHARED for args, _ in stack):
            return deadline
        transaction = self.is_transaction or self.explicit_transaction
        return await look_through(stack, deadline, transaction=transaction)

    async def _exchange(self, raise_on_error: bool) -> list[Any]:
        """Execute on the leased connection, as redis-py 8.1's `execute`, which may be replaced."""
        if self.scripts:
            await self.load_scripts()
        transaction = self.is_transaction or self.explicit_transaction
        execute = self._execute_transaction if transaction else self._execute_pipeline
        try:
            return await execute(self.connection, self.command_stack, raise_on_error)
        except LOST as error:
            if error.status_code is None:
                await self._disconnect_raise_on_watching(self.connection, error)
            await self.connection.disconnect()  # redis-py reads no further after such an answer
            raise
        finally:
            await self.reset()

    async def _exchange_at_once(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Execute on it one command, as redis-py 8.1's `immediate_execute_command`."""
        connection = self.connection
        try:
            return await self._send_command_parse_response(connection, args[0], *args, **options)
        except LOST as error:
            if error.status_code is None:
                await self._disconnect_reset_raise_on_watching(connection, error)
            raise

    async def _lease(self, deadline: float) -> None:
        """Lease the connection that redis-py's code takes, unless a WATCH did."""
        if self.connection is None:
            # Looking for fieldsets in a large pipeline would hold the event loop.
            fieldsets = not self._ordinary
            lease = await self.connection_pool.lease(deadline, unlimited=True, fieldsets=fieldsets)
            self.connection = lease.connection

    async def reset(self) -> None:  # type: ignore[override]  # redis-py's RESET is a command
        """Give up everything queued and watched, and return the connection.

        Raises:
            CommandTimeoutError: A server did not answer UNWATCH; the connection was dropped.
        """
        if not (self.watching and self.connection):
            await super().reset()
            return
        limit = asyncio.get_running_loop().time() + self._session.options.timeout
        leased = self.connection
        try:
            async with asyncio.timeout_at(limit):
                await super().reset()
        except TimeoutError:
            raise self._late(limit, leased) from None

    def _late(
        self, limit: float, leased: DedicatedConnection, more: float = 0.0
    ) -> CommandTimeoutError:
        transaction = self.is_transaction or self.explicit_transaction
        what = "a transaction" if transaction else "a pipeline"
        return late(what, self._session, limit, leased, more)

    async def _ask(self) -> None:
        try:
            await self.connection.send_command("ASKING")
            await self.connection.read_response()
        except BaseException:
            await self.reset()
            raise
