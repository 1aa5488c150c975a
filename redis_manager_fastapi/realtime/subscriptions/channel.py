"""What is listened to, and who listens: no I/O here.

A channel is *heard* while the server has confirmed the subscription and the connection
lives.  A listener that is inside its block and has a channel that is not heard is broken:
it gets one `Gap` when all of its channels are heard again, but for those that the server
refuses by now.
"""

import asyncio
import enum
from collections.abc import Callable, Iterable

from redis_manager_fastapi.realtime.buffer import Buffer
from redis_manager_fastapi.realtime.items import Gap, Message


class Kind(enum.Enum):
    """What is subscribed to, by the first letter of its commands."""

    CHANNEL = ""
    PATTERN = "p"
    SHARDED = "s"


Key = tuple[Kind, str]

MessageBuffer = Buffer[Message]


class Break:
    """A time in which channels were not heard.

    Attributes:
        reason: Why, in words.
        since: Since when, on the loop's clock.
        node: The address of the Cluster's node; empty without a Cluster.
        channels: Those that are not heard again yet.
        healed: Whether any channel of it is heard again.
        told: Whether any listener got a `Gap` for it.
        on_told: Called when the first one does.
    """

    def __init__(self, reason: str, since: float, node: str = "") -> None:
        self.reason = reason
        self.since = since
        self.node = node
        self.channels: set[Channel] = set()
        self.healed = self.told = False
        self.on_told: Callable[[], None] | None = None

    def tell(self) -> None:
        """A listener gets a `Gap` for it."""
        if not self.told and self.on_told is not None:
            self.on_told()
        self.told = True


class Channel:
    """A channel, a pattern or a sharded channel that somebody listens to.

    Attributes:
        key: Its kind and its name.
        heard: Whether it is subscribed now.
        listeners: Those who listen.
        broken: Why it is not heard any more; None while it is, or if it never was.
        redirects: How often in a row a node named another one.
    """

    __slots__ = ("_buffers", "broken", "heard", "key", "listeners", "redirects")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.heard = False
        self.listeners: dict[Listener, None] = {}
        self._buffers: tuple[MessageBuffer, ...] | None = None
        self.broken: Break | None = None
        self.redirects = 0

    def __repr__(self) -> str:
        kind, name = self.key
        return f"<Channel {kind.name.lower()} {name!r} {'heard' if self.heard else 'not heard'}>"

    @property
    def deaf(self) -> bool:
        """Whether a listener that is inside its block hears nothing of it."""
        return not self.heard and any(each.entered for each in self.listeners)

    @property
    def buffers(self) -> tuple[MessageBuffer, ...]:
        """What takes its messages, one for each listener."""
        if self._buffers is None:
            self._buffers = tuple(each.buffer for each in self.listeners)
        return self._buffers

    def join(self, listener: "Listener") -> None:
        """Have *listener* get its messages."""
        self.listeners[listener] = None
        self._buffers = None
        if not self.heard:
            listener.missing.add(self)

    def leave(self, listener: "Listener") -> None:
        """Have *listener* get no more of them."""
        self.listeners.pop(listener, None)
        self._buffers = None

    def confirm(self, now: float) -> None:
        """The server has confirmed the subscription."""
        broken, self.broken = self.broken, None
        self.heard, self.redirects = True, 0
        for listener in self.listeners:
            listener.found(self, now, broken)

    def lose(self, broken: Break) -> None:
        """It is not heard any more."""
        if self.broken is None and self.heard and any(each.entered for each in self.listeners):
            self.broken = broken
            broken.channels.add(self)
        self.heard = False
        for listener in self.listeners:
            listener.missing.add(self)

    def refuse(self, make_error: Callable[[], Exception]) -> None:
        """The server refuses it: each of those who are entering gets an error."""
        now = asyncio.get_running_loop().time()
        for listener in self.listeners:
            listener.refuse(make_error)
            if listener.entered:
                listener.do_without(self, now)


class Listener:
    """One `subscribe` block.

    Attributes:
        keys: What it listens to.
        buffer: What it has still to take.
        missing: Its channels that are not heard now.
        entered: Whether the server had confirmed all of them.
    """

    __slots__ = ("__weakref__", "_over", "_ready", "buffer", "entered", "keys", "missing")

    def __init__(self, keys: Iterable[Key], buffer: MessageBuffer) -> None:
        self.keys = tuple(dict.fromkeys(keys))
        self.buffer = buffer
        self.missing: set[Channel] = set()
        self.entered = False
        self._ready: asyncio.Future[None] | None = None
        self._over: list[Break] = []  # breaks of channels that are back, not told yet

    async def wait_heard(self) -> None:
        """Wait until all its channels are heard for the first time.

        Raises:
            Exception: The server refused one of them.
        """
        if self.missing:
            self._ready = asyncio.get_running_loop().create_future()
            await self._ready
        self.entered = True

    def found(self, channel: Channel, now: float, broken: Break | None) -> None:
        """*channel* is heard; *broken* says why it was not."""
        if self.entered and broken is not None and broken not in self._over:
            self._over.append(broken)
        self.do_without(channel, now)

    def do_without(self, channel: Channel, now: float) -> None:
        """Go on as soon as the others are heard."""
        self.missing.discard(channel)
        if self.missing:
            return
        if self._ready is not None and not self._ready.done():
            self.entered = True  # in this turn: a break in the next one is to be told
            self._ready.set_result(None)
        if self._over:
            over, self._over = self._over, []
            self._tell(over, now)

    def refuse(self, make_error: Callable[[], Exception]) -> None:
        """End an entering that cannot succeed; one that has entered is never told."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(make_error())

    def _tell(self, breaks: list[Break], now: float) -> None:
        """Put one gap for *breaks*, which have overlapped."""
        first = min(breaks, key=lambda broken: broken.since)
        self.buffer.put_gap(Gap(first.reason, max(0.0, now - first.since)))
        for broken in breaks:
            broken.tell()
