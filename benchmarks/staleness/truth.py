"""What a key was, and when: what the age of a cached value is measured by.

True is what the serving primary answers, not what was ever acknowledged: replication is
asynchronous, so after a fail-over an older value may be true again, and the last ones that the old
primary had acknowledged are lost.  A reader that goes on getting those is behind from then on, as
is one that gets what was overwritten.

Each value is written once, by one writer, so it is true for one span of time, or for two if a
fail-over brought it back; only "missing" has many.

- A span begins as early as can be: when the write was sent, or, at a new primary, when the old one
  was for the last time the only one that was named, or last answered.
- It ends when that is certain: when a newer write was acknowledged, or when the new primary has
  answered after most had named it.
- While nobody serves, the last value is still true, and so is a write that got no answer.

A value's age is the time from the end of its last span to the beginning of the read.  A span that
begins during the read counts as well: such a value came from the server.
"""

from dataclasses import dataclass
from math import inf

Value = str | None


@dataclass(slots=True)
class Span:
    """For how long a value was true, on the monotonic clock."""

    begin: float
    end: float = inf


class Truth:
    """What one key was.

    Attributes:
        settled_at: When that was last known for certain.
    """

    def __init__(self, now: float) -> None:
        self.settled_at = now
        self._spans: dict[Value, list[Span]] = {}
        self._open: dict[Value, Span] = {}
        self.settle(None, now, now)

    def may_be(self, value: Value, since: float) -> None:
        """Note that *value* may be true: it is being written."""
        if value not in self._open:
            self._open[value] = span = Span(since)
            self._spans.setdefault(value, []).append(span)

    def settle(self, value: Value, now: float, since: float) -> None:
        """Note that *value* is true, has perhaps been for a while, and that no other one is."""
        self.may_be(value, since)
        for other, span in self._open.items():
            if other != value:
                span.end = now
        self._open = {value: self._open[value]}
        self.settled_at = now

    def age(self, value: Value, began: float, ended: float) -> float:
        """Return for how long *value* had not been true when a read of it began."""
        spans = reversed(self._spans.get(value, ()))
        return next((max(0.0, began - each.end) for each in spans if each.begin <= ended), inf)
