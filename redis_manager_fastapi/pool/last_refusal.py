"""Why no dedicated connection could be made: remembered, so that not every caller tries again."""

import asyncio
from dataclasses import dataclass

from redis_manager_fastapi.errors import RedisAuthError, RedisTLSError, RedisUnavailableError


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection that could not be made.

    Attributes:
        since: When the first attempt in a row failed.
        until: Nobody tries again before.
        generation: The pool's generation then.
        error: What the last attempt raised.
    """

    since: float
    until: float
    generation: int
    error: RedisUnavailableError

    @property
    def final(self) -> bool:
        """Whether the server itself said no, so that asking again would not help soon."""
        answered = getattr(self.error.__cause__, "status_code", None) is not None
        return answered or isinstance(self.error, RedisAuthError | RedisTLSError)

    def repeated(self) -> RedisUnavailableError:
        """Return the error for one more caller."""
        error = type(self.error)(str(self.error), instance=self.error.instance)
        error.__cause__ = self.error
        return error


class LastRefusal:
    """The last refusal, until a connection is made.

    Args:
        loop: Whose clock it is.
        pause: Seconds for which nobody tries again.
        grace: Seconds after which a further refusal is not one of the same row.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pause: float, grace: float) -> None:
        self._loop = loop
        self._pause = pause
        self._grace = grace
        self._last: Refusal | None = None

    @property
    def reason(self) -> str:
        """What an error message ends with; empty after a success."""
        return f": {self._last.error}" if self._last is not None else ""

    def fresh(self, generation: int) -> Refusal | None:
        """Return the last refusal while it is fresh: no connect for each caller."""
        last = self._last
        if last is None or last.generation != generation or self._loop.time() >= last.until:
            return None
        return last

    def remember(self, error: RedisUnavailableError, generation: int) -> Refusal:
        """Note that an attempt failed with *error*."""
        now, last = self._loop.time(), self._last
        in_a_row = last and last.generation == generation and now < last.until + self._grace
        since = last.since if last and in_a_row else now
        self._last = Refusal(since, now + self._pause, generation, error)
        return self._last

    def forget(self) -> None:
        """A connection was made."""
        self._last = None
