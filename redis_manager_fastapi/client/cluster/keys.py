"""Where the keys of a command are: known for the shared ones, asked of a node for the rest."""

from collections.abc import Callable
from typing import Any

from redis._parsers import AsyncCommandsParser
from redis.asyncio.connection import Encoder
from redis.crc import key_slot

from redis_manager_fastapi.pool.commands import SHARED

Arguments = tuple[Any, ...]


def _all(args: Arguments) -> Arguments:
    return args


def _first_two(args: Arguments) -> Arguments:
    return args[:2]


def _every_second(args: Arguments) -> Arguments:
    return args[::2]


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
    _first_two: """COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE""",
    _every_second: "MSET MSETNX",
    _after_first: "BITOP",
    _counted_first: "LMPOP SINTERCARD ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION",
    _counted_second: "EVAL_RO EVALSHA_RO",
    _first_and_counted: "ZDIFFSTORE ZINTERSTORE ZUNIONSTORE",
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

_ENCODER = Encoder("utf-8", "strict", decode_responses=False)


def slot_of(key: Any) -> int:
    """Return the hash slot of *key*."""
    return key_slot(key.encode() if type(key) is str else bytes(_ENCODER.encode(key)))


class KeyFinder(AsyncCommandsParser):
    """redis-py's finder of keys, which asks a node that serves.

    What it knows of the server's commands is kept for the life of the manager.
    """

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._client = self.node = client

    async def initialize(self, node: Any = None) -> None:
        """Learn the server's commands, anew if they are known already."""
        commands = await self._client.execute_command("COMMAND")
        self.commands = {name.lower(): command for name, command in commands.items()}

    async def get_keys(self, *args: Any) -> Any:
        """Return the keys among the arguments of a command."""
        async with self._client.binding.require().learning:
            if not self.commands:
                await self.initialize()
        # redis-py 8.1 looks for a subcommand with `lower`, which numbers do not have.
        texts = [arg if isinstance(arg, str) else _ENCODER.encode(arg) for arg in args[1:]]
        return await super().get_keys(args[0], *texts)
