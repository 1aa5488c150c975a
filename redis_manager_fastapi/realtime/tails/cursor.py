"""Where a listener is in a stream, as values and as text that a browser may keep.

An ID alone does not say which stream it belonged to: a stream may be deleted and made
again, restored from an older copy, or lose its last entries with a server.  A cursor
therefore has a short hash of the entry's content, and of one or two older entries.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

ID = tuple[int, int]

ZERO: ID = (0, 0)

# 8 letters for an entry's content: 48 bits, so two contents have the same by accident once
# in 280 million million times.
_HASH = 6

_NO_HASH = "~"

_TEXT = re.compile(
    r"(\d{1,20})-(\d{1,20})(?:\.([\w-]{8}|~))?((?:\.\d{1,20}-\d{1,20}\.[\w-]{8}){0,4})"
)
_MARK = re.compile(r"\.(\d+)-(\d+)\.([\w-]{8})")


class Mark(NamedTuple):
    """An entry that was seen: its ID, and the hash of its content."""

    id: ID
    hash: str


class Cursor(NamedTuple):
    """A place in a stream.

    Attributes:
        id: What comes after this ID has not been seen.
        hash: The hash of the entry with that ID; empty if it is not known.
        marks: Older entries of the same stream.
    """

    id: ID
    hash: str = ""
    marks: tuple[Mark, ...] = ()

    def __str__(self) -> str:
        if not self.hash and not self.marks:
            return shown(self.id)
        return f"{shown(self.id)}.{self.hash or _NO_HASH}{suffix(self.marks)}"


def suffix(marks: tuple[Mark, ...]) -> str:
    """Return the end of a cursor's text."""
    return "".join(f".{shown(mark.id)}.{mark.hash}" for mark in marks)


def parse_cursor(text: str) -> Cursor | None:
    """Return the cursor that *text* is, or that a plain ID means; None for anything else."""
    found = _TEXT.fullmatch(text) if text.isascii() else None
    if found is None:
        return None
    id_ = int(found[1]), int(found[2])
    marks = tuple(Mark((int(ms), int(n)), hash_) for ms, n, hash_ in _MARK.findall(found[4]))
    if any(number >> 64 for each in (id_, *(mark.id for mark in marks)) for number in each):
        return None
    own = found[3] or ""
    return Cursor(id_, "" if own == _NO_HASH else own, marks)


def parse_id(raw: Any) -> ID:
    """Return a server's ID as numbers, which compare as the server compares them."""
    milliseconds, _, number = raw.partition(b"-")
    return int(milliseconds), int(number)


def shown(id_: ID) -> str:
    """Return an ID as the server writes it."""
    return f"{id_[0]}-{id_[1]}"


def content_hash(stream: bytes, fields: Mapping[bytes, bytes]) -> str:
    """Return the hash of an entry's content."""
    digest = blake2b(stream, digest_size=_HASH)
    for each in fields.items():
        for part in each:
            digest.update(b"%d:" % len(part))
            digest.update(part)
    return urlsafe_b64encode(digest.digest()).decode()
