"""The replies that a process keeps: which are known, which are on their way, which are let go.

Nothing here does I/O or looks at a clock.  An entry is *pending* from the moment its read
is submitted, *kept* once the reply was matched, and *dropped* when its key may have changed.
It is served only while its `Life`, one tracked connection's, goes on.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from redis_manager_fastapi.caching.values import size_of

# No single value takes more than this part of all the room.
_LARGEST = 16

# What an entry takes beside its value and its command: the object itself, and its places in the
# table, in the index by key, and in the queue.
_FIXED = 320

# How many bytes a command takes here, with its keys, for each that it takes on the wire.
_SPREAD = 4

# What each further key takes: itself, and its part of the index, which holds a set where several
# reads share a key.
_KEY = 150

# How many entries get a second chance before one is evicted all the same.
_CHANCES = 16

# How many entries of an ended life are given up at once.
_SLICE = 500


class Life:
    """One tracked connection, from its handshake to its loss: as long, its entries are true.

    Attributes:
        fresh_until: Until when its entries are served, on the loop's clock, unless the server
            answers another heartbeat meanwhile.
        confirmed_at: When the last heartbeat left that was answered: what had changed
            by then has been told.
        void: Whether what it knew is not even the last known value any more.
        clock: The loop's.
        thread: The loop's.
        window: Seconds that a heartbeat proves.
        place: What the entries are asked from: a node of a Cluster; None for one server.
    """

    __slots__ = ("clock", "confirmed_at", "fresh_until", "place", "thread", "void", "window")

    def __init__(
        self, clock: Callable[[], float], thread: int, window: float, place: object = None
    ) -> None:
        self.clock, self.thread, self.window, self.place = clock, thread, window, place
        self.void = False
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
        self.void = self.void or void


class Entry:
    """One read's reply, known or on its way.

    Attributes:
        home: The table that it is in.
        key: Its place in that: the command.
        keys: The keys that it was read from.
        life: What keeps it true.
        value: The reply; while the entry is pending, `fetch` brings it.
        asked_at: When it was asked for, on the loop's clock; -inf while it is pending.
        until: When a key of it expires, if that was asked for.
        strict: Whether a change ends it although its reply has not come.
        plain: Whether everybody may have the same object.
        used: Whether it was read since it was last considered for eviction.
        size: Bytes that it takes.
        fetch: What brings the reply; None before and after.
        last: What was known before, in case that no reply comes.
    """

    __slots__ = (
        *("asked_at", "fetch", "home", "key", "keys", "last", "life", "plain", "size"),
        *("strict", "until", "used", "value"),
    )

    fetch: Any
    last: "Known | None"

    def __init__(self, home: "Table", key: Any, keys: tuple[bytes, ...], life: Life) -> None:
        self.home, self.key, self.keys, self.life = home, key, keys, life
        self.value = self.fetch = self.last = None
        self.asked_at, self.until, self.size = -math.inf, math.inf, 0
        self.strict = self.used = False
        self.plain = True

    @property
    def known(self) -> "Known | None":
        """The reply, or what was known before it."""
        if self.size:
            return self.value, self.life, self.asked_at, self.until
        return self.last


Known = tuple[Any, Life, float, float]
"""A reply with its entry's `life`, `asked_at` and `until`."""

Table = dict[Any, Entry]


class Store:
    """All entries of a deployment, by command and by key.

    Args:
        max_bytes: How many bytes the kept ones may take.

    Attributes:
        tables: The entries by command: of replies as bytes and of decoded ones, and of each those
            that do not know and that know when their keys expire.
        bytes: What the kept ones take.
        hits, misses, joined, stale: Reads that were answered, that asked the server, that
            waited for another one's reply, and that got a last known value.
        invalidations, evictions: Entries that were dropped for a change, and for want of room.
    """

    def __init__(self, max_bytes: int) -> None:
        self.tables: tuple[tuple[Table, Table], tuple[Table, Table]] = (({}, {}), ({}, {}))
        self.bytes = self.hits = self.misses = self.joined = self.stale = 0
        self.invalidations = self.evictions = 0
        self._max_bytes = max_bytes
        self._by_key: dict[bytes, Entry | set[Entry]] = {}
        self._queue: deque[Entry] = deque()
        self._kept = 0

    @property
    def entries(self) -> int:
        """How many replies are kept."""
        return self._kept

    @property
    def queued(self) -> int:
        """How many entries a sweep looks at."""
        return len(self._queue)

    def begin(
        self, table: Table, key: Any, keys: tuple[bytes, ...], life: Life, *, remember: bool
    ) -> Entry:
        """Enter a read that is being submitted, in the place of what is there.

        *remember* keeps that for the case that no reply comes.
        """
        entry = Entry(table, key, keys, life)
        old = table.get(key)
        if old is not None:
            if remember:
                entry.last = old.known
            self._take_out(old)
        self._enter(entry)
        return entry

    def keep(self, entry: Entry, value: Any, asked_at: float, command: int) -> None:
        """Keep the reply of a pending entry, unless a key of it may have changed.

        *command* is how many bytes the request took.
        """
        entry.fetch, entry.last = None, None
        if entry.home.get(entry.key) is not entry:
            return
        size = _FIXED + size_of(value) + _SPREAD * command + _KEY * (len(entry.keys) - 1)
        if not entry.life.goes_on or size > self._max_bytes // _LARGEST:
            self._take_out(entry)
            return
        self._fill(entry, value, asked_at, size)
        if self.bytes > self._max_bytes:
            self._evict()

    def fail(self, entry: Entry) -> None:
        """Have what was known before in the place of an entry whose reply does not come."""
        last, entry.fetch, entry.last = entry.last, None, None
        if entry.home.get(entry.key) is not entry:
            return
        self._take_out(entry)
        if last is not None:
            value, life, asked_at, until = last
            known = Entry(entry.home, entry.key, entry.keys, life)
            known.until = until
            self._enter(known)
            self._fill(known, value, asked_at, _FIXED + size_of(value))

    def changed(self, key: bytes) -> None:
        """Drop what was read from *key*: the server says that it has changed.

        What is still pending is younger than that.
        """
        for entry in self._of(key):
            entry.last = None
            if entry.fetch is None or entry.strict:
                self.invalidations += 1
                self._take_out(entry)

    def wrote(self, keys: Iterable[bytes]) -> None:
        """Drop what was read from *keys*, and keep nothing that is on its way: they are written."""
        by_key = self._by_key
        for key in keys:
            if key in by_key:
                for entry in self._of(key):
                    entry.last = None
                    self._take_out(entry)

    def sweep(self, before: float, left: int) -> int:
        """Let go of entries whose life has ended, and was last confirmed before that time.

        It looks at a slice of the *left* ones that are to be looked at; return how many remain.
        """
        for _ in range(min(_SLICE, left, len(self._queue))):
            entry = self._queue.popleft()
            if entry.size and not entry.life.goes_on and entry.life.confirmed_at < before:
                self._take_out(entry)
            elif entry.size:
                self._queue.append(entry)
        return max(0, left - _SLICE)

    def clear(self) -> None:
        """Let go of everything."""
        for table in (*self.tables[False], *self.tables[True]):
            table.clear()
        self._by_key.clear()
        self._queue.clear()
        self.bytes = self._kept = 0

    def _evict(self) -> None:
        """Make room: of the oldest, those go first that nobody has read since."""
        queue, chances = self._queue, _CHANCES
        while self.bytes > self._max_bytes and queue:
            entry = queue.popleft()
            if not entry.size:
                continue
            if entry.used and chances:
                chances -= 1
                entry.used = False
                queue.append(entry)
                continue
            self.evictions += 1
            self._take_out(entry)

    def _take_out(self, entry: Entry) -> None:
        """Have an entry in no table and no index any more; its place in the queue stays."""
        if entry.home.get(entry.key) is entry:
            del entry.home[entry.key]
        for key in entry.keys:
            self._unindex(key, entry)
        if entry.size:
            self.bytes -= entry.size
            self._kept -= 1
            entry.size = 0
            entry.asked_at = -math.inf
            if len(self._queue) > 2 * self._kept + _SLICE:
                self._queue = deque(each for each in self._queue if each.size)

    def _enter(self, entry: Entry) -> None:
        entry.home[entry.key] = entry
        for key in entry.keys:
            self._index(key, entry)

    def _fill(self, entry: Entry, value: Any, asked_at: float, size: int) -> None:
        entry.value, entry.plain = value, not isinstance(value, list | dict | set)
        entry.asked_at, entry.size = asked_at, size
        self.bytes += size
        self._kept += 1
        self._queue.append(entry)

    def _of(self, key: bytes) -> tuple[Entry, ...]:
        found = self._by_key.get(key)
        if found is None:
            return ()
        return tuple(found) if type(found) is set else (found,)  # type: ignore[return-value]

    def _index(self, key: bytes, entry: Entry) -> None:
        found = self._by_key.setdefault(key, entry)
        if type(found) is set:
            found.add(entry)
        elif found is not entry:
            self._by_key[key] = {found, entry}  # type: ignore[arg-type]

    def _unindex(self, key: bytes, entry: Entry) -> None:
        found = self._by_key.get(key)
        if found is entry:
            del self._by_key[key]
        elif type(found) is set:
            found.discard(entry)
            if not found:
                del self._by_key[key]
