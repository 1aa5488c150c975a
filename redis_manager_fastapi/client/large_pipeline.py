"""Executing pipelines of very many commands: what redis-py does, in slices.

redis-py's own code goes through all commands, or all replies, several times in one turn of
the event loop, which takes 10 to 40 ms for 100,000 of them each time.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from redis.client import EMPTY_RESPONSE
from redis.exceptions import ExecAbortError, ResponseError, WatchError

from redis_manager_fastapi.commands.packing import SLICE, Unpacked
from redis_manager_fastapi.commands.sharing import SHARED
from redis_manager_fastapi.delivery.contract import Kind, kind_of_pipeline
from redis_manager_fastapi.delivery.replies import parsed

T = TypeVar("T")

LOOKED_AT = 5_000
"""How many commands or replies are only looked at, or given up, in one turn of the loop."""


def are_ordinary(commands: Sequence[Any]) -> bool:
    """Whether redis-py does no more with *commands* than send them and read their replies."""
    return all(args[0] in SHARED and EMPTY_RESPONSE not in options for args, options in commands)


async def look(commands: Sequence[Any], *, transaction: bool) -> tuple[Kind, bool]:
    """Return what *commands* are together, and whether all of them are ordinary."""
    kinds: set[Kind] = set()
    ordinary = True
    async for part in slices(commands):
        kinds.add(kind_of_pipeline(part, transaction=transaction))
        ordinary = ordinary and are_ordinary(part)
    others = kinds - {Kind.READ_PIPELINE}
    return (others or kinds).pop(), ordinary


async def slices(items: Sequence[T], size: int = LOOKED_AT) -> AsyncIterator[Sequence[T]]:
    """Yield *items* in slices, and let the loop turn between them."""
    for start in range(0, len(items), size):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + size]


async def free(items: list[Any]) -> None:
    """Give up what is no longer needed in slices: freeing very many takes a while as well."""
    while len(items) > LOOKED_AT:
        del items[-LOOKED_AT:]
        await asyncio.sleep(0)


async def execute_pipeline(
    pipe: Any, connection: Any, commands: list[Any], raise_on_error: bool
) -> list[Any]:
    """Execute ordinary commands without MULTI, as `Pipeline._execute_pipeline` of redis-py 8.1."""
    await _send(connection, [], commands, [])
    replies: list[Any] = []
    for args, options in commands:
        try:
            replies.append(await pipe.parse_response(connection, args[0], **options))
        except ResponseError as error:
            replies.append(error)
    if raise_on_error:
        await _raise_first_error(pipe, commands, replies)
    return replies


async def execute_transaction(
    pipe: Any, connection: Any, commands: list[Any], raise_on_error: bool
) -> list[Any]:
    """Execute ordinary commands as `Pipeline._execute_transaction` of redis-py 8.1 does."""
    await _send(connection, [("MULTI",)], commands, [("EXEC",)])
    refused = await _refused(pipe, connection, commands)
    try:
        replies: list[Any] | None = await pipe.parse_response(connection, "_")
    except ExecAbortError as error:
        if refused:
            raise refused[0][1] from error
        raise
    pipe.watching = False
    if replies is None:
        raise WatchError("Watched variable changed.") from None
    for number, refusal in refused:
        replies.insert(number, refusal)
    if len(replies) != len(commands):
        await connection.disconnect()
        raise ResponseError("Wrong number of response items from pipeline execution")
    if raise_on_error:
        await _raise_first_error(pipe, commands, replies)
    await _parse(pipe, commands, replies)
    return replies


async def _refused(pipe: Any, connection: Any, commands: list[Any]) -> list[tuple[int, Exception]]:
    """Read what MULTI and the commands were answered; return the errors with their places."""
    refused: list[tuple[int, Exception]] = []
    try:
        await pipe.parse_response(connection, "_")
    except ResponseError as error:
        refused.append((0, error))
    for number, (args, _) in enumerate(commands):
        try:
            await pipe.parse_response(connection, "_")
        except ResponseError as error:
            pipe.annotate_exception(error, number + 1, args)
            refused.append((number, error))
    return refused


async def _parse(pipe: Any, commands: list[Any], replies: list[Any]) -> None:
    """Put in the place of each reply what redis-py's callback makes of it."""
    for number, (args, options) in enumerate(commands):
        if number % SLICE == 0:
            await asyncio.sleep(0)
        if not isinstance(replies[number], Exception):
            value = await parsed(pipe.response_callbacks, args[0], replies[number], options)
            replies[number] = value


async def _send(connection: Any, before: list[Any], commands: list[Any], after: list[Any]) -> None:
    listed = before
    async for part in slices(commands):
        listed.extend([args for args, _ in part])
    listed.extend(after)
    await connection.send_packed_command(Unpacked(listed))


async def _raise_first_error(pipe: Any, commands: list[Any], replies: list[Any]) -> None:
    numbered = enumerate(commands, 1)
    async for part in slices(replies):
        for reply, (number, (args, _)) in zip(part, numbered, strict=False):
            if isinstance(reply, ResponseError):
                pipe.annotate_exception(reply, number, args)
                raise reply
