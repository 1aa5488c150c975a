"""What a pool counts, for as long as its manager lives: over outages, and over each opening.

`Counters` is one plain object for each server, whose attributes whoever sees something
happen raises in place: on the way of every command a call would cost more than the count.
Nothing here reads a clock.  `Counts` is what `stats()` shows of it.
"""

import logging
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import AskError, ResponseError, TryAgainError

from redis_manager_fastapi.errors import RedisManagerError, RedisOutageError
from redis_manager_fastapi.topology.failures import code_of

logger = logging.getLogger("redis_manager_fastapi")

Observer = Callable[[float, int], object]

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of a latency histogram's buckets, in seconds; beyond the last is one more.

uvloop's clock, by which commands are timed, has steps of a millisecond."""

OTHER = "other"
"""In the place of an error's code that does not look like one, or is one too many."""

# A script may invent as many codes as it likes.
_MOST_CODES = 50

# Noted on an error that has been counted: one error may pass several clients on its way.
_COUNTED = "counted_by_redis_manager"


@dataclass(frozen=True, slots=True)
class Latency:
    """How long commands took from the call, or on a dedicated connection from the sending.

    It is taken once for each batch of replies that arrive together, from the oldest of their
    commands.  A pipeline counts as one, and commands that block on purpose are left out.

    Attributes:
        buckets: How many took no longer than the bound of `BOUNDS` in the same place, and
            longer than the one before; the last is of those that took longer than all.
        total: Their seconds, all together.
    """

    buckets: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    total: float = 0.0

    @property
    def count(self) -> int:
        """How many were timed."""
        return sum(self.buckets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What has been counted since the manager was made; none of it ever goes down.

    Attributes:
        commands: Commands of the app's that were answered, errors included; each one of a
            pipeline counts.
        errors: How many errors callers met, by code: `RedisManagerError.code`, or the first
            word of the server's (`WRONGTYPE`).  Beyond 50 codes, and for what does not look
            like one, the code is "other".
        retried: Attempts after a command's first, as the outage contract allows them.
        lost: Commands that were sent and whose reply was lost, so that they may have run.
        waited: Callers that waited in an outage, within grace.
        refused: Callers that were refused, because grace was over.
        grace_longest: The most of grace, in seconds, that an outage has used up; those that
            no caller met are left out.
        bytes_sent: Bytes of commands handed to sockets.
        bytes_received: Bytes of replies and messages.
        latency: How long commands took.
        connects: Attempts to connect, probes included.
        resubscribed: How often redis-py's pub/sub objects were subscribed again, each
            after its connection was lost.
        missed: Seconds for which they heard nothing then, all together.
    """

    commands: int = 0
    errors: dict[str, int] = field(default_factory=dict, hash=False)
    retried: int = 0
    lost: int = 0
    waited: int = 0
    refused: int = 0
    grace_longest: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0
    latency: Latency = Latency()
    connects: int = 0
    resubscribed: int = 0
    missed: float = 0.0


_ADDED = (
    *("commands", "retried", "lost", "waited", "refused", "bytes_sent", "bytes_received"),
    *("seconds", "connects", "resubscribed", "missed"),
)


class Held:
    """A block within which outages are counted only if their error leaves it.

    Something else may be handed to the caller in the error's place.
    """

    def __init__(self) -> None:
        self._noted: list[tuple[Counters, BaseException | None]] | None = []
        self._outer: Held | None = None

    def __enter__(self) -> None:
        self._outer = _held()
        _HELD.set(self)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        _HELD.set(self._outer)
        noted, self._noted = self._noted or (), None  # a task begun within may go on for ever
        for counters, each in noted:
            if each is None and error is not None:
                counters.refuse()
            elif each is not None and each is error:
                counters.failed(each)

    def takes(self, counters: "Counters", error: BaseException | None) -> bool:
        """Take note of an error, or of a refusal if it is None; return whether it did."""
        if self._noted is None or not (error is None or isinstance(error, RedisOutageError)):
            return False
        self._noted.append((counters, error))
        return True


_HELD: ContextVar[Held | None] = ContextVar("redis_held_counts", default=None)

_held = _HELD.get


class Counters:
    """The counters of one server, or of a Cluster itself; `Counts` explains them.

    Attributes:
        buckets: The latency histogram, as `Latency.buckets`.
        seconds: Its sum.
        observe: Called with the seconds and the number of each batch of commands that goes
            into the histogram, if somebody wants to know.
    """

    __slots__ = ("buckets", "errors", "grace_longest", "observe", *_ADDED)

    def __init__(self) -> None:
        self.commands = self.retried = self.lost = self.waited = self.refused = 0
        self.bytes_sent = self.bytes_received = self.connects = self.resubscribed = 0
        self.grace_longest = self.missed = self.seconds = 0.0
        self.errors: dict[str, int] = {}
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.observe: Observer | None = None

    def observe_also(self, observe: Observer, instance: str) -> None:
        """Have *observe* called as well, until it raises; *instance* is the manager's name."""
        first, works = self.observe, True

        def call(seconds: float, count: int) -> None:
            nonlocal works
            if first is not None:
                first(seconds, count)
            if works:
                try:
                    observe(seconds, count)
                except Exception:
                    works = False
                    logger.exception(
                        "redis %r: what observes the time of commands failed, and is left out",
                        instance,
                        extra={"event": "redis_listener_failed", "instance": instance},
                    )

        self.observe = call

    def failed(self, error: BaseException) -> None:
        """Count an error that a caller meets, once, whichever way it goes.

        Redirects are followed, and other exceptions are about what the caller does.
        """
        if isinstance(error, AskError | TryAgainError) or _COUNTED in error.__dict__:
            return
        held = _held()
        if held is not None and held.takes(self, error):
            return
        if isinstance(error, RedisManagerError):
            code = error.code
        elif isinstance(error, ResponseError):
            code = code_of(error) or OTHER
        else:
            return
        setattr(error, _COUNTED, True)
        if code not in self.errors and len(self.errors) >= _MOST_CODES:
            code = OTHER
        self.errors[code] = self.errors.get(code, 0) + 1

    def refuse(self) -> None:
        """Count a caller that is refused, because grace is over."""
        held = _held()
        if held is None or not held.takes(self, None):
            self.refused += 1

    def gave_up(self, error: Exception, *, lost: bool) -> None:
        """Count what a command ends with that was sent; *lost* if its reply was."""
        self.lost += lost
        self.failed(error)

    def add(self, other: "Counters") -> None:
        """Add what *other* has counted."""
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.grace_longest = max(self.grace_longest, other.grace_longest)
        self.buckets = [mine + its for mine, its in zip(self.buckets, other.buckets, strict=True)]
        for code, count in other.errors.items():
            self.errors[code] = self.errors.get(code, 0) + count

    def fields(self) -> dict[str, Any]:
        """Return the fields of `Counts`, as they are now."""
        fields = {name: getattr(self, name) for name in _ADDED if name != "seconds"}
        latency = Latency(tuple(self.buckets), self.seconds)
        return {
            **fields,
            "errors": dict(self.errors),
            "grace_longest": self.grace_longest,
            "latency": latency,
        }


def added(counters: Iterable[Counters]) -> Counters:
    """Return the sums of all *counters*."""
    total = Counters()
    for each in counters:
        total.add(each)
    return total
