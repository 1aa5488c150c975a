"""Events as log lines: one for each change of state, one a minute while it stays down."""

import logging
import time

from redis.exceptions import ResponseError

from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.observe.events import Event, ProbeFailed, StateChanged

logger = logging.getLogger("redis_manager_fastapi")

REPEAT = 60.0  # seconds between two lines about the same failing probe


class LogListener:
    """Writes a manager's events to the logger `redis_manager_fastapi`."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}

    def __call__(self, event: Event) -> None:
        """Log *event*, or leave it out when the same was said less than a minute ago."""
        if isinstance(event, ProbeFailed):
            self._probe_failed(event)
        else:
            self._state_changed(event)

    def _state_changed(self, event: StateChanged) -> None:
        if event.state == "down":
            logger.warning("redis %s is down: %s", _who(event), event.reason)
        elif event.state == "ready" and event.previous == "down":
            logger.info("redis %s recovered after %.2f s", _who(event), event.outage)
            self._last.pop(event.node, None)
        else:
            logger.info("redis %s is %s: %s", _who(event), event.state, event.reason)

    def _probe_failed(self, event: ProbeFailed) -> None:
        words = _server_words(event.error)
        reason, now = str(event.error) + (f" ({words!r})" if words else ""), time.monotonic()
        said, at = self._last.get(event.node, ("", 0.0))
        if reason == said and now - at < REPEAT:
            return
        self._last[event.node] = (reason, now)
        if event.attempt == 1 and words:
            logger.info("redis %s said: %s", _who(event), words)
        elif event.attempt > 1:
            logger.warning(
                "redis %s is still down after %d probes: %s",
                _who(event),
                event.attempt,
                reason,
            )


def _server_words(error: BaseException | None) -> str:
    """What the server itself said, which nobody but the log is told."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        replied = isinstance(error, ResponseError) or getattr(error, "status_code", None)
        if replied and not isinstance(error, RedisManagerError):
            return str(error)
        error = error.__cause__
    return ""


def _who(event: Event) -> str:
    """The instance as a log line names it, with the Cluster node if it is one."""
    return f"{event.instance!r} node {event.node}" if event.node else repr(event.instance)
