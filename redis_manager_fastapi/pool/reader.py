"""Reading RESP3, in which a reply may be one that Python has no value for.

A script may answer with a map whose key is an array.  hiredis 3.5 raises in the middle of
such a reply, and can read nothing after it: every other caller of a shared
connection would pay for it.  So what was fed since a reply last ended with its bytes is
kept, the reply is passed over, and a new reader goes on behind it.
"""

from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError

# No more bytes than this are kept, however long replies and reads do not end together.
_MOST_KEPT = 1024 * 1024


class UnhashableReplyError(ResponseError):
    """A reply has a map with a key that Python cannot hash."""


class TolerantReader:
    """A `hiredis.Reader`, but for replies with unhashable keys: they are errors as values.

    Args:
        make: Makes a `hiredis.Reader`.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._reader = make, make()
        self._incomplete = self._reader.gets()
        self._kept: list[bytes] | None = []
        self._size = self._read = 0
        self._broken = False

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if self._kept is not None:
            self._kept.append(data)
            self._size += len(data)
            if self._size > _MOST_KEPT and not self._broken:
                self._kept = None
        if not self._broken:
            self._reader.feed(data)

    def has_data(self) -> bool:
        """Whether a reply has begun and is not complete."""
        return self._broken or bool(self._reader.has_data())

    def gets(self, *decode: bool) -> Any:
        """Return the next reply, or what a `hiredis.Reader` returns when none is complete."""
        if self._broken:
            return self._pass_over()
        try:
            reply = self._reader.gets(*decode)
        except UnicodeDecodeError:
            self._count()
            raise
        except TypeError:
            if self._kept is None:
                raise
            self._broken = True
            return self._pass_over()
        if reply is not self._incomplete:
            self._count()
        return reply

    def _count(self) -> None:
        """Note that a reply was read; forget it if nothing has come after it."""
        self._read += 1
        if not self._reader.has_data():
            self._kept, self._size, self._read = [], 0, 0

    def _pass_over(self) -> Any:
        """Go on behind the reply that cannot be read, once all of it is there."""
        data, start = b"".join(self._kept or ()), 0
        for _ in range(self._read):
            start = end_of_reply(data, start)
        end = end_of_reply(data, start)
        if end < 0:
            self._kept, self._read = [data[start:]], 0
            return self._incomplete
        self._reader, self._broken = self._make(), False
        self._kept, self._size, self._read = [], 0, 0
        if end < len(data):
            self.feed(data[end:])
        return UnhashableReplyError("the reply has a map with a key that is a collection")


def end_of_reply(data: bytes | bytearray, start: int) -> int:
    """Return where the reply ends that begins at *start*; -1 if it is not complete."""
    left = 1
    while left:
        line = data.find(b"\r\n", start)
        if line < 0:
            return -1
        kind, size = data[start : start + 1], data[start + 1 : line]
        start, left = line + 2, left - 1
        if kind in b"$=!":
            start += int(size) + 2 if size != b"-1" else 0
            if start > len(data):
                return -1
        elif kind in b"*~>":
            left += max(int(size), 0)
        elif kind == b"%":
            left += 2 * int(size)
        elif kind == b"|":  # attributes, and then the reply that has them
            left += 2 * int(size) + 1
    return start
