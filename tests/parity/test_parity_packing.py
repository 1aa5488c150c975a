"""What goes on the wire for one argument, ours against redis-py's connection."""

import random
import struct
import sys
from typing import Any

import pytest
from redis.asyncio.connection import Connection

from redis_manager_fastapi.commands.packing import pack
from redis_manager_fastapi.commands.sharing import SHARED, SharedCommand

from .error_calls import ARGUMENTS, Number, Word

VALUES = [one.args[1] for one in ARGUMENTS if one.method == "set"]


class Text(str):
    """A str whose `str()` is something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Unprintable(float):
    """A number whose `repr()` fails."""

    def __repr__(self) -> str:
        raise RuntimeError


CONNECTION = Connection()


def redis_py(*args: Any) -> bytes:
    """Return the bytes that redis-py writes for a command."""
    return b"".join(CONNECTION.pack_command(*args))


def packed(function: Any, *args: Any) -> Any:
    """Return the bytes, or the type of the exception."""
    try:
        return function(*args)
    except Exception as error:
        return type(error)


def ours(*args: Any) -> bytes:
    return pack(SHARED["SET"], args)


@pytest.mark.parametrize(
    "value",
    [*VALUES, Text("v"), Number.ONE, Word.ONE, memoryview(b"abcdef")[::2], Unprintable(1.0)],
    ids=lambda value: type(value).__name__,
)
def test_value_is_packed_as_by_redis_py(value: Any) -> None:
    expected = packed(redis_py, "SET", "k", value)

    assert packed(ours, "SET", "k", value) == expected
    assert packed(ours, "SET", value, "v") == packed(redis_py, "SET", value, "v")
    assert packed(ours, "SET", True, value) == packed(redis_py, "SET", True, value)


def test_view_of_wider_items_is_sent_whole() -> None:
    """redis-py counts its items where the server counts bytes, and loses step."""
    view = memoryview(b"12345678").cast("I")

    assert ours("SET", "k", view).endswith(b"\r\n$8\r\n12345678\r\n")


def test_numbers_at_random_are_packed_as_by_redis_py() -> None:
    choice = random.Random(20)
    for _ in range(5_000):
        bits = choice.getrandbits(64)
        number = struct.unpack("d", struct.pack("Q", bits))[0]
        for value in (number, choice.getrandbits(choice.randint(1, 300)) - 2**150, bits):
            assert ours("SET", "k", value) == redis_py("SET", "k", value)


def test_number_with_more_digits_than_python_prints_is_refused() -> None:
    value = 10 ** sys.get_int_max_str_digits()

    with pytest.raises(ValueError, match="digits"):
        ours("SET", "k", value)


@pytest.mark.parametrize("name", ["OBJECT ENCODING", "XINFO STREAM", "MEMORY USAGE", "GET"])
def test_name_is_packed_as_by_redis_py(name: str) -> None:
    assert pack(SHARED[name], (name, "k")) == redis_py(name, "k")


def test_brackets_of_a_transaction_are_packed_as_by_redis_py() -> None:
    assert pack(SharedCommand(("MULTI",), read_only=True), ("MULTI",)) == redis_py("MULTI")


@pytest.mark.parametrize("key", ["", "key", "k" * 1000, "a\r\n$0\r\n", "\x00\x7f", "clé", "\udc80"])
def test_a_key_alone_is_packed_as_by_redis_py(key: str) -> None:
    for name, command in SHARED.items():
        assert packed(pack, command, (name, key)) == packed(redis_py, name, key)
