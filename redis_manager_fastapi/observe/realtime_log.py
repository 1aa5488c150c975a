"""What happens to consumers and workers, as log lines: one a minute for what goes on."""

import logging
import time
from typing import Any

from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.observe.events import EntryDeadLettered, GroupRemade, WorkerFailed

logger = logging.getLogger("redis_manager_fastapi")


class RealTimeLog:
    """Writes the events of consumers and workers.

    Args:
        repeat: Seconds between two lines about the same thing.
    """

    def __init__(self, repeat: float) -> None:
        self._repeats = Repeats(repeat)

    def __call__(self, event: GroupRemade | EntryDeadLettered | WorkerFailed) -> None:
        """Log *event*, or count it when the same was said a moment ago."""
        if isinstance(event, GroupRemade):
            self._group_remade(event)
        elif isinstance(event, EntryDeadLettered):
            self._dead_lettered(event)
        else:
            self._worker_failed(event)

    def _group_remade(self, event: GroupRemade) -> None:
        text = (
            f"redis {event.instance!r}: group {event.group!r} of stream {event.stream!r} was lost"
            f" and is made again; it goes on after {event.start}"
        )
        fields = {"stream": event.stream, "group": event.group, "start": event.start}
        _warn("redis_group_remade", text, event.instance, fields)

    def _dead_lettered(self, event: EntryDeadLettered) -> None:
        # One that no stream takes is found again by its ID alone: each has its line.
        unlogged = self._repeats.unlogged((event.stream, event.group)) if event.dead_letter else 0
        if unlogged is None:
            return
        became = f"moved to {event.dead_letter!r}" if event.dead_letter else "given up"
        text = (
            f"redis {event.instance!r}: entry {event.id} of stream {event.stream!r} was delivered"
            f" {event.deliveries} times to group {event.group!r} and is {became}:"
            f" {event.reason}{_more(unlogged)}"
        )
        fields = {"stream": event.stream, "entry": event.id, "dead_letter": event.dead_letter}
        _warn("redis_entry_dead_lettered", text, event.instance, fields)

    def _worker_failed(self, event: WorkerFailed) -> None:
        outage = isinstance(event.error, RedisManagerError)
        kind = "outage" if outage else type(event.error).__name__
        unlogged = self._repeats.unlogged((event.worker, kind))
        if unlogged is None:
            return
        entry = f" (entry {event.id} of stream {event.stream!r})" if event.id else ""
        text = (
            f"redis {event.instance!r}: {event.worker} raised {type(event.error).__name__}:"
            f" {event.error}{entry}{_more(unlogged)}"
        )
        fields = {"worker": event.worker, "stream": event.stream, "entry": event.id}
        cause = None if outage else event.error
        _warn("redis_worker_failed", text, event.instance, fields, cause)


class Repeats:
    """Leaves out what was said a moment ago, and counts it."""

    def __init__(self, repeat: float) -> None:
        self._repeat = repeat
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def unlogged(self, key: tuple[str, str]) -> int | None:
        """Return how many times were left out since the last line; None to leave out this one."""
        now = time.monotonic()
        at, count = self._said.get(key, (now - self._repeat, 0))
        if now - at < self._repeat:
            self._said[key] = at, count + 1
            return None
        self._said[key] = now, 0
        return count


def _more(unlogged: int) -> str:
    return f" ({unlogged} more before it)" if unlogged else ""


def _warn(
    event: str, text: str, instance: str, fields: dict[str, Any], error: Exception | None = None
) -> None:
    extra = {"event": event, "instance": instance, **fields}
    logger.warning("%s", text, extra=extra, exc_info=error)
