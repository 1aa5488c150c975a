"""Where the keys of a command are: by the tables, and asked of a node for the rest."""

import random
from binascii import crc_hqx
from typing import Any

from redis.asyncio.connection import Encoder  # pyright: ignore[reportPrivateImportUsage]  # there is no `__all__`
from redis.client import CaseInsensitiveDict
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import RedisClusterException

from redis_manager_fastapi.cluster.redis_py import AsyncCommandsParser
from redis_manager_fastapi.commands.keys import ONE_KEY, keys_of

_ENCODER = Encoder("utf-8", "strict", decode_responses=False)


def slot_of(key: Any) -> int:
    """Return the hash slot of *key*."""
    encoded = key.encode() if type(key) is str else bytes(_ENCODER.encode(key))
    if b"{" in encoded:  # redis-py's function looks for a tag in it, which takes as long again
        return key_slot(encoded)
    return crc_hqx(encoded, 0) % REDIS_CLUSTER_HASH_SLOTS


def known_slot(command: str, args: tuple[Any, ...]) -> int | None:
    """Return the slot of a command, any for a function without keys; None if no table knows.

    Raises:
        redis.RedisClusterException: Its keys are of several slots.
    """
    if command in ONE_KEY and args:
        return slot_of(args[0])
    slots = {slot_of(key) for key in keys_of(command, args)}
    if len(slots) > 1:
        raise RedisClusterException(f"{command} - all keys must map to the same key slot")
    if not slots and command in ("FCALL", "FCALL_RO"):
        return random.randrange(REDIS_CLUSTER_HASH_SLOTS)  # noqa: S311
    return slots.pop() if slots else None


class KeyFinder(AsyncCommandsParser):
    """redis-py's finder of keys, which asks a node that serves.

    What it knows of the server's commands is kept for the life of the manager.
    """

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._client = self.node = client

    async def initialize(self, node: Any = None) -> None:
        """Learn the server's commands, anew if they are known already."""
        commands = await self._client.deliver(("COMMAND",), {})
        self.commands = {name.lower(): command for name, command in commands.items()}

    async def get_keys(self, *args: Any) -> Any:
        """Return the keys among the arguments of a command."""
        async with self._client.session.opened.learning:
            if not self.commands:
                await self.initialize()
                # Keys come back as they are: they may be any bytes.
                self.node = self._client.with_options(decode_responses=False)
                self.node.response_callbacks = CaseInsensitiveDict({})
        # redis-py 8.1 looks for a subcommand with `lower`, which numbers do not have.
        texts = [arg if isinstance(arg, str) else _ENCODER.encode(arg) for arg in args[1:]]
        return await super().get_keys(args[0], *texts)


def goes_on_nowhere(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether this is redis-py's `scan_iter` after its node has left: a cursor, and no node."""
    unnamed = "target_nodes" in options and options["target_nodes"] is None
    return unnamed and args[0] == "SCAN" and not is_zero(args, 1)


def is_zero(args: tuple[Any, ...], index: int) -> bool:
    """Return whether the argument at *index* is 0."""
    return len(args) > index and args[index] in (0, "0", b"0")
