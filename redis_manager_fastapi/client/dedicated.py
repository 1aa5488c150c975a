"""The outage contract for commands on a dedicated connection."""

from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import RedisError

from redis_manager_fastapi.client.delivery import report_refusal
from redis_manager_fastapi.commands.sharing import SHARED, blocking_timeout
from redis_manager_fastapi.errors import CommandTimeoutError, RedisManagerError, ReplyLostError
from redis_manager_fastapi.pool.deadline import Deadline
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.topology.failures import from_reply, reconnecting_helps

if TYPE_CHECKING:
    from redis_manager_fastapi.client.redis import Redis


async def execute_dedicated(client: "Redis", args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Execute one command on a connection of its own.

    A command that was not sent waits for the pool; a read whose reply was lost
    is sent again once; nothing else is.  A blocking command gets its own
    timeout plus the client's as a margin.
    """
    if client.single_connection_client:
        return await _execute_pinned(client, args, options)
    pool = client.binding.require()
    deadline = pool.loop.time() + client.call_options.timeout
    command = SHARED.get(args[0]) if isinstance(args[0], str) else None
    again, lost, read_only = True, False, command is not None and command.read_only
    while True:
        try:
            return await _lease_and_exchange(client, args, options, deadline)
        except ReplyLostError as error:
            if error.maybe_executed:
                if not (read_only and again):
                    raise
                again, lost = False, True
                # The others that are idle may be lost as well, and not know it yet.
                await pool.settled(pool.generation, deadline)
        except RedisManagerError as error:
            # Its first time may have run, whatever became of the second.
            error.maybe_executed = error.maybe_executed or lost
            raise
        except RedisError as error:
            if not (reconnecting_helps(error) and again):
                translated = from_reply(error, pool.instance)
                raise translated from translated.__cause__
            again = False
            await report_refusal(pool, error, deadline)


async def _lease_and_exchange(
    client: "Redis", args: tuple[Any, ...], options: dict[str, Any], deadline: float
) -> Any:
    connections = client.connections
    purpose = args[0] if isinstance(args[0], str) else "a command"
    connection = await connections.lease(deadline, purpose)
    try:
        return await _exchange(client, connection, args, options, deadline)
    finally:
        await connections.release(connection)


async def _exchange(
    client: "Redis",
    connection: DedicatedConnection,
    args: tuple[Any, ...],
    options: dict[str, Any],
    deadline: float,
) -> Any:
    # One deadline over sending and reply: redis-py's own limit for each read is off.
    connection.socket_timeout = None
    try:
        async with Deadline(reply_deadline(client, args, deadline)):
            return await client.exchange(connection, args, options)
    except TimeoutError:
        connection.abort()
        raise _too_late(client) from None


async def _execute_pinned(client: "Redis", args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Execute on the connection that the client is pinned to; a lost one is not replaced."""
    pool = client.binding.require()
    deadline = pool.loop.time() + client.call_options.timeout
    holder, sent = client.holder or client, False
    try:
        # redis-py 8.1: `_single_conn_lock` keeps the replies in order; `initialize` takes it too.
        async with Deadline(reply_deadline(client, args, deadline)):
            await client.initialize()
            async with holder._single_conn_lock:  # noqa: SLF001
                connection = cast(DedicatedConnection, holder.connection)
                connection.socket_timeout, sent = None, True
                return await client.exchange(connection, args, options)
    except TimeoutError:
        raise _too_late(client, sent=sent) from None
    except RedisManagerError:
        raise
    except RedisError as error:
        translated = from_reply(error, pool.instance)
        raise translated from translated.__cause__


def reply_deadline(client: "Redis", args: tuple[Any, ...], deadline: float) -> float | None:
    """Return when the reply must be there; None for a command that blocks for ever."""
    blocking = blocking_timeout(args)
    if blocking is None:
        return deadline
    if blocking == 0:
        return None
    return deadline + blocking


def _too_late(client: "Redis", *, sent: bool = True) -> CommandTimeoutError:
    message = "no reply before the command's deadline"
    return CommandTimeoutError(message, instance=client.binding.instance, maybe_executed=sent)
