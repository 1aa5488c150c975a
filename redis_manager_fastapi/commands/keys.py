"""Where the keys of the shared commands are."""

from collections.abc import Callable
from typing import Any

from redis_manager_fastapi.commands.sharing import SHARED

Arguments = tuple[Any, ...]


def _all(args: Arguments) -> Arguments:
    return args


def _first_two(args: Arguments) -> Arguments:
    return args[:2]


def _every_second(args: Arguments) -> Arguments:
    return args[::2]


def _every_third(args: Arguments) -> Arguments:
    return args[::3]


def _all_but_last(args: Arguments) -> Arguments:
    return args[:-1]


def _after_first(args: Arguments) -> Arguments:
    return args[1:]


def _counted_first(args: Arguments) -> Arguments:
    return args[1 : 1 + int(args[0])]


def _counted_second(args: Arguments) -> Arguments:
    return args[2 : 2 + int(args[1])]


def _first_and_counted(args: Arguments) -> Arguments:
    return args[0], *args[2 : 2 + int(args[1])]


_RULES: dict[Callable[[Arguments], Arguments], str] = {
    _all: """DEL EXISTS MGET PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SUNION SUNIONSTORE
             TOUCH UNLINK""",
    _first_two: """COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE TS.CREATERULE
                   TS.DELETERULE ZRANGESTORE""",
    _every_second: "MSET MSETNX",
    _every_third: "JSON.MSET TS.MADD",
    _all_but_last: "JSON.MGET",
    _after_first: "BITOP",
    _counted_first: "LMPOP SINTERCARD ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION",
    _counted_second: "EVAL_RO EVALSHA_RO",
    _first_and_counted: "CMS.MERGE TDIGEST.MERGE ZDIFFSTORE ZINTERSTORE ZUNIONSTORE",
}
KEYS_OF = {name: rule for rule, names in _RULES.items() for name in names.split()}
"""Where the keys of shared commands with several keys are, among the arguments after the name."""

# Shared commands without a key, and those whose keys redis-py or the server finds.
_ELSEWHERE = """
    CLUSTERSCAN DBSIZE ECHO EVAL EVALSHA FCALL FCALL_RO GEORADIUS GEORADIUSBYMEMBER LOLWUT MSETEX
    OBJECT PING PUBLISH RANDOMKEY SCAN SORT SORT_RO
"""
ONE_KEY = {
    name: command
    for name, command in SHARED.items()
    if name not in KEYS_OF and name not in _ELSEWHERE.split()
}
"""The shared commands whose only key is their first argument."""

find_one_key = ONE_KEY.get
"""Look a name up in it; a bound method, as `find_shared` is."""


def key_bytes(key: Any) -> bytes:
    """Return a key as the server has it."""
    if isinstance(key, str):  # a member of an enum too, whose `str()` is another text
        return key.encode(errors="replace")
    if isinstance(key, (bytes, bytearray, memoryview)):
        return bytes(key)
    return str(key).encode(errors="replace")
