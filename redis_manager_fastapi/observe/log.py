"""Events as log lines: one for each change of state, one a minute while it stays down."""

import logging
import time

from redis_manager_fastapi.observe.events import Event, ProbeFailed, StateChanged

logger = logging.getLogger("redis_manager_fastapi")

REPEAT = 60.0  # seconds between two lines about the same failing probe


class LogListener:
    """Writes a manager's events to the logger `redis_manager_fastapi`."""

    def __init__(self) -> None:
        self._last: tuple[str, float] = ("", 0.0)

    def __call__(self, event: Event) -> None:
        """Log *event*, or leave it out when the same was said less than a minute ago."""
        if isinstance(event, ProbeFailed):
            self._probe_failed(event)
        else:
            self._state_changed(event)

    def _state_changed(self, event: StateChanged) -> None:
        if event.state == "down":
            logger.warning("redis %r is down: %s", event.instance, event.reason)
        elif event.state == "ready" and event.previous == "down":
            logger.info("redis %r recovered after %.2f s", event.instance, event.outage)
            self._last = ("", 0.0)
        else:
            logger.info("redis %r is %s: %s", event.instance, event.state, event.reason)

    def _probe_failed(self, event: ProbeFailed) -> None:
        reason, now = str(event.error), time.monotonic()
        said, at = self._last
        if reason == said and now - at < REPEAT:
            return
        self._last = (reason, now)
        if event.attempt > 1:
            logger.warning(
                "redis %r still does not serve after %d probes: %s",
                event.instance,
                event.attempt,
                reason,
            )
