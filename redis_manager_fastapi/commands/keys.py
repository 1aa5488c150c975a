"""Where the keys of commands are, as far as their arguments tell."""

from collections.abc import Callable
from typing import Any

from redis_manager_fastapi.commands.blocking import streams_index, upper_word
from redis_manager_fastapi.commands.sharing import SHARED

Arguments = tuple[Any, ...]

# How many arguments belong to an option of SORT and of GEORADIUS, and stand for no other one.
_BELONG = {"BY": 1, "COUNT": 1, "GET": 1, "LIMIT": 2, "STORE": 1, "STOREDIST": 1}


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


def _counted_pairs(args: Arguments) -> Arguments:
    return args[1 : 1 + 2 * int(args[0]) : 2]


def _counted_second(args: Arguments) -> Arguments:
    return args[2 : 2 + int(args[1])]


def _first_and_counted(args: Arguments) -> Arguments:
    return args[0], *args[2 : 2 + int(args[1])]


def _streams(args: Arguments) -> Arguments:
    first = streams_index(("", *args))
    return args[first : first + (len(args) - first) // 2]


def _first(args: Arguments) -> Arguments:
    return args[:1]


def _sorted(args: Arguments) -> Arguments:
    return args[0], *_stored(args, 1)


def _around(args: Arguments) -> Arguments:
    return args[0], *_stored(args, 4)


def _stored(args: Arguments, index: int) -> Arguments:
    """Return the key that takes the result, by the last option that names one."""
    key: Arguments = ()
    while index < len(args):
        option = upper_word(args[index])
        if option in ("STORE", "STOREDIST"):
            key = (args[index + 1],)
        index += 1 + _BELONG.get(option, 0)
    return key


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
    _counted_pairs: "MSETEX",
    _counted_second: "BLMPOP BZMPOP EVAL_RO EVALSHA_RO FCALL FCALL_RO",
    _first_and_counted: "CMS.MERGE TDIGEST.MERGE ZDIFFSTORE ZINTERSTORE ZUNIONSTORE",
    _streams: "XREAD XREADGROUP",
    _first: "SORT_RO",
    _sorted: "SORT",
    _around: "GEORADIUS GEORADIUSBYMEMBER",
}
KEYS_OF = {name: rule for rule, names in _RULES.items() for name in names.split()}
"""Where the keys are of commands with several, or with options, among what follows the name."""

# Shared commands without a key, and those whose keys redis-py finds.
_ELSEWHERE = """
    CLUSTERSCAN DBSIZE ECHO EVAL EVALSHA LOLWUT OBJECT PING PUBLISH RANDOMKEY SCAN
"""
ONE_KEY = {
    name: command
    for name, command in SHARED.items()
    if name not in KEYS_OF and name not in _ELSEWHERE.split()
}
"""The shared commands whose only key is their first argument."""

find_one_key = ONE_KEY.get
"""Look a name up in it; a bound method, as `find_shared` is."""


def keys_of(name: str, args: Arguments) -> Arguments:
    """Return the keys of a command in `KEYS_OF`; none if its arguments are wrong, or it is not.

    Args:
        name: The command's, in upper case.
        args: What follows it.
    """
    rule = KEYS_OF.get(name)
    try:
        return rule(args) if rule is not None else ()
    except (LookupError, TypeError, ValueError):
        return ()


def key_bytes(key: Any) -> bytes:
    """Return a key as the server has it."""
    if isinstance(key, str):  # a member of an enum too, whose `str()` is another text
        return key.encode(errors="replace")
    if isinstance(key, (bytes, bytearray, memoryview)):
        return bytes(key)
    return str(key).encode(errors="replace")
