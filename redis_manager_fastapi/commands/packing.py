"""From a command's arguments to the bytes of a request."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import hiredis
from redis.asyncio.connection import Encoder  # pyright: ignore[reportPrivateImportUsage]  # there is no `__all__`
from redis.exceptions import DataError

from redis_manager_fastapi.commands.sharing import SharedCommand

# What makes a Cluster node serve the next command, or MULTI block, of a slot it is given.
ASKING = hiredis.pack_command(("ASKING",))

# Beyond this many bytes a request takes a dedicated connection, so that it does not
# hold up the others behind it.
LARGE_REQUEST = 64 * 1024

SLICE = 256
"""How many commands, or replies, of a pipeline are dealt with in one turn of the event loop."""

# An int of less than this size is packed by hiredis itself.
_LONG = 2**63

_ENCODER = Encoder("utf-8", "strict", decode_responses=False)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The commands of a large pipeline, which are packed when they are sent."""

    commands: list[Any]


def pack(command: SharedCommand, args: tuple[Any, ...]) -> bytes:
    """Pack one listed command into the bytes that redis-py would send.

    Raises:
        redis.DataError: An argument is not bytes, str, int or float.
        ValueError: An int has more digits than Python prints, or a str is no UTF-8.
        TypeError: A memoryview is not contiguous.
    """
    # A key alone, as in GET, is the commonest; put together here it takes half the time.
    if len(args) == 2 and type(key := args[1]) is str and key.isascii():
        return f"{command.before_key}{len(key)}\r\n{key}\r\n".encode()
    words = command.words
    arguments: Any = args if len(words) == 1 else (*words, *args[1:])
    for value in arguments:
        kind = type(value)
        if kind is str or kind is bytes or (kind is int and -_LONG < value < _LONG):
            continue
        arguments = tuple(_encoded(value) for value in arguments)
        break
    packed: bytes = hiredis.pack_command(arguments)
    return packed


def check_packable(args: Iterable[Any]) -> None:
    """Raise what packing *args* would raise."""
    for value in args:
        kind = type(value)
        if kind is str and value.isascii():
            continue
        if kind is not bytes and not (kind is int and -_LONG < value < _LONG):
            _encoded(value)


def _encoded(value: Any) -> bytes:
    """Encode one argument as redis-py does, or say what is wrong with it.

    hiredis 3.5 ends the process at a number whose `repr()` fails, and sends
    wrong bytes for a strided memoryview; joining refuses the latter.
    """
    if hasattr(type(value), "__await__"):
        raise DataError(f"an argument is {value!r}: write `await` before it, to send its reply")
    return b"".join((_ENCODER.encode(value),))
