"""WAIT and WAITAOF for a client whose writes went out on connections that it does not hold.

A server's WAIT counts the replicas that have what *its connection* has written, and the
writes of a client went over shared connections, which no WAIT may block, or over leased
ones.  So the offset of all that the server has written when WAIT is called is compared
with what its replicas have acknowledged.

How much has reached their append-only files no report says.  WAITAOF asks for what its
own connection has written last, so a write that changes nothing goes ahead of it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import DataError, ReadOnlyError, ResponseError

from redis_manager_fastapi.commands.blocking import upper_word
from redis_manager_fastapi.pool.dedicated import DedicatedConnection

_WRITTEN = re.compile(rb"^master_repl_offset:(\d+)", re.MULTILINE)
_ACKNOWLEDGED = re.compile(rb"^slave\d+:.*\bstate=online,offset=(\d+)", re.MULTILINE)
_PRIMARY = b"role:master"

# More replicas than there are: the server asks them all, and waits for its whole time.
_EVERY_REPLICA = 2**31 - 1

# Seconds for which the server asks and waits, between two looks at the answers.
_FIRST_WAIT = 0.005
_LONGEST_WAIT = 0.1

# Redis 4.0 to Valkey 9.0: counts as a write, and does nothing.
_EMPTY_WRITE = ("SWAPDB", 0, 0)


async def wait(
    connection: DedicatedConnection,
    args: tuple[Any, ...],
    as_it_is: Callable[[], Awaitable[Any]],
) -> Any:
    """Return how many replicas have everything that was written before, as WAIT does.

    Args:
        connection: What to ask the server on.
        args: WAIT with its arguments.
        as_it_is: Sends it as it is: the server has an error for it.
    """
    try:
        wanted, limit = int(upper_word(args[1])), int(upper_word(args[2])) / 1000
    except (IndexError, TypeError, ValueError, OverflowError):
        return await as_it_is()
    loop = asyncio.get_running_loop()
    begun, pause = loop.time(), _FIRST_WAIT
    report = await _report(connection)
    written = _WRITTEN.search(report)
    if limit < 0 or written is None or _PRIMARY not in report:
        return await as_it_is()
    while (count := _acknowledged(report, int(written[1]))) < wanted:
        left = begun + limit - loop.time() if limit else _LONGEST_WAIT
        if left <= 0:
            break
        connection.refuse_to_outlast(args)
        milliseconds = max(1, round(min(left, pause) * 1000))
        await _ask(connection, "WAIT", _EVERY_REPLICA, milliseconds)
        report = await _report(connection)
        pause = min(2 * pause, _LONGEST_WAIT)
    return count


async def wait_aof(connection: DedicatedConnection, as_it_is: Callable[[], Awaitable[Any]]) -> Any:
    """Return in how many files everything is that was written before, as WAITAOF does.

    Args:
        connection: What to ask the server on.
        as_it_is: Sends WAITAOF as it is.

    Raises:
        redis.DataError: The server does not take the write that has to go ahead.
    """
    try:
        await _ask(connection, *_EMPTY_WRITE)
    except ReadOnlyError:
        pass  # the server has an error for WAITAOF, too
    except ResponseError as error:
        raise DataError(
            f"WAITAOF for what other connections have written needs SWAPDB, which redis"
            f" {connection.instance!r} refuses, as every node of a Cluster does: write and wait on"
            " a client that is pinned to one connection (`async with r.client() as c`,"
            " RedisConnectionDep, or `r.on(node).client()` on a Cluster)"
        ) from error
    return await as_it_is()


def _acknowledged(report: bytes, written: int) -> int:
    return sum(int(offset) >= written for offset in _ACKNOWLEDGED.findall(report))


async def _report(connection: DedicatedConnection) -> bytes:
    report = await _ask(connection, "INFO", "replication")
    if not isinstance(report, bytes):
        raise connection.misread()
    return report


async def _ask(connection: DedicatedConnection, *command: Any) -> Any:
    await connection.send_command(*command)
    return await connection.read_response(disable_decoding=True)
