"""`ping` and `wait`: through a manager, as the app would."""

import sys
import time
from statistics import median
from typing import Any

from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.network import milliseconds
from redis_manager_fastapi.cli.output import say, say_json
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.observe.events import Event, ProbeFailed
from redis_manager_fastapi.settings import RedisSettings, StartupSettings


def starting(chosen: Chosen, policy: Any, timeout: float) -> RedisSettings:
    """Return the settings with another start-up policy."""
    startup = StartupSettings(policy=policy, timeout=timeout)
    return chosen.settings.model_copy(update={"startup": startup})


async def ping(chosen: Chosen, count: int, *, as_json: bool) -> None:
    """Connect once, and send PING *count* times.

    Raises:
        RedisManagerError: There was no connection, or no answer.
    """
    settings = starting(chosen, "fail", chosen.settings.timeout.connect)
    async with RedisManager(settings, name=chosen.name) as manager:
        took = []
        for _ in range(count):
            begun = time.perf_counter()
            await manager.redis.ping()
            took.append(time.perf_counter() - begun)
    typical, worst = median(took), max(took)
    if as_json:
        numbers = {"pings": count, "median": round(typical, 6), "worst": round(worst, 6)}
        say_json({"ok": True, "exit_code": 0, "place": chosen.place, **numbers})
    elif count == 1:
        say(f"PONG from {chosen.place} in {milliseconds(typical)}")
    else:
        times = f"median {milliseconds(typical)}, worst {milliseconds(worst)}"
        say(f"PONG from {chosen.place}, {count} times: {times}")


class Reasons:
    """Tells why there is no connection yet, each time that the reason is another one.

    Args:
        tell: Whether anybody wants to read it.
    """

    def __init__(self, *, tell: bool) -> None:
        self._tell = tell
        self._begun = time.monotonic()
        self._last = ""

    def __call__(self, event: Event) -> None:
        """Hear an event of the manager's."""
        if not isinstance(event, ProbeFailed) or str(event.error) == self._last:
            return
        self._last = str(event.error)
        if self._tell:
            waited = time.monotonic() - self._begun
            say(f"waiting ({waited:.1f} s): {self._last}", error=True)
            sys.stderr.flush()


async def wait(chosen: Chosen, timeout: float, *, as_json: bool) -> None:
    """Wait until commands can be sent.

    Raises:
        RedisManagerError: They still cannot after *timeout* seconds.
    """
    begun = time.monotonic()
    settings = starting(chosen, "wait", timeout)
    listeners = (Reasons(tell=not as_json),)
    async with RedisManager(settings, name=chosen.name, listeners=listeners):
        took = time.monotonic() - begun
    if as_json:
        say_json({"ok": True, "exit_code": 0, "place": chosen.place, "seconds": round(took, 3)})
    else:
        say(f"ready after {took:.1f} s: {chosen.place}")
