"""How long a run takes, and the line that shows how far it is."""

import sys
import time
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(slots=True)
class Plan:
    """The size of a run.

    Attributes:
        rounds: How often everything is measured.
        command_seconds: How long each client calls GET in a round.
        http_seconds: How long wrk asks for one route in a round.
        steps: How many measurements the whole run takes.
    """

    rounds: int
    command_seconds: float
    http_seconds: int
    steps: int = 0
    _done: int = 0
    _began: float = field(default_factory=time.monotonic)

    def progress(self, doing: str) -> None:
        """Show on standard error what is measured now."""
        self._done += 1
        elapsed = time.monotonic() - self._began
        line = f"[{self._done}/{self.steps}, {elapsed:.0f} s] {doing}"
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif self._done % 20 == 1:
            print(line, file=sys.stderr, flush=True)


# Many short rounds: a neighbour on the machine then spoils some of them, not the median.
FULL = {"rounds": 15, "command_seconds": 0.25, "http_seconds": 1}
QUICK = {"rounds": 3, "command_seconds": 0.2, "http_seconds": 1}


def rotated(items: list[Item], by: int) -> list[Item]:
    """Return *items* in an order that differs from round to round."""
    start = by % len(items) if items else 0
    return items[start:] + items[:start]
