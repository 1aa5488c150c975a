"""One stream that is followed: what was read of it lately, and whether it is still the same.

Everybody who follows it reads from one log in memory.  Who falls behind its beginning, or
comes with an older cursor, reads pages from the server until the log has what comes next.
There is no I/O here.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from redis_manager_fastapi.pool.pacing import turnstile
from redis_manager_fastapi.realtime.items import Gap, StreamEntry, bytes_of, text_of
from redis_manager_fastapi.realtime.tails.cursor import (
    ID,
    ZERO,
    Cursor,
    Mark,
    content_hash,
    shown,
    suffix,
)
from redis_manager_fastapi.realtime.tails.life import (
    ANEW,
    LOST,
    TRIMMED,
    UNKNOWN,
    Found,
    Life,
    Raw,
    Verdict,
    resume,
)

# Seconds after which another entry becomes the older one that cursors carry.
_ROTATE = 30.0


# How many of the entries read last are looked for in a stream that is not what it was.
_LOOKED_AT = 32

# How many listeners are woken in one turn of the loop: they run before anything else does.
_PER_TURN = 256


class Feed:
    """A stream, as this process knows it.

    Attributes:
        stream: Its key.
        raw: Its key in bytes.
        size: How many entries the log holds.
        last: What comes after this ID has not been read; None before the first check.
        epoch: How often the stream turned out not to be what it was.
        base: The number of the log's first item.
        checks: How often the server was asked about the stream.
        due: Whether it has to be asked before the stream is read on.
        broken: Whether the stream was out of sight since it was last asked about.
        error: What the server says instead, such as that the key is no stream.
        since: When it was first followed, on the loop's clock.
        heard: When it was last asked or read, on the loop's clock.
        entries: How many entries were read.
        waiting: Listeners to wake.
    """

    def __init__(self, stream: str, now: float, on_gap: Callable[["Feed", Gap], None]) -> None:
        self.stream = stream
        self.raw = bytes_of(stream)
        self.size = 1
        self.last: ID | None = None
        self.epoch = self.base = self.checks = self.entries = 0
        self.due = self.broken = True
        self.error: Exception | None = None
        self.since = self.heard = now
        self.waiting: set[asyncio.Future[None]] = set()
        self._on_gap = on_gap
        self._log: deque[tuple[ID | None, StreamEntry | Gap]] = deque()
        self._live, self._floor = 0, ZERO  # where the present life begins in the log
        self._hash = ""
        self._marks: tuple[Mark, ...] = ()
        self._newer: Mark | None = None
        self._rotated = float("-inf")
        self._counted: tuple[int, int] | None = None  # added, entries, at the same moment
        self._witness: Mark | None = None  # the last entry at the last check
        self._rolls = False
        self._suffix = ""

    @property
    def end(self) -> int:
        """The number of the item that comes next."""
        return self.base + len(self._log)

    @property
    def cursor(self) -> Cursor:
        """Where the feed is."""
        return Cursor(self.last or ZERO, self._hash, self._marks)

    def item(self, number: int) -> tuple[ID | None, StreamEntry | Gap]:
        """Return an item of the log, and its ID if it is an entry."""
        return self._log[number - self.base]

    def number_after(self, id_: ID) -> int | None:
        """Return the number of the first item after *id_* of the present life, if it is known."""
        if self.last is None or id_ < self._floor:
            return None
        number = self.end
        for each, _ in reversed(self._log):
            if number <= self._live or each is None or each <= id_:
                break
            number -= 1
        return number

    def number_after_same(self, cursor: Cursor) -> int | None:
        """Return the same for a cursor whose entry is in the log, or is the last one."""
        number = self.number_after(cursor.id) if cursor.hash else None
        if number is None:
            return None
        if cursor.id == self.last:
            return number if cursor.hash == self._hash else None
        if number <= self._live:
            return None
        id_, item = self.item(number - 1)
        own = f"{shown(cursor.id)}.{cursor.hash}"
        known = isinstance(item, StreamEntry) and item.cursor.startswith(own)
        return number if id_ == cursor.id and known else None

    # What the reader does.

    def take(self, entries: Iterable[Raw], now: float) -> None:
        """Add what was read."""
        self.heard = now
        for entry in entries:
            item = self.made(entry)
            self.last, self._hash = entry.id, item.cursor.split(".", 2)[1]
            if not self._marks:
                self._mark((Mark(self.last, self._hash),))
            if self._witness is None:
                self._witness = Mark(self.last, self._hash)
            self.entries += 1
            self._append(entry.id, item)
        self.wake()

    def made(self, entry: Raw) -> StreamEntry:
        """Return an entry as listeners receive it."""
        id_ = shown(entry.id)
        fields = {text_of(name): text_of(value) for name, value in entry.fields.items()}
        cursor = f"{id_}.{content_hash(self.raw, entry.fields)}{self._suffix}"
        return StreamEntry(self.stream, id_, fields, 1, cursor)

    def settled(self, life: Life | None) -> bool:
        """Whether a check needs to know no more than *life*."""
        if self.last is None:
            return True
        if self.broken or life is None or life.last < self.last:
            return False
        if life.end is not None and life.end.id == self.last and life.end.hash != self._hash:
            return not self._hash
        missed = self._missed(life)
        return self._counted is not None and (missed > 0 if life.last > self.last else missed == 0)

    def wanted(self) -> tuple[ID, ...]:
        """Return the IDs of the entries that a check looks at."""
        marks = [*self._marks] + ([self._witness] if self._witness else [])
        ids = [self.last] if self.last else []
        return tuple(dict.fromkeys([*ids, *(mark.id for mark in marks), *self._had()]))

    def check(self, life: Life | None, found: Found, now: float) -> None:
        """Take what the server says of the stream, which is not being read meanwhile."""
        if self.last is None:
            self.last = self._floor = life.last if life is not None else ZERO
            self._hash = life.end.hash if life and life.end and life.end.id == life.last else ""
        else:
            verdict, dropped = self._judge(life, found)
            if verdict.gap in (ANEW, LOST, UNKNOWN):
                verdict = self._after_what_was_had(verdict, found)
            if verdict.gap:
                seconds = max(0.0, now - self.heard) if self.broken else 0.0
                self._break(verdict, life, seconds, dropped)
        self._note(life, now)
        self.broken = self.due = False
        self.heard = now
        self.checks += 1
        self.wake()

    def doubts(self, asked: Cursor, entries: int, life: Life | None, found: Found) -> bool:
        """Whether what a listener was told contradicts what the feed knew as it *asked*."""
        if asked.id == ZERO:
            return False
        if life is None or life.last < asked.id:
            return True
        there = found.get(asked.id)
        if self._counted is None or life.added is None:
            return there != asked.hash
        expected = self._counted[0] + entries - self._counted[1]
        if there is not None and asked.hash and there != asked.hash:
            return True
        return life.added < expected or (life.last == asked.id and life.added != expected)

    def fail(self, error: Exception) -> None:
        """Have those who follow the stream get *error*."""
        self.error = error
        waiting, self.waiting = self.waiting, set()
        turnstile().spread(partial(_wake, future) for future in waiting)  # of many streams at once

    def wake(self) -> None:
        """Wake those who wait for news, some of them at once."""
        waiting, self.waiting = self.waiting, set()
        _wake_some(deque(waiting))

    # Inside.

    def _judge(self, life: Life | None, found: Found) -> tuple[Verdict, int]:
        cursor = self.cursor
        verdict = resume(cursor, life, found)
        differs = bool(self._hash) and found.get(cursor.id, self._hash) != self._hash
        if self.broken or life is None or life.last < cursor.id or differs:
            return verdict, 0
        if self._counted is not None and life.added is not None:
            return self._judge_by_count(life, cursor.id)
        return self._judge_by_witness(life, found, verdict), 0

    def _had(self) -> dict[ID, str]:
        """The hashes of the entries that were read last, by ID."""
        had: dict[ID, str] = {}
        for number in range(self.end - 1, max(self._live, self.end - _LOOKED_AT) - 1, -1):
            id_, item = self.item(number)
            if id_ is None or not isinstance(item, StreamEntry):
                break
            had[id_] = item.cursor.split(".", 2)[1]
        return had

    def _after_what_was_had(self, verdict: Verdict, found: Found) -> Verdict:
        """Go on after the last entry that is still there: the new ones may have lower IDs.

        So they have when a copy is restored within the millisecond of the entries it lacks.
        """
        there = [id_ for id_, hash_ in self._had().items() if found.get(id_) == hash_]
        return Verdict(max(there), verdict.gap) if there else verdict

    def _missed(self, life: Life) -> int:
        """How many entries were added since it was known, and not read; below 0 is absurd."""
        if self._counted is None or life.added is None:
            return 0
        return life.added - self._counted[0] - (self.entries - self._counted[1])

    def _judge_by_count(self, life: Life, last: ID) -> tuple[Verdict, int]:
        """Compare how many entries were added with how many were read."""
        missed = self._missed(life)
        if missed < (life.last > last):
            return Verdict(last, ANEW), 0
        if life.last == last and missed:
            return Verdict(last, TRIMMED), missed
        return Verdict(last), 0

    def _judge_by_witness(self, life: Life, found: Found, verdict: Verdict) -> Verdict:
        """Where nothing is counted, look whether an entry of the last check is still there."""
        last, witness = self.cursor.id, self._witness
        if not self._hash or (life.first is None and life.last == last):
            return Verdict(last)
        if verdict.gap:
            # Out of sight only for the time of a reply: an entry that is gone was deleted.
            return verdict if life.begins_after(last) else Verdict(last)
        there = found.get(witness.id) if witness is not None else None
        if witness is None or there == witness.hash or not life.begins_after(witness.id):
            self._rolls = self._rolls and (witness is None or witness.id == last)
            return Verdict(last)
        if there is not None:
            return Verdict(last, ANEW)
        # All that was there a second ago is gone: so it is in a stream that is kept very short,
        # for which the first time has to do.
        rolls, self._rolls = self._rolls, True
        return Verdict(last, "" if rolls else ANEW)

    def _break(self, verdict: Verdict, life: Life | None, seconds: float, dropped: int) -> None:
        self.epoch += 1
        self.last, self._hash = verdict.position, ""
        self._mark(())
        self._newer, self._rotated = None, float("-inf")
        self._counted = self._witness = None
        gap = Gap(verdict.gap, seconds, dropped, str(verdict.cursor(life)))
        self._append(None, gap)
        self._live, self._floor = self.end, verdict.position
        self._on_gap(self, gap)

    def _note(self, life: Life | None, now: float) -> None:
        """Remember what the next check compares with."""
        if life is None:
            self._counted = (0, self.entries)
            return
        if life.last == self.last:
            self._counted = None if life.added is None else (life.added, self.entries)
            if life.end is not None and life.end.id == self.last:
                self._hash = life.end.hash
        there = life.first is not None and self.last is not None and life.first.id <= self.last
        self._witness = Mark(self.last, self._hash) if self.last and self._hash and there else None
        if now - self._rotated >= _ROTATE and self._witness is not None:
            older = self._newer or self._witness
            self._newer, self._rotated = self._witness, now
            first = [life.first] if life.first is not None else []
            self._mark(tuple(dict.fromkeys([*first, older])))

    def _mark(self, marks: tuple[Mark, ...]) -> None:
        self._marks, self._suffix = marks, suffix(marks)

    def _append(self, id_: ID | None, item: StreamEntry | Gap) -> None:
        self._log.append((id_, item))
        while len(self._log) > self.size:
            dropped, _ = self._log.popleft()
            if self.base >= self._live and dropped is not None:
                self._floor = dropped
            self.base += 1
            self._live = max(self._live, self.base)


def _wake_some(waiting: deque[asyncio.Future[None]]) -> None:
    for _ in range(min(_PER_TURN, len(waiting))):
        _wake(waiting.popleft())
    if waiting:
        waiting[0].get_loop().call_soon(_wake_some, waiting)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
