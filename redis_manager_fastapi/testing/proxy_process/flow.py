"""One direction of one connection: which bytes pass, when, and how many at a time.

Nothing here touches a socket.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

Direction = Literal["to_server", "to_client"]
DIRECTIONS: tuple[Direction, ...] = ("to_server", "to_client")

_MAX_QUEUED = 16


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to the bytes of one direction.

    Attributes:
        hole: They are lost.
        delay: Each arrives this much later.
        piece: They arrive in pieces of at most this size; 0 leaves them whole.
        interval: The pause after each piece.
    """

    hole: bool = False
    delay: float = 0.0
    piece: int = 0
    interval: float = 0.0


@dataclass(frozen=True, slots=True)
class Cut:
    """How a connection ends once enough bytes of one direction have passed.

    Attributes:
        after: This many bytes still pass.
        ending: The client gets a reset, or an end of file.
        once: Only the first connection that comes so far is cut.
    """

    after: int
    ending: Literal["reset", "eof"]
    once: bool


class Flow:
    """One direction of one connection.

    Attributes:
        lost: Bytes were lost.  TCP never skips any, so no later ones pass either.
        arrived: What was read and when; `b""` is the end, None a reset.
    """

    def __init__(self, rule: Rule, cut: Cut | None) -> None:
        self.rule = rule
        self.lost = False
        self.arrived: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(_MAX_QUEUED)
        self._changed = asyncio.Event()
        self.arm(cut)

    @property
    def silent(self) -> bool:
        """Whether the receiver learns nothing of what the sender does."""
        return self.lost or self.rule.hole

    @property
    def due(self) -> Cut | None:
        """The cut, if as many bytes have passed as it lets pass."""
        return self.cut if self.left == 0 else None

    def arm(self, cut: Cut | None) -> None:
        """Count towards a cut, from the next byte on."""
        self.cut = cut
        self.left = cut.after if cut else None

    def follow(self, rule: Rule) -> None:
        """Obey another rule at once, also for bytes that wait under the present one."""
        self.rule = rule
        self._changed.set()

    async def next(self) -> bytes | None:
        """Return what has arrived, after the rule's delay."""
        since, data = await self.arrived.get()
        while (left := since + self.rule.delay - time.monotonic()) > 0:
            await self._pause(left)
        return data

    def take(self, data: bytes) -> bytes:
        """Return the part that passes next, empty when all of it is lost."""
        self.lost = self.silent
        if self.lost:
            return b""
        piece = data[: self.rule.piece or len(data)]
        if self.left is not None:
            piece = piece[: self.left]
            self.left -= len(piece)
        return piece

    async def rest(self) -> None:
        """Pause between two pieces, if the rule has pieces."""
        if self.rule.piece:
            await self._pause(self.rule.interval)

    async def _pause(self, seconds: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass
