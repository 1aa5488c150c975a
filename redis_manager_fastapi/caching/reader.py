"""Reading a tracked connection: RESP3 for its pushes, and replies as the other lane has them.

Everything is read as bytes: a key in a push need not be UTF-8.  Where the client speaks RESP2,
what RESP3 has beyond that (doubles, maps, sets) is written back into the form that the same
server gives a RESP2 client, and read again: a double's own text is not known once it is a float.
"""

from collections.abc import Callable
from typing import Any

import hiredis

from redis_manager_fastapi.commands.cached import SCORED
from redis_manager_fastapi.pool.reader import end_of_reply

_PUSH = hiredis.PushNotification

_BEYOND = frozenset({bool, dict, float, set})
_SIMPLE = frozenset({bytes, str, int, type(None)})

# No more bytes than this are kept before what was read of them is let go.
_MOST_KEPT = 1024 * 1024


class LaneReader:
    """A `hiredis.Reader` for bytes, which gives replies in the form of RESP2 if asked to.

    Args:
        make: Makes a `hiredis.Reader`.
        plain: Whether that is asked for.
    """

    def __init__(self, make: Callable[[], Any], *, plain: bool) -> None:
        reader = make()
        self._make, self._plain = make, plain
        self._feed, self._gets = reader.feed, reader.gets
        self.has_data: Callable[[], bool] = reader.has_data
        """Whether a reply has begun and is not complete, or there are more."""
        self._incomplete = reader.gets(False)
        self._kept = bytearray()
        self._read = 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if self._plain:
            self._kept += data
        self._feed(data)

    def gets(self, _: bool = False) -> Any:
        """Return the next reply or push, or what a `hiredis.Reader` returns when none is there."""
        reply = self._gets(False)
        if not self._plain or reply is self._incomplete:
            return reply
        kind = type(reply)
        if kind not in _SIMPLE and kind is not _PUSH and _goes_beyond(reply):
            self._let_go()
            end = end_of_reply(self._kept, 0)
            reader = self._make()
            reader.feed(as_resp2(bytes(self._kept[:end])))
            reply = reader.gets(False)
        self._read += 1
        if not self.has_data():
            self._kept.clear()
            self._read = 0
        elif len(self._kept) > _MOST_KEPT:
            self._let_go()
        return reply

    def _let_go(self) -> None:
        """Forget the bytes of what was read before."""
        start = 0
        for _ in range(self._read):
            start = end_of_reply(self._kept, start)
        del self._kept[:start]
        self._read = 0


def _goes_beyond(reply: Any) -> bool:
    kind = type(reply)
    if kind is not list:
        return kind in _BEYOND
    kinds = set(map(type, reply))
    if kinds <= _SIMPLE:
        return False
    return bool(kinds & _BEYOND) or any(_goes_beyond(each) for each in reply)


def as_resp2(data: bytes) -> bytes:
    """Return one reply of RESP3 in RESP2: a double as its text, a map or a set as an array."""
    parts: list[bytes] = []
    start = 0
    while start < len(data):
        line = data.index(b"\r\n", start)
        kind, text, end = data[start : start + 1], data[start + 1 : line], line + 2
        if kind in b"$=" and text != b"-1":
            end += int(text) + 2
            parts.append(data[start:end])
        elif kind == b",":
            parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
        elif kind == b"%":
            parts.append(b"*%d\r\n" % (2 * int(text)))
        elif kind == b"~":
            parts.append(b"*%b\r\n" % text)
        elif kind == b"#":
            parts.append(b":%d\r\n" % (text == b"t"))
        elif kind == b"_":
            parts.append(b"$-1\r\n")
        else:
            parts.append(data[start:end])
        start = end
    return b"".join(parts)


def unpaired(name: str, reply: Any) -> Any:
    """Return members and scores one after the other, as RESP2 has them."""
    if name in SCORED and type(reply) is list and reply and type(reply[0]) is list:
        return [each for pair in reply for each in pair]
    return reply
