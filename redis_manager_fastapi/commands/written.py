"""Which keys a command may write, for whoever holds copies of their values."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import hiredis

from redis_manager_fastapi.commands.blocking import upper_word
from redis_manager_fastapi.commands.keys import ONE_KEY, key_bytes
from redis_manager_fastapi.commands.sharing import SHARED

EVERYTHING = None
"""In the place of the keys, of a command that may write any."""

_FLUSHING = frozenset({"DEBUG", "FLUSHALL", "FLUSHDB", "RESET", "SWAPDB"})

# Their first argument is the text of the script, or its name.
_SCRIPTS = frozenset({"EVAL", "EVALSHA", "FCALL"})


def keys_written(args: Sequence[Any]) -> Iterable[bytes] | None:
    """Return the keys that a command may write, as bytes; EVERYTHING if they are not known.

    Of a command with several arguments that might be keys, all count: to name a key that
    is not written does no harm.
    """
    name = upper_word(args[0])
    command = SHARED.get(name)
    if command is not None and command.read_only:
        return ()
    if name in _FLUSHING:
        return EVERYTHING
    if name in ONE_KEY:
        return [key_bytes(args[1])] if len(args) > 1 else ()
    first = 3 if name in _SCRIPTS else 1
    return [key_bytes(each) for each in args[first:]]


def commands_in(packed: bytes) -> Iterator[list[bytes]]:
    """Yield the commands of a packed request, each with its arguments."""
    reader = hiredis.Reader()
    reader.feed(packed)
    while command := reader.gets():
        yield command
