"""What a consumer was asked to do, checked before anything is sent."""

import os
import secrets
import socket
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from redis_manager_fastapi.realtime.items import check_sendable
from redis_manager_fastapi.settings.layers import nearest

MADE = "rm:"
"""Begins the names of consumers that nobody named."""

Start = Literal["0", "$"]


class ConsumerArguments(TypedDict, total=False):
    """What `manager.consume` and `@manager.consumer` take besides streams and group."""

    consumer: str | None
    start: Start
    batch: int
    claim_after: float
    max_deliveries: int | None
    dead_letter: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerOptions:
    """What one member of a group does.

    Attributes:
        streams: The keys of the streams, each once.
        group: The consumer group, which is made where there is none.
        consumer: The member's name; a name of its own for each block if None.
        start: Where a new group begins: "0" at the stream's first entry, "$" after its last.
        batch: How many entries are read at once, at most.
        claim_after: Seconds after which an entry of a consumer that shows no sign of life,
            or one whose body raised, is delivered again.
        max_deliveries: How often an entry is delivered, at most; None without end.
        dead_letter: The stream that takes what was delivered so often; without one it is
            acknowledged.
    """

    streams: tuple[str, ...]
    group: str
    consumer: str | None = None
    start: Start = "0"
    batch: int = 100
    claim_after: float = 60.0
    max_deliveries: int | None = None
    dead_letter: str | None = None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            TypeError, ValueError: One is wrong.
        """
        if not self.streams:
            raise TypeError(
                "consume() needs the key of a stream: consume('orders', group='billing')"
            )
        for stream in self.streams:
            _check_text("a stream", stream)
        if len(set(self.streams)) < len(self.streams):
            raise ValueError(f"each stream may be given once, not {', '.join(self.streams)}")
        _check_text("group", self.group)
        if self.consumer is not None:
            _check_text("consumer", self.consumer)
        if self.start not in ("0", "$"):
            raise ValueError(f"start must be '0' or '$', not {self.start!r}")
        check_count("batch", self.batch)
        if not _is_number(self.claim_after) or not 0.001 <= self.claim_after <= 1e9:
            raise ValueError(
                f"claim_after must be a number of seconds above 0, not {self.claim_after!r}"
            )
        self._check_limit()
        object.__setattr__(self, "name", self.consumer or _made_name())

    def _check_limit(self) -> None:
        if self.max_deliveries is not None:
            check_count("max_deliveries", self.max_deliveries)
        if self.dead_letter is None:
            return
        _check_text("dead_letter", self.dead_letter)
        if self.max_deliveries is None:
            raise ValueError("dead_letter takes what was delivered max_deliveries times; give both")
        if self.dead_letter in self.streams:
            raise ValueError(f"dead_letter {self.dead_letter!r} is one of the streams consumed")


def options_of(streams: tuple[str, ...], group: str, given: ConsumerArguments) -> ConsumerOptions:
    """Return the options of a consumer.

    Raises:
        TypeError, ValueError: One is wrong, or there is none of that name.
    """
    known = ConsumerArguments.__annotations__
    for name in given.keys() - known.keys():
        if name == "concurrency":
            raise TypeError("concurrency is for @manager.consumer, and not for manager.consume")
        meant = nearest(name, known)
        fix = f"write {meant}, the nearest known name" if meant else f"take {', '.join(known)}"
        raise TypeError(f"{name} is not an option of a consumer; {fix}")
    return ConsumerOptions(streams=streams, group=group, **given)


def check_count(name: str, value: Any) -> None:
    """Raise unless *value* is a whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number above 0, not {value!r}")


def _check_text(what: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {value!r}")
    if not value:
        raise ValueError(f"{what} must not be empty")
    check_sendable(what, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _made_name() -> str:
    return f"{MADE}{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
