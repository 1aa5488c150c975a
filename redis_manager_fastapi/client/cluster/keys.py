"""Where the keys of a command are."""

from typing import Any

from redis._parsers import AsyncCommandsParser
from redis.asyncio.connection import Encoder
from redis.crc import key_slot

from redis_manager_fastapi.pool.commands import SHARED

# Commands that may share a connection and whose keys are not just their first argument:
# they have none, several, or some that only the server finds.
_OTHER_KEYS = """
    BITOP CLUSTERSCAN COPY DBSIZE DEL ECHO EVAL EVALSHA EVALSHA_RO EVAL_RO EXISTS FCALL FCALL_RO
    GEORADIUS GEORADIUSBYMEMBER GEOSEARCHSTORE LCS LMOVE LMPOP LOLWUT MGET MSET MSETEX MSETNX
    OBJECT PFCOUNT PFMERGE PING PUBLISH RANDOMKEY RENAME RENAMENX RPOPLPUSH SCAN SDIFF SDIFFSTORE
    SINTER SINTERCARD SINTERSTORE SMOVE SORT SORT_RO SUNION SUNIONSTORE TOUCH UNLINK ZDIFF
    ZDIFFSTORE ZINTER ZINTERCARD ZINTERSTORE ZMPOP ZRANGESTORE ZUNION ZUNIONSTORE
"""

ONE_KEY = {name: command for name, command in SHARED.items() if name not in _OTHER_KEYS.split()}
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
        self._client = client

    async def initialize(self, node: Any = None) -> None:
        """Learn the server's commands, anew if they are known already."""
        commands = await self._client.execute_command("COMMAND", target_nodes=[self._node(node)])
        self.commands = {name.lower(): command for name, command in commands.items()}

    async def get_keys(self, *args: Any) -> Any:
        """Return the keys among the arguments of a command."""
        if not self.commands:
            await self.initialize()
        asker: Any = _Asker(self._client, self._node(None))
        self.node = asker
        return await super().get_keys(*args)

    def _node(self, node: Any) -> Any:
        return node or self._client.get_default_node()


class _Asker:
    """What redis-py's finder takes for a node; it sends COMMAND GETKEYS."""

    def __init__(self, client: Any, node: Any) -> None:
        self._client = client
        self._node = node

    async def execute_command(self, *args: Any) -> Any:
        return await self._client.execute_command(*args, target_nodes=[self._node])
