"""Deciding whether a stream is still the one that a listener was in.  No I/O here.

What a server says of a stream differs by its age: since Redis 7.0 it counts the entries
that were ever added, and remembers the highest ID that was deleted by XDEL.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis_manager_fastapi.realtime.tails.cursor import (
    ID,
    ZERO,
    Cursor,
    Mark,
    content_hash,
    parse_id,
)

DELETED = "the stream was deleted"
LOST = "the stream lost its last entries"
ANEW = "the stream was made again"
TRIMMED = "entries were removed from the stream before they were read"
UNKNOWN = "the stream has no entry at the cursor any more"

Found = Mapping[ID, str]
"""Which of the entries that were asked for are there: the hashes of their content by ID."""


class Raw(NamedTuple):
    """An entry as a server sent it, with its fields as a mapping."""

    id: ID
    fields: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Life:
    """What a server says of a stream that exists.

    Attributes:
        length: How many entries it has.
        last: The highest ID that it ever had.
        first: Its first entry; None when it is empty.
        end: Its last entry.
        added: How many entries were ever added; None before Redis 7.0.
        deleted: The highest ID that XDEL removed; None before Redis 7.0.
    """

    length: int
    last: ID
    first: Mark | None
    end: Mark | None
    added: int | None
    deleted: ID | None

    def begins_after(self, id_: ID) -> bool:
        """Whether no entry up to *id_* is left."""
        return self.first is None or self.first.id > id_


class Verdict(NamedTuple):
    """Where to go on, and why something may have been missed; empty if nothing was."""

    position: ID
    gap: str = ""

    def cursor(self, life: Life | None) -> Cursor:
        """Return where one goes on who was told of the gap."""
        first = life.first if life is not None else None
        return Cursor(self.position, "", (first,) if first is not None else ())


def parse_entries(reply: Any) -> list[Raw]:
    """Return entries as XRANGE and XREAD send them, parsed by redis-py or not."""
    return [
        Raw(parse_id(id_), _mapping(fields))
        for id_, fields in (entry for entry in reply or () if entry is not None)
        if fields is not None
    ]


def parse_life(stream: bytes, reply: Any) -> Life:
    """Return what XINFO STREAM says, in any protocol, parsed by redis-py or not."""
    told = {_text(name): value for name, value in _mapping(reply).items()}
    deleted = told.get("max-deleted-entry-id")
    return Life(
        length=told["length"],
        last=parse_id(told["last-generated-id"]),
        first=_mark(stream, told.get("first-entry")),
        end=_mark(stream, told.get("last-entry")),
        added=told.get("entries-added"),
        deleted=None if deleted is None else parse_id(deleted),
    )


def before(id_: ID) -> ID:
    """Return the highest ID below *id_*."""
    time, number = id_
    if number:
        return time, number - 1
    return (time - 1, 2**64 - 1) if time else ZERO


def found_in(stream: bytes, entries: list[Raw]) -> dict[ID, str]:
    """Return the hashes of *entries* by ID."""
    return {entry.id: content_hash(stream, entry.fields) for entry in entries}


def resume(cursor: Cursor, life: Life | None, found: Found) -> Verdict:
    """Return where a listener at *cursor* goes on in the stream as it is now.

    Never before what it has had of the same stream; from the beginning of another one.
    """
    if cursor.id == ZERO:
        return Verdict(ZERO)
    if life is None:
        return Verdict(ZERO, DELETED)
    if life.last < cursor.id:
        if _same(cursor, life, found):
            return Verdict(life.last, LOST)
        return Verdict(ZERO, ANEW)
    there = found.get(cursor.id)
    if there is not None and there == (cursor.hash or there):
        return Verdict(cursor.id)
    if there is not None:
        return Verdict(before(cursor.id) if _same(cursor, life, found) else ZERO, ANEW)
    return _without_its_entry(cursor, life, found)


def _without_its_entry(cursor: Cursor, life: Life, found: Found) -> Verdict:
    if life.last == cursor.id:
        return Verdict(cursor.id)  # removed after it was read, and nothing came since
    if not cursor.hash and (
        life.added == life.length  # nothing was ever removed
        or not life.begins_after(cursor.id)
        or any(found.get(mark.id) == mark.hash for mark in cursor.marks)
    ):
        return Verdict(cursor.id)  # an ID of the user's, or where the stream had no entry
    if life.begins_after(cursor.id):
        return Verdict(cursor.id, TRIMMED)
    if life.deleted == cursor.id:
        return Verdict(cursor.id)
    if _same(cursor, life, found):
        return Verdict(cursor.id, UNKNOWN)
    return Verdict(ZERO, ANEW)


def _same(cursor: Cursor, life: Life, found: Found) -> bool:
    """Whether *life* is the stream of the cursor's older entries, as far as can be told."""
    if any(found.get(mark.id) == mark.hash for mark in cursor.marks):
        return True
    if cursor.marks and life.added == life.length:
        return False  # nothing was ever removed, so they would be there
    oldest = min((mark.id for mark in cursor.marks), default=None)
    if oldest is not None and oldest > life.last:
        return False
    return not any(
        life.first is not None and life.first.id <= mark.id <= life.last for mark in cursor.marks
    )


def _mark(stream: bytes, entry: Any) -> Mark | None:
    if not entry:
        return None
    id_, fields = entry
    return Mark(parse_id(id_), content_hash(stream, _mapping(fields)))


def _mapping(pairs: Any) -> dict[Any, Any]:
    return pairs if isinstance(pairs, dict) else dict(zip(pairs[::2], pairs[1::2], strict=True))


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
