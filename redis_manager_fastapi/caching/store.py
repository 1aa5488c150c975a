"""The replies that a process keeps: which are known, which are on their way, which are let go.

Nothing here does I/O or looks at a clock.  A read is *pending* from its submission, its reply
is *kept* once it was matched, and *dropped* when its key may have changed.  It is
served only while its `Life`, one tracked connection's, goes on.

What is kept is a plain tuple of plain values: to Python's garbage collector these are no
containers, so a large cache does not make its runs longer, nor a miss make them more frequent.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from sys import getsizeof
from typing import Any, Final

from redis_manager_fastapi.caching.values import PLAIN, size_of
from redis_manager_fastapi.pool.request import Request

# No single value takes more than this part of all the room.
_LARGEST = 16

# What a reply takes beside its value and its command: the tuple itself, and its places in the
# table, in the index by key, and in the queue.
_FIXED = 350

# What a text takes beside its characters.
_TEXT = getsizeof("")

# How many bytes a command takes here, with its keys, for each that it takes on the wire.
_SPREAD = 4

# What each further key takes: itself, and its part of the index, which holds a set where several
# reads share a key.
_KEY = 150

# How many replies get a second chance before one is evicted all the same.
_CHANCES = 16

# Makes the byte that says whether a reply was read since: in half the time of `bytearray(1)`.
_unread = bytearray(1).copy

# How many replies of an ended life are given up at once.
_SLICE = 500


class Life:
    """One tracked connection, from its handshake to its loss: as long, its replies are true.

    Attributes:
        number: What stands for it in what is kept.
        fresh_until: Until when its replies are served, on the loop's clock, unless the server
            answers another heartbeat meanwhile.
        confirmed_at: When the last heartbeat left that was answered: what had changed
            by then has been told.
        void_since: What was asked for from then on is not even the last known value any more.
        clock: The loop's.
        thread: The loop's.
        window: Seconds that a heartbeat proves.
        place: What the replies are asked from: a node of a Cluster; None for one server.
    """

    __slots__ = (
        *(
            "clock",
            "confirmed_at",
            "fresh_until",
            "number",
            "place",
            "thread",
            "void_since",
            "window",
        ),
    )

    def __init__(
        self,
        number: int,
        clock: Callable[[], float],
        thread: int,
        window: float,
        place: object = None,
    ) -> None:
        self.number = number
        self.clock, self.thread, self.window, self.place = clock, thread, window, place
        self.void_since = math.inf
        self.confirmed_at = clock()
        self.fresh_until = self.confirmed_at + window

    @property
    def goes_on(self) -> bool:
        """Whether its connection still tells what changes."""
        return self.fresh_until > -math.inf

    def confirm(self, at: float) -> None:
        """What had changed by *at* has been told."""
        if self.goes_on and at > self.confirmed_at:
            self.confirmed_at, self.fresh_until = at, at + self.window

    def end(self, *, void: bool = False) -> None:
        """Serve nothing of it any more; *void* is for what is known to be wrong."""
        self.fresh_until = -math.inf
        if void:
            self.void_since = -math.inf

    def doubt(self) -> None:
        """Its replies were out of step, at some time since the last heartbeat that was answered."""
        self.end()
        self.void_since = min(self.void_since, self.confirmed_at)


Spot = tuple[int, Any]
"""Where a read is found: the number of its table, and its place in that.

Each read has a tuple of its own, which tells its reply from that to a later read.
"""

Keys = bytes | tuple[bytes, ...]
"""The key that a command reads, or all of them if there are several."""

Kept = tuple[Any, float, float, int, bool, bytearray, int, Spot, Keys]
"""A reply that is known.

Its value; when it was asked for, on the loop's clock; when a key of it expires, if that was asked
for; the number of its life; whether everybody may have the same object; a byte
that is 1 if it was read since it was last considered for eviction; bytes that it takes; where it
is found; its keys.
"""

LIFE: Final = 3
"""Where a `Kept` has the number of its life."""

_USED: Final = 5
_SIZE: Final = 6
_SPOT: Final = 7
_KEYS: Final = 8


class Pending(Request):
    """A read that is on its way; `Store.begin` sets the last three.

    Attributes:
        spot: Where it is found.
        keys: What it reads.
        life: What keeps its reply true.
        until: When a key of it expires, if that was asked for.
        strict: Whether a change ends it although its reply has not come.
        last: What was known before, in case that no reply comes.
    """

    __slots__ = (
        *("began", "deadline", "future", "packed"),
        *("keys", "last", "life", "spot", "strict", "until"),
    )

    decodes, read_only = False, True

    spot: Spot
    keys: Keys
    life: Life
    until: float
    strict: bool
    last: Kept | None


Table = dict[Any, Kept | Pending]


class Store:
    """All replies of a deployment, by command and by key.

    Args:
        max_bytes: How many bytes the kept ones may take.

    Attributes:
        tables: Replies by command: as bytes and decoded, and of each those that do not know
            and that know when their keys expire. The number of `tables[a][b]` is 2a + b.
        lives: What is served, and what was not yet let go, by number.
        bytes: What the kept ones take.
        entries: How many replies are kept.
        hits, misses, joined, stale: Reads that were answered, that asked the server, that
            waited for another one's reply, and that got a last known value.
        invalidations, evictions: Replies that were dropped for a change, and for want of room.
    """

    def __init__(self, max_bytes: int) -> None:
        self.tables: tuple[tuple[Table, Table], tuple[Table, Table]] = (({}, {}), ({}, {}))
        self.lives: dict[int, Life] = {}
        self.bytes = self.entries = self.hits = self.misses = self.joined = self.stale = 0
        self.invalidations = self.evictions = 0
        self._max_bytes = max_bytes
        self._tables = (*self.tables[False], *self.tables[True])
        self._by_key: dict[bytes, Spot | set[Spot]] = {}
        self._queue: deque[Spot] = deque()
        self._numbers = 0

    @property
    def queued(self) -> int:
        """How many places a sweep looks at."""
        return len(self._queue)

    def begin_life(
        self, clock: Callable[[], float], thread: int, window: float, place: object = None
    ) -> Life:
        """Return the life of a connection that begins to serve."""
        self._numbers += 1
        life = self.lives[self._numbers] = Life(self._numbers, clock, thread, window, place)
        return life

    def begin(self, read: Pending, old: Kept | Pending | None, *, remember: bool) -> None:
        """Enter a read that is being submitted, in the place of what is there: *old*.

        *remember* keeps that for the case that no reply comes.
        """
        spot, keys = read.spot, read.keys
        read.until, read.strict, read.last = math.inf, False, None
        self._tables[spot[0]][spot[1]] = read
        if old is not None:  # its keys are the same, and lead here already
            if not isinstance(old, Pending):
                self._let_go(old)
            if remember:
                read.last = old.last if isinstance(old, Pending) else old
        elif isinstance(keys, bytes):
            if self._by_key.setdefault(keys, spot) is not spot:
                self._index(keys, spot)
        else:
            for key in keys:
                self._index(key, spot)

    def keep(self, read: Pending, value: Any) -> None:
        """Keep the reply of a pending read, unless a key of it may have changed."""
        spot, keys, life = read.spot, read.keys, read.life
        table, place = self._tables[spot[0]], spot[1]
        if table.get(place) is not read:
            return
        size = _FIXED + _SPREAD * len(read.packed)
        plain = (kind := type(value)) in PLAIN
        if kind is bytes or (kind is str and value.isascii()):
            size += len(value) + _TEXT  # as `size_of`, in less time
        else:
            size += size_of(value)
        if not isinstance(keys, bytes):
            size += _KEY * (len(keys) - 1)
        if life.fresh_until == -math.inf or size > self._max_bytes // _LARGEST:
            self._drop(spot, keys)
            return
        # fmt: off
        table[place] = (
            value, read.began, read.until, life.number, plain, _unread(), size, spot, keys,
        )
        # fmt: on
        self._queue.append(spot)
        self.entries += 1
        self.bytes += size
        if self.bytes > self._max_bytes:
            self._evict()

    def fail(self, read: Pending) -> None:
        """Have what was known before in the place of a read whose reply does not come."""
        spot, last = read.spot, read.last
        table, place = self._tables[spot[0]], spot[1]
        if table.get(place) is not read:
            return
        if last is None or last[LIFE] not in self.lives:
            self._drop(spot, read.keys)
            return
        table[place] = (*last[:_SPOT], spot, read.keys)
        self._queue.append(spot)
        self.entries += 1
        self.bytes += last[_SIZE]

    def changed(self, key: bytes) -> None:
        """Drop what was read from *key*: the server says that it has changed.

        What is still pending is younger than that.
        """
        for spot in self._read_from(key):
            found = self._tables[spot[0]][spot[1]]
            if isinstance(found, Pending):
                found.last = None
                if not found.strict:
                    continue
            self.invalidations += 1
            self._take_out(spot)

    def wrote(self, keys: Iterable[bytes]) -> None:
        """Drop what was read from *keys*, and keep nothing that is on its way: they are written."""
        by_key = self._by_key
        for key in keys:
            if key in by_key:
                for spot in self._read_from(key):
                    self._take_out(spot)

    def sweep(self, before: float, left: int) -> int:
        """Let go of replies whose life has ended, and was last confirmed before that time.

        It looks at a slice of the *left* ones that are to be looked at; return how many remain.
        """
        for _ in range(min(_SLICE, left)):
            if not self._queue:  # it may have become shorter on the way
                break
            spot = self._queue.popleft()
            kept = self._kept_at(spot)
            if kept is None:
                continue
            life = self.lives.get(kept[LIFE])
            if life is None or (not life.goes_on and life.confirmed_at < before):
                self._take_out(spot)
            else:
                self._queue.append(spot)
        left = max(0, left - _SLICE)
        if not left:
            self._forget_lives(before)
        return left

    def clear(self) -> None:
        """Let go of everything."""
        for table in self._tables:
            table.clear()
        self._by_key.clear()
        self._queue.clear()
        self.bytes = self.entries = 0
        self._forget_lives(math.inf)

    def _forget_lives(self, before: float) -> None:
        """Forget those that have ended: what may still be kept of them is not given to anybody."""
        ended = [each for each in self.lives.values() if not each.goes_on]
        for life in ended:
            if life.confirmed_at < before:
                del self.lives[life.number]

    def _evict(self) -> None:
        """Make room: of the oldest, those go first that nobody has read since."""
        chances = _CHANCES
        while self.bytes > self._max_bytes and self._queue:
            spot = self._queue.popleft()
            kept = self._kept_at(spot)
            if kept is None:
                continue
            used = kept[_USED]
            if used[0] and chances:
                chances -= 1
                used[0] = 0
                self._queue.append(spot)
                continue
            self.evictions += 1
            self._drop(spot, kept[_KEYS])
            self._let_go(kept)

    def _kept_at(self, spot: Spot) -> Kept | None:
        """Return what is kept of the read that had this very spot; None if that was let go."""
        found = self._tables[spot[0]].get(spot[1])
        if isinstance(found, Pending) or found is None or found[_SPOT] is not spot:
            return None
        return found

    def _take_out(self, spot: Spot) -> None:
        """Have what is at a spot in no table and no index; its place in the queue stays."""
        found = self._tables[spot[0]][spot[1]]
        if isinstance(found, Pending):
            self._drop(spot, found.keys)
        else:
            self._drop(spot, found[_KEYS])
            self._let_go(found)

    def _drop(self, spot: Spot, keys: Keys) -> None:
        del self._tables[spot[0]][spot[1]]
        if isinstance(keys, bytes):
            self._unindex(keys, spot)
            return
        for key in keys:
            self._unindex(key, spot)

    def _let_go(self, gone: Kept) -> None:
        """Count what is in no table any more as gone."""
        self.bytes -= gone[_SIZE]
        self.entries -= 1
        if len(self._queue) > 2 * self.entries + _SLICE:
            tables = self._tables
            kept = ((each, tables[each[0]].get(each[1])) for each in self._queue)
            self._queue = deque(
                each for each, found in kept if type(found) is tuple and found[_SPOT] is each
            )

    def _read_from(self, key: bytes) -> tuple[Spot, ...]:
        """Return where the reads of a key are found."""
        found = self._by_key.get(key)
        if found is None:
            return ()
        return tuple(found) if type(found) is set else (found,)  # type: ignore[return-value]

    def _index(self, key: bytes, spot: Spot) -> None:
        found = self._by_key.setdefault(key, spot)
        if type(found) is set:
            found.add(spot)
        elif found != spot:
            self._by_key[key] = {found, spot}  # type: ignore[arg-type]

    def _unindex(self, key: bytes, spot: Spot) -> None:
        found = self._by_key.get(key)
        if type(found) is set:
            found.discard(spot)
            if not found:
                del self._by_key[key]
        elif found == spot:
            del self._by_key[key]
