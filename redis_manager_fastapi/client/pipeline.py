"""Pipelines: redis-py's, sent as one contiguous write when every command may share."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import redis.asyncio.client
from redis.client import NEVER_DECODE
from redis.exceptions import RedisError, WatchError

from redis_manager_fastapi.client.dedicated import reply_deadline
from redis_manager_fastapi.client.delivery import deliver, recover
from redis_manager_fastapi.commands.packing import ASKING, LARGE_REQUEST, pack
from redis_manager_fastapi.commands.sharing import SHARED, SharedCommand
from redis_manager_fastapi.errors import CommandTimeoutError, RedisManagerError, ReplyLostError
from redis_manager_fastapi.pool.deadline import Deadline
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import Batch
from redis_manager_fastapi.topology.failures import refusal_code

if TYPE_CHECKING:
    from redis_manager_fastapi.client.redis import Redis

# MULTI and EXEC share a connection only around a batch that leaves in one write.
_BRACKETS = {name: SharedCommand((name,), read_only=True) for name in ("MULTI", "EXEC")}


class Pipeline(redis.asyncio.client.Pipeline):
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
        self, client: "Redis", connections: Any, transaction: bool, shard_hint: str | None
    ) -> None:
        super().__init__(connections, client.response_callbacks, transaction, shard_hint)
        self._client = client
        self.asking = False

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute the queued commands and return their replies; arguments are redis-py's.

        Raises:
            ReplyLostError: Sent and not answered, and not all of it reads.
            RedisUnavailableError: Redis did not come back within grace.
            CommandTimeoutError: The deadline passed.
            redis.WatchError: A watched key changed, or the connection was lost under WATCH.
        """
        if self._client.scope is not None:
            self._client.scope.check()
        try:
            share = self._may_share()
            execute = self._execute_shared if share else self._execute_dedicated
            replies = await execute(raise_on_error)
        except RedisManagerError:
            raise
        except RedisError as error:
            translated = self.connection_pool.translated(error)
            if isinstance(translated, RedisManagerError):
                # A transaction with a command that is refused runs none of them (EXECABORT).
                translated.maybe_executed |= not self.is_transaction
            raise translated from translated.__cause__
        for reply in replies:
            if isinstance(reply, RedisError):
                self.connection_pool.translated(reply)  # a server that refuses is left all the same
        return replies

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute WATCH, or a command under it; arguments are redis-py's.

        Raises:
            ReplyLostError: Sent and not answered, and it does not read.
            RedisUnavailableError: Redis did not come back within grace.
            redis.WatchError: The connection was lost under WATCH.
        """
        try:
            with self.connection_pool.translating():
                return await self._execute_at_once(args, options)
        except WatchError as error:
            if not _read_only([(args, options)]):
                _raise_lost(error)
            raise

    async def _execute_at_once(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        deadline = self._deadline()
        await self._lease(deadline)
        try:
            async with self._until(reply_deadline(self._client, args, deadline)):
                return await super().immediate_execute_command(*args, **options)
        except BaseException:
            if self.connection is not None and not self.watching:
                connection, self.connection = self.connection, None
                await self.connection_pool.release(connection)
            raise

    def annotate_exception(self, exception: Any, number: int, command: Iterable[object]) -> None:
        """Name the command in its error, whose text then no longer starts with its code."""
        exception.status_code = refusal_code(exception) or exception.status_code
        super().annotate_exception(exception, number, command)

    def _may_share(self) -> bool:
        call = self._client.call_options
        if not call.shared or self.watching or self.connection is not None or self.scripts:
            return False
        return bool(self.command_stack) and all(
            args[0] in SHARED and NEVER_DECODE not in options
            for args, options in self.command_stack
        )

    async def _execute_shared(self, raise_on_error: bool) -> list[Any]:
        stack, transaction = self.command_stack, self.is_transaction or self.explicit_transaction
        exchange: Any = _SharedExchange(
            self._client, self._carry, read_only=_read_only(self.command_stack), asking=self.asking
        )
        # redis-py 8.1: `_execute_transaction` and `_execute_pipeline` read the replies.
        execute = self._execute_transaction if transaction else self._execute_pipeline
        try:
            return cast("list[Any]", await execute(exchange, stack, raise_on_error))
        except _TooLargeToShareError:
            return await self._execute_dedicated(raise_on_error)
        finally:
            await self.reset()

    async def _carry(self, pool: Pool, request: Batch) -> Any:
        """Send a batch and return its replies."""
        replies = await deliver(pool, request)
        if isinstance(replies, Exception):
            replies = await recover(pool, request, replies)
        return replies

    async def _execute_dedicated(self, raise_on_error: bool) -> list[Any]:
        if not self.command_stack and not self.watching:
            return []
        queued = self.command_stack, self.scripts, self.explicit_transaction
        deadline, again, lost = self._deadline(), _read_only(self.command_stack), False
        while True:
            self.command_stack, self.scripts, self.explicit_transaction = queued
            try:
                await self._lease(deadline)
                async with self._until(deadline):
                    if self.asking:
                        await self._ask()
                    return await super().execute(raise_on_error)
            except ReplyLostError as error:
                if error.maybe_executed and not again:
                    raise
                again, lost = again and not error.maybe_executed, lost or error.maybe_executed
            except RedisManagerError as error:
                # Its first time may have run, whatever became of the second.
                error.maybe_executed = error.maybe_executed or lost
                raise
            except WatchError as error:
                _raise_lost(error)
                raise

    def _deadline(self) -> float:
        return self._client.binding.require().loop.time() + self._client.call_options.timeout

    async def _lease(self, deadline: float) -> None:
        """Lease the connection that redis-py's code takes, unless a WATCH did."""
        if self.connection is None:
            self.connection = await self.connection_pool.lease(deadline)

    @asynccontextmanager
    async def _until(self, deadline: float | None) -> AsyncIterator[None]:
        """Set one deadline over sending and replies: redis-py's own limit for each read is off."""
        connection = self.connection
        limit, connection.socket_timeout = connection.socket_timeout, None
        try:
            async with Deadline(deadline):
                yield
        except TimeoutError:
            message = "no reply before the pipeline's deadline"
            raise CommandTimeoutError(
                message, instance=self._client.binding.instance, maybe_executed=True
            ) from None
        finally:
            if self.connection is connection:  # given back, it may be another caller's by now
                connection.socket_timeout = limit

    async def _ask(self) -> None:
        try:
            await self.connection.send_command("ASKING")
            await self.connection.read_response()
        except BaseException:
            await self.reset()
            raise


def _read_only(commands: Iterable[tuple[Any, Any]]) -> bool:
    return all(args[0] in SHARED and SHARED[args[0]].read_only for args, _ in commands)


def _raise_lost(error: WatchError) -> None:
    """Raise the loss of a connection after which a command may have run."""
    # redis-py 8.1 calls a connection lost under WATCH a changed key, also after EXEC.
    lost = error.__context__
    if isinstance(lost, RedisManagerError) and lost.maybe_executed:
        raise lost from None


class _TooLargeToShareError(Exception):
    """The batch would hold up other callers; nothing of it was sent."""


class _SharedExchange:
    """Stands where redis-py's pipeline expects a connection: one write, then its replies."""

    himport_registry = None

    def __init__(
        self,
        client: "Redis",
        carry: Callable[[Pool, Batch], Awaitable[Any]],
        *,
        read_only: bool,
        asking: bool,
    ) -> None:
        self._client = client
        self._carry = carry
        self._read_only = read_only
        self._asking = asking
        self._expected = 0
        self._replies: list[Any] = []

    def pack_commands(self, commands: Iterable[tuple[Any, ...]]) -> bytes:
        """Pack commands into one piece."""
        packed = [pack(SHARED.get(args[0]) or _BRACKETS[args[0]], args) for args in commands]
        if self._asking:
            packed.insert(0, ASKING)
        self._expected = len(packed)
        return b"".join(packed)

    async def send_packed_command(self, packed: bytes) -> None:
        """Send the batch and wait for all of its replies."""
        if len(packed) > LARGE_REQUEST:
            raise _TooLargeToShareError
        pool, call = self._client.binding.require(), self._client.call_options
        pool.check_usable()
        deadline = pool.loop.time() + call.timeout
        request = Batch(
            packed,
            pool.loop.create_future(),
            deadline,
            call.decode,
            self._read_only,
            expected=self._expected,
        )
        replies = await self._carry(pool, request)
        self._replies = replies[:0:-1] if self._asking else replies[::-1]

    async def read_response(self, disable_decoding: bool = False) -> Any:
        """Return the next reply, or raise it."""
        reply = self._replies.pop()
        if isinstance(reply, Exception):
            raise reply
        return reply
