"""Where clients find the pool, and what a client may be told about its calls."""

from dataclasses import dataclass

from redis_manager_fastapi.errors import RedisNotStartedError
from redis_manager_fastapi.pool.pool import Pool


class Binding:
    """The link between a manager's clients and the pool that is open now.

    A client may be made before the manager opens, and outlive its closing: it
    looks here at each command.

    Attributes:
        instance: The manager's name.
        pool: The pool, or None while the manager is not open.
    """

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.pool: Pool | None = None

    def require(self) -> Pool:
        """Return the pool.

        Raises:
            RedisNotStartedError: The manager has not been opened.
        """
        if self.pool is None:
            raise not_started(self.instance)
        return self.pool


def not_started(instance: str) -> RedisNotStartedError:
    """Return the error for a manager whose lifespan never ran, with the fix for app and tests."""
    message = (
        f"redis {instance!r} is not started: give the app its lifespan,"
        " `FastAPI(lifespan=manager.lifespan)` or `manager.wrap(your_lifespan)`, and in tests run"
        " the lifespan too: `with TestClient(app) as client:` or `async with manager:`"
    )
    return RedisNotStartedError(message, instance=instance)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How a client's commands are carried out.

    Attributes:
        decode: Whether replies are `str` rather than `bytes`.
        timeout: Each command's deadline, in seconds.
        shared: Whether listed commands go over the multiplexed connection.
    """

    decode: bool
    timeout: float
    shared: bool
