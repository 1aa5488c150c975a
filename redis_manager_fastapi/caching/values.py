"""Kept values: their size, a caller's own copy, and whether they may mean a missing key."""

import sys
from typing import Any

_CONTAINERS = (list, dict, set, tuple)
TEXT = frozenset({bytes, str})
"""The types of text."""

PLAIN = frozenset({bytes, str, int, float, bool, type(None)})
"""The types of values of which everybody may have the same object."""


def size_of(value: Any) -> int:
    """Return how many bytes a reply takes, with all that is in it."""
    size = sys.getsizeof(value)
    if type(value) in PLAIN:
        return size
    if isinstance(value, dict):
        return size + sum(size_of(key) + size_of(each) for key, each in value.items())
    if isinstance(value, _CONTAINERS):
        return size + sum(map(size_of, value))
    return size


def own(value: Any) -> Any:
    """Return a value that its caller may change."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, list):
        return [own(each) if isinstance(each, _CONTAINERS) else each for each in value]
    if isinstance(value, dict):
        return {key: own(each) for key, each in value.items()}
    if isinstance(value, set):
        return set(value)
    return value


def decoded(value: Any) -> Any:
    """Return a reply with `str` in the place of `bytes`.

    Raises:
        UnicodeDecodeError: Some of it is no UTF-8.
    """
    kind = type(value)
    if kind is bytes:
        return value.decode()
    if kind is list:
        return [decoded(each) for each in value]
    if kind is dict:
        return {decoded(key): decoded(each) for key, each in value.items()}
    return value


def may_mean_missing(value: Any, keys: int) -> bool:
    """Return whether a reply to a read of so many *keys* may be one that a missing key has.

    EXISTS counts its keys, and BITPOS has -1.
    """
    if isinstance(value, int):
        return value < keys
    if isinstance(value, list):
        return not (value and all(value))
    return not value or value in ("none", b"none")
