"""What the exit codes mean."""

import enum

from redis_manager_fastapi.errors import RedisAuthError, RedisConfigError, RedisTLSError
from redis_manager_fastapi.topology.credentials import chain
from redis_manager_fastapi.topology.failures import Door, door_of


class Exit(enum.IntEnum):
    """What a command ends with; a script may rely on it.

    `SETTINGS` is also what a wrong option and a missing extra end with.
    """

    OK = 0
    SETTINGS = 2
    UNREACHABLE = 3
    CREDENTIALS = 4
    TLS = 5


_CLASSES = (
    (RedisConfigError, Exit.SETTINGS),
    (RedisTLSError, Exit.TLS),
    (RedisAuthError, Exit.CREDENTIALS),
)
_DOORS = {
    Door.NO_RESP3: Exit.SETTINGS,
    Door.NO_DATABASE: Exit.SETTINGS,
    Door.CLUSTER: Exit.SETTINGS,
    Door.PROTECTED: Exit.CREDENTIALS,
    Door.SPEAKS_TLS: Exit.TLS,
}


def exit_of(error: BaseException) -> Exit:
    """Return the code for an error of this library."""
    for kind, code in _CLASSES:
        if isinstance(error, kind):
            return code
    doors = (door_of(link) for link in chain(error))
    return next((_DOORS[door] for door in doors if door in _DOORS), Exit.UNREACHABLE)
