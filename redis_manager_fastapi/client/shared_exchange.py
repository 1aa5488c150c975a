"""A pipeline's commands and replies on a shared connection, as redis-py's code exchanges them."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from redis_manager_fastapi.commands.packing import ASKING, LARGE_REQUEST, pack
from redis_manager_fastapi.commands.sharing import ANY_SCRIPTS, SHARED, SharedCommand
from redis_manager_fastapi.delivery.contract import Kind
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import Batch

# MULTI and EXEC share a connection only around a batch that leaves in one write.
_BRACKETS = {name: SharedCommand((name,), read_only=True) for name in ("MULTI", "EXEC")}


class TooLargeToShareError(Exception):
    """The batch would hold up other callers; nothing of it was sent."""


class SharedExchange:
    """Stands where redis-py's pipeline expects a connection: one write, then its replies.

    Attributes:
        outcomes: The replies, exceptions included; as a `DedicatedConnection` notes them.
    """

    himport_registry = None

    def __init__(
        self,
        session: Session[Pool],
        carry: Callable[[Pool, Batch], Awaitable[Any]],
        kind: Kind,
        asking: bool,
    ) -> None:
        self._session = session
        self._carry = carry
        self._read_only = kind is Kind.READ_PIPELINE
        self._asking, self._script = asking, False
        self._expected = 0
        self._multi: int | None = None
        self.outcomes: list[Any] | None = None
        self._replies: list[Any] = []

    def pack_commands(self, commands: Iterable[tuple[Any, ...]]) -> bytes:
        """Pack commands into one piece."""
        commands = list(commands)
        packed = [pack(SHARED.get(args[0]) or _BRACKETS[args[0]], args) for args in commands]
        links = self._session.opened.link_set
        if links.room.alone and any(map(links.goes_alone, packed)):
            raise TooLargeToShareError
        self._script = not ANY_SCRIPTS.isdisjoint([args[0] for args in commands])
        if commands[-1][0] == "EXEC":
            self._multi = int(self._asking)
        if self._asking:
            packed.insert(0, ASKING)
        self._expected = len(packed)
        return b"".join(packed)

    async def send_packed_command(self, packed: bytes) -> None:
        """Send the batch and wait for all of its replies."""
        if len(packed) > LARGE_REQUEST:
            raise TooLargeToShareError
        pool, deadline = await self._session.admit()
        if pool.link_set.goes_alone(packed):
            raise TooLargeToShareError
        reply_to = pool.loop.create_future()
        decode, read_only = self._session.options.decode, self._read_only
        request = Batch(
            packed,
            reply_to,
            deadline,
            decode,
            read_only,
            began=deadline - self._session.options.timeout,
            expected=self._expected,
            multi=self._multi,
            script=self._script,
        )
        replies = await self._carry(pool, request)
        self.outcomes = outcomes = replies[1:] if self._asking else replies
        self._replies = outcomes[::-1]

    async def read_response(self, disable_decoding: bool = False) -> Any:
        """Return the next reply, or raise it."""
        reply = self._replies.pop()
        if isinstance(reply, Exception):
            raise reply
        return reply
