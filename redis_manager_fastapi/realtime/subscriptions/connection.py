"""One server's messages, on a connection of their own.

The connection is a dedicated one whose transport has got another protocol: what comes is
handed to the listeners in the turn of the loop in which it came.  It decides nothing about
healing; it tells its `FlowEvents` what the server said, and that it was lost.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import hiredis

from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.request import DoubtfulReplyError, Heartbeat
from redis_manager_fastapi.realtime.items import Message, bytes_of
from redis_manager_fastapi.realtime.subscriptions.channel import Channel, Key, Kind, MessageBuffer

_INCOMPLETE = object()

# The words of the server's confirmations, and whether they confirm a subscription.
_ANSWERS = {
    f"{kind.value}{word}": (kind, word == "subscribe")
    for kind in Kind
    for word in ("subscribe", "unsubscribe")
}
_MESSAGES = {"message": Kind.CHANNEL, "smessage": Kind.SHARDED}

# How much is handed out in one turn of the loop, where to wake a task counts as several
# messages to one that is awake already.  Tasks that are woken together all run before
# anything else does, and what they allocate lives that long: beyond a few hundred of them the
# garbage collector looks through the whole process every hundred messages or so, which takes
# 0.15 s with 1,000 WebSockets.
_TURN, _WAKING = 1024, 4


class FlowEvents(Protocol):
    """Who opened the connection and hears what comes over it."""

    def receivers(self, key: Key) -> tuple[MessageBuffer, ...]:
        """Return what takes the messages of *key*."""
        ...

    def confirmed(self, channel: Channel) -> None:
        """The server has subscribed *channel*."""
        ...

    def refused(self, channel: Channel, error: Exception) -> None:
        """The server does not subscribe *channel*."""
        ...

    def revoked(self, key: Key) -> None:
        """The server itself has ended a subscription."""
        ...

    def flow_lost(self, flow: "SubscriptionConnection") -> None:
        """*flow* is gone, and all that came over it has been handed out."""
        ...


@dataclass(frozen=True, slots=True)
class _Order:
    """A command that waits for its confirmation."""

    word: str
    channel: Channel


class SubscriptionConnection(asyncio.Protocol):
    """A connection over which channels are heard.

    Attributes:
        last_heard: When bytes last came, on the loop's clock.
        lost: Whether the connection is gone.
        reason: Why it is.
        lost_since: Since when nothing could be heard over it.
        messages: How many messages have come.
    """

    def __init__(self, events: FlowEvents, connection: DedicatedConnection) -> None:
        self.loop = asyncio.get_running_loop()
        self.last_heard = self.loop.time()
        self.lost = False
        self.reason = ""
        self.lost_since = 0.0
        self.messages = 0
        self._events = events
        self._reader = hiredis.Reader(
            encoding="utf-8",
            errors="surrogateescape",
            notEnoughData=_INCOMPLETE,
            protocolError=ValueError,
            replyError=connection.parse_error,
        )
        self._connection = connection
        self._transport = connection.transport
        self._orders: deque[_Order | Heartbeat] = deque()
        self._unsent: list[bytes] = []
        self._wanted: dict[Key, Channel] = {}
        self._confirmed: tuple[set[Key], set[Key]] = (set(), set())
        self._message: Any = None
        self._receivers: tuple[MessageBuffer, ...] = ()
        self._delivering = self._closed = self._paused = False
        self._numbers = secrets.token_hex(8)
        self._beats = 0
        self._beat: Heartbeat | None = None
        self._last_bytes, self._is_answered = b"", False
        self._transport.set_protocol(self)

    def __repr__(self) -> str:
        return f"<SubscriptionConnection {'lost' if self.lost else 'open'}>"

    def subscribe(self, channels: Iterable[Channel]) -> None:
        """Ask for *channels*, each by a command, so that a refusal concerns that one alone."""
        for channel in channels:
            self._wanted[channel.key] = channel
            self._order("subscribe", channel)

    def unsubscribe(self, channel: Channel) -> None:
        """Ask for no more of *channel*."""
        if self._wanted.pop(channel.key, None) is not None:
            self._order("unsubscribe", channel)

    def ask(self, timeout: float) -> Heartbeat:
        """Send a PING with a number, whose answer must come after what was asked for before."""
        self._beats += 1
        number, now = f"{self._numbers}-{self._beats}", self.loop.time()
        beat = Heartbeat(number.encode(), self.loop.create_future(), now, now + timeout)
        if self._beat is None:
            self._beat, self._last_bytes, self._is_answered = beat, b"", False
        self._send(beat, beat.packed)
        return beat

    def compare(self, timeout: float) -> Heartbeat:
        """Have the server count its subscriptions; done when the heartbeat is answered.

        To subscribe what is subscribed already changes nothing and is answered with the count.
        """
        for confirmed in self._confirmed:
            channel = next((self._wanted[key] for key in confirmed if key in self._wanted), None)
            if channel is not None:
                self._order("subscribe", channel)
        return self.ask(timeout)

    def check_flow(self) -> None:
        """Nothing: a message may be as large as it likes, as long as no answer is within it."""

    def lose(self, reason: str, since: float | None = None) -> None:
        """Drop the connection; what has come is handed out first, then its loss is told."""
        if self.lost:
            return
        self.lost, self.reason = True, reason
        self.lost_since = self.loop.time() if since is None else since
        self._connection.abort()
        if not self._delivering:
            self._deliver()

    def abort(self) -> None:
        """Drop the connection and all that it holds; nothing more is heard from it."""
        self.lost = self._closed = True
        self._receivers = ()
        self._connection.abort()
        self._end_heartbeats()

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        """Hand out what is complete."""
        self.last_heard = self.loop.time()
        self._connection.counters.bytes_received += len(data)
        try:
            self._reader.feed(data)
        except Exception as error:
            self._break(error)
            return
        if self._beat is not None and not self._is_answered:
            start, self._last_bytes = self._beat.found_in(self._last_bytes, data)
            self._is_answered = start >= 0
        if not self._delivering:
            self._deliver()

    def eof_received(self) -> bool:
        """The server closed its side; the transport closes ours."""
        self.lose("the server closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.lose("the connection was reset" if exc else "the connection was closed")

    # Inside.

    def _order(self, word: str, channel: Channel) -> None:
        kind, name = channel.key
        order = _Order(kind.value + word, channel)
        arguments = (order.word.upper().encode(), bytes_of(name))
        packed: Any = hiredis.pack_command(arguments)  # type: ignore[arg-type]
        self._send(order, packed)

    def _send(self, order: _Order | Heartbeat, packed: bytes) -> None:
        if self.lost:
            return
        self._orders.append(order)
        if not self._unsent:
            self.loop.call_soon(self._flush)
        self._unsent.append(packed)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if not self.lost:
            self._transport.write(b"".join(unsent))

    def _deliver(self) -> None:
        """Hand out replies, a turn's worth; while more is there, nothing more is read."""
        left, self._delivering = _TURN, False
        try:
            while left > 0 and not self._closed:
                if self._receivers:
                    left -= self._serve(left)
                    continue
                reply = self._reader.gets()
                if reply is _INCOMPLETE:
                    self._check_answer()
                    self._all_delivered()
                    return
                left -= 1
                self._take(reply)
        except Exception as error:
            self._break(error)
            return
        if not self._closed:
            self._delivering = True
            self.last_heard = self.loop.time()  # what waits in the socket was heard, too
            if not (self.lost or self._paused):
                self._paused = True
                self._transport.pause_reading()
            self.loop.call_soon(self._deliver)

    def _serve(self, limit: int) -> int:
        """Put the message into as many buffers as *limit* allows; return what that cost."""
        message, receivers = self._message, self._receivers
        most = max(1, limit // _WAKING)
        if len(receivers) > most and limit < _WAKING * len(receivers):
            receivers, self._receivers = receivers[:most], receivers[most:]
        else:
            self._receivers = ()
        woken = 0
        for buffer in receivers:
            woken += buffer.put(message)
        return len(receivers) + (_WAKING - 1) * woken

    def _check_answer(self) -> None:
        """Raise if a heartbeat's answer has come, and is part of what is not complete yet."""
        if self._is_answered and self._beat in self._orders:
            raise DoubtfulReplyError("a message was not complete when the next reply came")
        if self._is_answered:
            self._beat = None

    def _all_delivered(self) -> None:
        if self._paused and not self.lost:
            self._paused = False
            self._transport.resume_reading()
        elif self.lost and not self._closed:
            self._closed = True
            self._end_heartbeats()
            self._events.flow_lost(self)

    def _take(self, reply: Any) -> None:
        """Do what one reply, or one push, says."""
        if not isinstance(reply, list):
            self._take_answer(reply)
            return
        word = reply[0]
        if word in _MESSAGES:
            _, channel, data = reply
            self._take_message((_MESSAGES[word], channel), Message(channel, data))
        elif word == "pmessage":
            _, pattern, channel, data = reply
            self._take_message((Kind.PATTERN, pattern), Message(channel, data, pattern))
        elif word in _ANSWERS:
            self._take_confirmation(*reply)
        elif word == "pong":
            self._take_answer(reply[1])
        elif any(isinstance(each, list) for each in reply):
            raise DoubtfulReplyError("a message with others in it")

    def _take_message(self, key: Key, message: Message) -> None:
        self.messages += 1
        self._message, self._receivers = message, self._events.receivers(key)

    def _take_confirmation(self, word: str, name: str, count: int) -> None:
        kind, subscribed = _ANSWERS[word]
        key, confirmed = (kind, name), self._confirmed[kind is Kind.SHARDED]
        if subscribed:
            confirmed.add(key)
        else:
            confirmed.discard(key)
        head = self._orders[0] if self._orders else None
        if type(head) is _Order and (head.word, head.channel.key) == (word, key):
            self._orders.popleft()
            if count != len(confirmed):
                self.lose("the server had lost subscriptions")
            elif subscribed:
                self._events.confirmed(head.channel)
        elif subscribed:
            raise DoubtfulReplyError("a subscription that nobody asked for")
        else:
            self._events.revoked(key)

    def _take_answer(self, reply: Any) -> None:
        """Take the answer to a PING, or the error that a command was answered with."""
        if not self._orders:
            raise DoubtfulReplyError("a reply that no command was waiting for")
        head = self._orders.popleft()
        if type(head) is Heartbeat:
            head.finish(reply.encode() if isinstance(reply, str) else reply)
        elif isinstance(head, _Order) and isinstance(reply, Exception):
            self._confirmed[head.channel.key[0] is Kind.SHARDED].discard(head.channel.key)
            self._events.refused(head.channel, reply)
        else:
            raise DoubtfulReplyError("a reply that belongs to another command")

    def _break(self, error: Exception) -> None:
        """Part with a stream of which nothing more can be understood."""
        detail = str(error) if isinstance(error, DoubtfulReplyError) else type(error).__name__
        self._receivers = ()
        if self._closed:
            return
        self.lose(f"the reply stream is broken: {detail}")
        if not self._closed:
            self._all_delivered()

    def _end_heartbeats(self) -> None:
        for order in self._orders:
            if isinstance(order, Heartbeat):
                order.future.cancel()
        self._orders.clear()
