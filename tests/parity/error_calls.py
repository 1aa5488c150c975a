"""Calls that are the caller's mistake."""

from enum import Enum, IntEnum
from typing import Any

from .sameness import Call, call


class Number(IntEnum):
    """An int whose repr is not a number."""

    ONE = 1


class Word(str, Enum):  # noqa: UP042 (a StrEnum prints its value)
    """A str whose `str()` is not its value."""

    ONE = "one"


WRONG: list[Call] = [
    call("set", "text", "abc"),
    call("rpush", "list", "a"),
    call("incr", "text"),
    call("incrbyfloat", "text", 1.0),
    call("lpush", "text", "a"),
    call("hget", "list", "f"),
    call("hset", "list", "f", "v"),
    call("smembers", "list"),
    call("zadd", "list", {"a": 1}),
    call("get", "list"),
    call("getex", "list"),
    call("xadd", "list", {"f": "v"}),
    call("blpop", "text", timeout=1),
    call("execute_command", "GET"),
    call("execute_command", "GET", "a", "b"),
    call("execute_command", "HSET", "h", "f"),
    call("execute_command", "SET", "a", "b", "NONSENSE"),
    call("execute_command", "EXPIRE", "a", "soon"),
    call("expire", "text", 10**30),
    call("setrange", "text", -1, "x"),
    call("getbit", "text", -1),
    call("execute_command", "ZADD", "z", "one", "a"),
    call("zunionstore", "d", []),
    call("geoadd", "g", (181, 91, "nowhere")),
    call("xgroup_create", "missing", "g"),
    call("restore", "text", 0, b"x"),
    call("rename", "missing", "x"),
    call("copy", "text", "text"),
    call("move", "text", 99),
    call("object", "freq", "text"),
    call("nosuchmethod"),
]

_VALUES: list[Any] = [
    "text",
    "é",
    "\ud800",
    "",
    b"",
    b"\x00\xff",
    bytearray(b"array"),
    memoryview(b"view"),
    True,
    False,
    None,
    0,
    -1,
    2**63 - 1,
    2**63,
    -(2**64),
    10**100,
    10**5000,
    1.0,
    0.1,
    1e308,
    5e-324,
    1e22,
    -0.0,
    float("inf"),
    float("-inf"),
    float("nan"),
    1 / 3,
    Number.ONE,
    Word.ONE,
    [1],
    (1, 2),
    {"a": 1},
    {1},
    1j,
    object,
    "x" * 70_000,
    b"\r\n$-1\r\n",
]

ARGUMENTS: list[Call] = [
    one
    for value in _VALUES
    for one in (
        call("delete", "k", "h"),
        call("set", "k", value),
        call("get", "k"),
        call("getrange", "k", 0, 20),
        call("get", value if not isinstance(value, list | dict | set) else "k"),
        call("hset", "h", "f", value),
        call("hgetall", "h"),
        call("execute_command", "CONFIG SET", "nonsense", value),
    )
]

# Not UTF-8: a `str` client cannot have it, a `bytes` client can.
BINARY: list[Call] = [
    call("set", "b", b"\xff\xfe"),
    call("get", "b"),
    call("set", "fine", "text"),
    call("get", "fine"),
    call("mget", "fine", "b"),
    call("get", "fine"),
    call("rpush", "bl", b"\xff", "x"),
    call("lrange", "bl", 0, -1),
    call("blpop", "bl", timeout=1),
    call("get", "fine"),
    call("hset", "bh", b"\xff", "v"),
    call("hgetall", "bh"),
    call("hkeys", "bh"),
    call("getset", "b", "text"),
    call("get", "b"),
    call("dump", "missing"),
    call("echo", b"\xff"),
    call("echo", "é"),
]
