"""Whether what visitors were told fits what Redis has counted; no I/O.

A hit has a number, which its visitor is told: what the counter stands at after it.  So a number
that two visitors were told, or that is above what Redis has counted, is of a hit that Redis
has forgotten.  A number that nobody was told is of a hit whose answer was lost on its way, or
of one that was counted twice.
"""

import time
from typing import Any, NamedTuple

# How many numbers that nobody was told are looked at, if somebody else moves the counter far.
_MOST = 10_000


class Asked(NamedTuple):
    """What visitors had been told of when Redis was asked what it has counted.

    Attributes:
        told: How many hits.
        highest: The highest number of one.
    """

    told: int
    highest: int


class Tally:
    """What visitors were told of their hits.

    Attributes:
        told: How many hits visitors were told of.
        unsure: How many visitors were told that theirs may have been counted.
    """

    def __init__(self) -> None:
        self.told = self.unsure = 0
        self._highest = self._known = 0
        self._untold: dict[int, float] = {}
        self._again = 0

    def note(self, number: int) -> None:
        """Note the number that a visitor was told."""
        self.told += 1
        self._highest = max(self._highest, number)
        if number > self._known:
            self._learn(number - 1)
            self._known = number
        elif self._untold.pop(number, None) is None:
            self._again += 1

    def ask(self) -> Asked:
        """Return what to compare an answer with; call it before Redis is asked."""
        return Asked(self.told, self._highest)

    def compare(self, counted: int, asked: Asked, *, since: float) -> dict[str, Any]:
        """Return how it fits what Redis has *counted*.

        Args:
            counted: What the counter stood at.
            asked: What visitors had been told of by then.
            since: When the oldest visit that is not answered yet began, on the monotonic clock.

        Returns:
            counted: The same.
            told: How many hits visitors had been told of.
            untold: How many of the counted hits no visitor was told of, or will be.
            lost: How many hits that visitors were told of are not counted any more.
            coming: How many of the counted hits visitors had yet to be told of.
        """
        self._learn(counted)
        untold = sum(number <= counted and at < since for number, at in self._untold.items())
        above = max(0, asked.highest - counted)
        above -= sum(counted < number <= asked.highest for number in self._untold)
        lost = self._again + max(0, above)
        coming = max(0, counted - asked.told - untold + lost)
        found = {"counted": counted, "told": asked.told, "untold": untold}
        return {**found, "lost": lost, "coming": coming}

    def _learn(self, last: int) -> None:
        """Note that the counter has stood at *last*: its number, and those below, were given."""
        now = time.monotonic()
        first = max(self._known + 1, last + 1 - _MOST)
        self._untold |= dict.fromkeys(range(first, last + 1), now)
        self._known = max(self._known, last)
