"""One call on two clients, and when its two outcomes count as the same."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import redis.asyncio
import redis.exceptions

Mode = Literal["same", "unordered", "shape", "kind"]

# What our words add to those of a reply that is no UTF-8.
_REMEDY = re.compile(r" \(.+; take r\.with_options\(decode_responses=False\) for bytes\)$")


@dataclass(frozen=True)
class Call:
    """A method of `redis.asyncio.Redis` with its arguments.

    Attributes:
        mode: How outcomes are compared: `same` value and type; `unordered`,
            where the server's hash seed decides the order; `shape`, for
            figures that differ between two servers; `kind`, the type alone.
    """

    method: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    mode: Mode = "same"

    def __str__(self) -> str:
        words = [repr(value) for value in self.args]
        words += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{self.method}({', '.join(words)})"


def call(method: str, *args: Any, **kwargs: Any) -> Call:
    """Return a call whose two outcomes must be equal."""
    return Call(method, args, kwargs)


def unordered(method: str, *args: Any, **kwargs: Any) -> Call:
    """Return a call whose reply has no order of its own."""
    return Call(method, args, kwargs, "unordered")


def shape(method: str, *args: Any, **kwargs: Any) -> Call:
    """Return a call that reports figures of its server: keys and types must agree."""
    return Call(method, args, kwargs, "shape")


def kind(method: str, *args: Any, **kwargs: Any) -> Call:
    """Return a call with a random or changing reply: its type must agree."""
    return Call(method, args, kwargs, "kind")


async def outcome(client: "redis.asyncio.Redis", one: Call) -> Any:
    """Return what the call gives, or the exception that it raises."""
    try:
        value = getattr(client, one.method)(*one.args, **one.kwargs)
        return await value if inspect.isawaitable(value) else value
    except Exception as error:
        return error


def difference(ours: Any, plain: Any, mode: Mode = "same") -> str:
    """Return how our outcome differs from plain redis-py's; empty when it does not."""
    if isinstance(ours, Exception) or isinstance(plain, Exception):
        same = _catches(plain, ours) and (mode == "kind" or _words(ours) == str(plain))
    else:
        same = _VIEWS[mode](ours) == _VIEWS[mode](plain)
    return "" if same else f"ours: {_told(ours)}, plain redis-py: {_told(plain)}"


def _catches(plain: Any, ours: Any) -> bool:
    """Whether an `except` for what redis-py raises also catches what we raise."""
    if isinstance(plain, redis.exceptions.AuthenticationError):
        return isinstance(ours, redis.exceptions.ConnectionError)
    return type(ours) is type(plain)


def _words(error: Exception) -> str:
    """Return an error's words, without what ours add to those of a reply that is no UTF-8."""
    return _REMEDY.sub("", str(error)) if isinstance(error, UnicodeDecodeError) else str(error)


def _told(value: Any) -> str:
    return f"{value!r:.400} {value!s:.200}" if isinstance(value, Exception) else f"{value!r:.400}"


def canonical(value: Any) -> Any:
    """Return *value* with the type of each part, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return "dict", [(canonical(key), canonical(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value).__name__, [canonical(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(repr(canonical(item)) for item in value)
    if isinstance(value, Exception):
        return type(value).__name__, _words(value)
    return type(value).__name__, repr(value)


def _unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return "dict", sorted(
            (repr(canonical(key)), repr(_unordered(item))) for key, item in value.items()
        )
    if isinstance(value, list | tuple):
        return type(value).__name__, sorted(repr(_unordered(item)) for item in value)
    return canonical(value)


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return "dict", sorted((repr(canonical(key)), repr(_shape(v))) for key, v in value.items())
    if isinstance(value, list | tuple):
        return type(value).__name__, sorted({repr(_shape(item)) for item in value})
    return _kind(value)


def _kind(value: Any) -> str:
    # A figure that happens to be whole comes as an int.
    return "number" if type(value) in {int, float} else type(value).__name__


_VIEWS: dict[Mode, Callable[[Any], Any]] = {
    "same": canonical,
    "unordered": _unordered,
    "shape": _shape,
    "kind": _kind,
}
