"""A replica that the Sentinels know, for reads.

Each process takes one at random, so that many processes spread over all of
them.  Most Sentinels have to know it, and one's word is enough that it is up: the
replica itself says whether it is a replica and has its primary, which a Sentinel
may know 10 s late.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection
from redis.credentials import CredentialProvider
from redis.exceptions import NoPermissionError

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.settings import Address, RedisSettings
from redis_manager_fastapi.topology.interface import Target
from redis_manager_fastapi.topology.options import target_at
from redis_manager_fastapi.topology.racing import Reach
from redis_manager_fastapi.topology.sentinel_link import ask_all, known_to_most
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

_DISCONNECTED = "the replica is not connected to its primary"


class SentinelReplica:
    """Reaches one replica of a service by way of its Sentinels.

    Attributes:
        address: The replica that was chosen; None until the next `locate`.
    """

    def __init__(
        self,
        settings: RedisSettings,
        credentials: CredentialProvider | None = None,
        tls: SharedTLSContext | None = None,
    ) -> None:
        self.address: Address | None = None
        self._settings = settings
        self._credentials = credentials
        self._tls = tls or SharedTLSContext()
        self._reaches = defaultdict[Address, Reach](Reach)
        self._left: Address | None = None
        self._vouched_for = False
        self._choosing = asyncio.Lock()

    def start(self, on_move: Callable[[str], None]) -> None:
        """Watch nothing: the replica itself is asked for its role while it is read from."""

    async def aclose(self) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Choose anew at the next `locate`: another one, if there is another."""
        self._left, self.address = self.address or self._left, None

    async def locate(self) -> Target:
        """Return where the replica is; all connections of a generation go to the same one.

        Raises:
            RedisUnavailableError: No Sentinel knows one that is up.
        """
        async with self._choosing:
            address = self.address = self.address or await self._choose()
        address = self._settings.reach(address)
        return target_at(self._settings, self._credentials, address.host, address.port)

    async def confirm(self, connection: AbstractConnection) -> None:
        """Check that the server is a replica, and connected to its primary."""
        await connection.send_command("ROLE")
        try:
            role = cast("list[Any]", await connection.read_response())
        except NoPermissionError:
            # The Sentinel's word has to do.
            reason = "" if self._vouched_for else _DISCONNECTED
        else:
            reason = not_a_replica(role) or disconnected(role)
        if reason:
            raise RedisUnavailableError(reason)

    async def _choose(self) -> Address:
        nodes = self._settings.sentinel.nodes
        answers, failures = await ask_all(nodes, self._settings, self._tls, None, self._reaches)
        listed = [each for answer in answers for each in answer.replicas if not each.down]
        vouched_for = {each.address for each in listed if each.vouched_for}
        up = list({each.address for each in listed} & known_to_most(answers))
        others = [each for each in up if each != self._left] or up
        if not others:
            error = RedisUnavailableError("no Sentinel knows a replica that is up")
            error.__cause__ = failures[0] if failures else None
            raise error
        known_good = [each for each in others if each in vouched_for]
        chosen = random.choice(known_good or others)  # noqa: S311 (spreads load)
        self._vouched_for = chosen in vouched_for
        return chosen


def not_a_replica(role: list[Any]) -> str:
    """Return what is wrong with a reply to ROLE for one who wants a replica; empty if nothing."""
    return "" if role[0] in ("slave", b"slave") else "the server is not a replica"


def disconnected(role: list[Any]) -> str:
    """Return what is wrong with a replica's link to its primary; empty if nothing."""
    if role[3] in ("connected", b"connected"):
        return ""
    return _DISCONNECTED
