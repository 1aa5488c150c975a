"""From a command's arguments to the bytes of a request."""

from typing import Any, cast

import hiredis
from redis.connection import Encoder

from redis_manager_fastapi.pool.commands import SharedCommand

# Beyond this many bytes a request takes a dedicated connection, so that it does not
# hold up the others behind it.
LARGE_REQUEST = 64 * 1024

_ENCODER = Encoder("utf-8", "strict", decode_responses=False)


def pack(command: SharedCommand, args: tuple[Any, ...]) -> bytes:
    """Pack one listed command.

    hiredis packs what redis-py would send as it is; what it does not know goes
    through redis-py's encoder, which converts it or says what is wrong.

    Raises:
        redis.DataError: An argument is not bytes, str, int or float.
    """
    words = command.words
    arguments: Any = args if len(words) == 1 else (*words, *args[1:])
    try:
        return cast(bytes, hiredis.pack_command(arguments))
    except TypeError:
        encode = _ENCODER.encode
        encoded: Any = tuple(bytes(encode(value)) for value in arguments)
        return cast(bytes, hiredis.pack_command(encoded))
