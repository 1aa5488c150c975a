"""A blocking command in parts, so that a server which does not answer is told from an empty list.

A part that ends with nothing has taken nothing, so the next one may follow it.  What it costs
is the place in the queue: of those who block on one key the server serves the one whose
present part is the oldest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any


def upper_word(value: Any) -> str:
    """Return a command's or an option's name in upper case, as the tables spell it."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value).decode(errors="replace")
    return str(value).upper()


def _last_argument(args: tuple[Any, ...]) -> float:
    return float(args[-1])


def _first_argument(args: tuple[Any, ...]) -> float:
    return float(args[1])


def _fifth_argument(args: tuple[Any, ...]) -> float:
    return float(args[5])


def _last_argument_in_milliseconds(args: tuple[Any, ...]) -> float:
    return float(args[-1]) / 1000


def _block_option(args: tuple[Any, ...]) -> float | None:
    index = 1
    while index < len(args) and (option := upper_word(args[index])) != "STREAMS":
        if option == "BLOCK":
            return float(args[index + 1]) / 1000
        index += 3 if option == "GROUP" else 1  # a group, or its consumer, may have any name
    return None


# How long each blocking command asks the server to hold it, in seconds; 0 is for
# ever, None is not at all.  Redis documents the units: XREAD, WAIT and WAITAOF
# take milliseconds, the others seconds.
BLOCKING: dict[str, Callable[[tuple[Any, ...]], float | None]] = {
    "BLPOP": _last_argument,
    "BRPOP": _last_argument,
    "BRPOPLPUSH": _last_argument,
    "BLMOVE": _last_argument,
    "BLMOVEM": _fifth_argument,
    "BZPOPMIN": _last_argument,
    "BZPOPMAX": _last_argument,
    "BLMPOP": _first_argument,
    "BZMPOP": _first_argument,
    "XREAD": _block_option,
    "XREADGROUP": _block_option,
    "WAIT": _last_argument_in_milliseconds,
    "WAITAOF": _last_argument_in_milliseconds,
}


def blocking_timeout(args: tuple[Any, ...]) -> float | None:
    """Return how long a command asks to block, in seconds: 0 is for ever, None is not at all.

    A time that a server refuses, such as one below 0, is None as well.
    """
    rule = BLOCKING.get(upper_word(args[0]))
    if rule is None:
        return None
    try:
        seconds = rule(args)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return seconds if seconds is not None and seconds >= 0 else None  # NaN is not


CONFIRMING = frozenset({"WAIT", "WAITAOF"})
"""What blocks for the sake of what was written, and not until others do something."""

_IN_MILLISECONDS = frozenset({"XREAD", "XREADGROUP", "WAIT", "WAITAOF"})
_INDEX = {"BLMPOP": 1, "BZMPOP": 1, "BLMOVEM": 5}

# A reply that comes earlier (seconds) than its part ends was not brought by the part's end.
EARLY = 0.01

# How a server before Redis 6.0 refuses a part that is no whole number of seconds.
_NOT_WHOLE = "timeout is not an integer"

# Seconds; a server refuses some longer ones, and should get to see them.
_LONGEST = 1e9


@dataclass(slots=True)
class Wait:
    """A blocking command on its way.

    Attributes:
        name: The command's, in upper case.
        args: The command as its caller gave it.
        ends: When the caller's own time is up, on the loop's clock; `inf` is never.
        part: How long one part lasts, in seconds.
        part_ends: When the present one does, on the loop's clock.
        whole: Whether the server takes whole seconds only.
    """

    name: str
    args: tuple[Any, ...]
    ends: float
    part: float
    part_ends: float = 0.0
    whole: bool = False

    def next(self, now: float) -> tuple[Any, ...]:
        """Return the command for its next part, which begins now."""
        left = self.ends - now
        if not self.part_ends and left <= self.part:
            self.part_ends = self.ends
            return self.args
        if self.name in _IN_MILLISECONDS:
            seconds = max(min(left, self.part), 0.001)
            word: Any = max(1, round(seconds * 1000))
        elif self.whole:
            seconds = word = 1 if left >= 2 else max(1, round(left))
        else:
            seconds = max(min(left, self.part), 0.001)
            word = f"{seconds:.3f}"
        self.part_ends = now + seconds
        return with_time(self.args, word)

    def must_be_whole(self, error: str) -> bool:
        """Whether the server refused the part because of its fraction; then it has none any more.

        A fraction of the caller's own is for the caller to hear of.
        """
        own = blocking_timeout(self.args) or 0.0
        refused = not self.whole and _NOT_WHOLE in error and own.is_integer()
        self.whole = self.whole or refused
        return refused

    def goes_on(self, reply: Any, now: float) -> bool:
        """Whether another part follows *reply*, with which one ended: nothing, and time is left."""
        least = 0.5 if self.whole and self.name not in _IN_MILLISECONDS else 0.001
        return self.ends - now >= least and not self._is_answer(reply)

    def _is_answer(self, reply: Any) -> bool:
        if self.name == "WAIT":
            return int(reply) >= int(self.args[1])
        if self.name == "WAITAOF":
            return all(
                int(got) >= int(asked) for got, asked in zip(reply, self.args[1:], strict=False)
            )
        return reply is not None and reply != {}


def begin(
    name: str, args: tuple[Any, ...], now: float, part: float, *, whole: bool
) -> tuple[Wait, tuple[Any, ...]] | None:
    """Return a blocking command, and its first part; None if it does not block.

    None also for XREAD from `$`: what came between two parts would be skipped.
    """
    seconds = blocking_timeout(args)
    if seconds is None or not 0 <= seconds <= _LONGEST or (name == "XREAD" and new_only(args)):
        return None
    wait = Wait(name, args, now + (seconds or inf), part, whole=whole)
    return wait, wait.next(now)


def with_time(args: tuple[Any, ...], word: Any) -> tuple[Any, ...]:
    """Return a blocking command with *word* as its time."""
    name = upper_word(args[0])
    index = _block_index(args) if name.startswith("XREAD") else _INDEX.get(name, len(args) - 1)
    return (*args[:index], word, *args[index + 1 :])


def with_time_left(args: tuple[Any, ...], left: float) -> tuple[Any, ...]:
    """Return a blocking command that lasts for *left* seconds, a moment at least, if not for ever.

    Whole seconds stay whole: before Redis 6.0 a server takes no others.
    """
    own = blocking_timeout(args)
    if not own:
        return args
    if upper_word(args[0]) in _IN_MILLISECONDS:
        return with_time(args, max(1, round(left * 1000)))
    return with_time(args, max(1, round(left)) if own.is_integer() else f"{max(left, 0.01):.3f}")


def new_only(args: tuple[Any, ...]) -> list[int]:
    """Return where XREAD, if it blocks, says `$`: what is new from the moment it is executed."""
    if upper_word(args[0]) != "XREAD" or blocking_timeout(args) is None:
        return []
    first = streams_index(args) + 1
    half = first + (len(args) - first) // 2
    return [index for index in range(half, len(args)) if args[index] in ("$", b"$")]


def stream_of(args: tuple[Any, ...], index: int) -> Any:
    """Return the stream whose id stands at *index*."""
    first = streams_index(args) + 1
    return args[index - (len(args) - first) // 2]


def streams_index(args: tuple[Any, ...]) -> int:
    """Return where the option STREAMS is; a group, or its consumer, may have that name."""
    index = 1
    while upper_word(args[index]) != "STREAMS":
        index += 3 if upper_word(args[index]) == "GROUP" else 1
    return index


def _block_index(args: tuple[Any, ...]) -> int:
    index = 1
    while upper_word(args[index]) != "BLOCK":
        index += 3 if upper_word(args[index]) == "GROUP" else 1
    return index + 1
