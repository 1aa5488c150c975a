"""redis-py's connections, made safe to lease.

What is added: closing aborts the transport, because closing politely waits for
a peer that may be stopped; losing the connection raises this library's errors;
and the connection knows whether a command left state behind, so that it is not
handed to the next caller.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from math import inf, isinf
from traceback import clear_frames
from typing import Any
from weakref import WeakKeyDictionary

import redis.exceptions as redis_errors

from redis_manager_fastapi.commands.blocking import (
    BLOCKING,
    EARLY,
    Wait,
    begin,
    blocking_timeout,
    upper_word,
    with_time_left,
)
from redis_manager_fastapi.commands.packing import SLICE, Unpacked
from redis_manager_fastapi.commands.sharing import LEAVE_SESSION, leaves_session_alone
from redis_manager_fastapi.errors import Cause, RedisManagerError
from redis_manager_fastapi.pool.authenticated import AuthenticatedConnection
from redis_manager_fastapi.pool.counters import BOUNDS, Counters
from redis_manager_fastapi.pool.listening import BEFORE, UNREADABLE
from redis_manager_fastapi.pool.pacing import turnstile
from redis_manager_fastapi.pool.reader import TolerantReader
from redis_manager_fastapi.pool.request import ENDED
from redis_manager_fastapi.pool.watched import Question
from redis_manager_fastapi.redis_py import ONCE
from redis_manager_fastapi.topology.credentials import HiddenBytes, hide

_LISTENING = frozenset({"MONITOR", "PSUBSCRIBE", "SSUBSCRIBE", "SUBSCRIBE"})
_OPENERS = frozenset({"MULTI", "WATCH"})
_CLOSERS = frozenset({"EXEC", "DISCARD"})


class DedicatedConnection(AuthenticatedConnection):
    """A redis-py connection that one caller holds at a time.

    Attributes:
        counters: Those of its server.
        outcomes: Takes every reply, or the error that it was, while somebody wants to know.
        decode: Whether replies are decoded for the present holder.
        generation: The pool's generation when it was made.
        opened_at: When it was made, on the monotonic clock.
        peer: The socket's other end.
        stream: What the socket belongs to.
        when_dropped: Called when the holder has dropped the connection without giving it
            back, from any thread; whoever sets it closes the stream.
        blocks_until: When the time of a blocking command ends that is sent again; else None.
        tainted: A command changed the session (SELECT, an unknown one): never leased again.
    """

    outcomes: list[Any] | None = None
    decode: bool = True
    generation: int = 0
    opened_at: float = 0.0
    peer: object = None
    stream: asyncio.StreamWriter | None = None
    when_dropped: "Callable[[], None] | None" = None
    blocks_until: float | None = None
    tainted: bool = False

    def __init__(
        self, *, instance: str = "default", counters: Counters | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.instance = instance
        self.counters = counters or Counters()
        self._unfinished: set[str] = set()
        self._serving = self._was_lost = False
        self._answered = False
        self._read_at_once, self._sent_at = 0, 0.0
        self._wait: Wait | None = None

    def __del__(self, *_: Any) -> None:
        """Have the place freed of a connection that its holder has dropped."""
        if self.when_dropped is not None:
            self.when_dropped()
        else:
            super().__del__()

    @property
    def alive(self) -> bool:
        """Whether a command could be written; redis-py's `is_connected` misses a reset."""
        return self._writer is not None and not self._writer.transport.is_closing()

    @property
    def broken(self) -> bool:
        """Whether the peer, not the holder, ended the connection."""
        return self._was_lost or (self.is_connected and not self.alive)

    @property
    def clean(self) -> bool:
        """Whether nothing of the last holder is left: no state, and no reply to come."""
        return self.alive and not self.has_session and self._to_come <= 0

    async def reusable(self) -> bool:
        """Return whether another holder may have it: it is clean, and no reply is left unread."""
        try:
            unread = self.alive and await self.can_read()
        except redis_errors.RedisError:
            return False
        return self.clean and not unread and (self.tokens is None or await self.takes_token())

    @property
    def has_session(self) -> bool:
        """Whether the holder has left anything on it that another connection would not have."""
        return self.tainted or bool(self._unfinished)

    async def on_connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Shake hands, once a server that takes no clients has had time to say so.

        Its last words are lost when a command is written to the socket that it has closed.
        """
        for _ in range(2):
            await asyncio.sleep(0)
        await super().on_connect_check_health(*args, **kwargs)

    async def connect(self) -> None:
        """Connect if the connection is not connected; in service, by way of the pool."""
        if self.alive and (self._serving or self.reconnect is None):
            return
        if self._resubscribing:
            raise self._lost("was lost before it was subscribed", maybe_executed=False)
        if self.reconnect is None:
            await self.establish()
        else:
            await self.reconnect(self)

    async def establish(self) -> None:
        """Connect and shake hands; errors are redis-py's until the session starts."""
        if self.listens:
            self.note_loss()
        if self._writer is not None:
            self.abort()
        self._serving, self.last_words, self.refusal = False, b"", None
        # The callbacks are a pub/sub's; after a SUBSCRIBE nothing else could be asked.
        callbacks, self._connect_callbacks = self._connect_callbacks, []
        retry, self.retry = self.retry, ONCE  # it is for commands
        try:
            await super().connect()
            self._read_in_pieces()
            if self.protocol != 2:
                self.read_with(TolerantReader)
        finally:
            self._connect_callbacks, self.retry = callbacks, retry

    def session_starts(self) -> None:
        """The handshake is over: from here on state and lost replies are noted."""
        self._unfinished.clear()
        self._serving, self._was_lost, self.was_silent = True, False, False
        self._blocking, self._wait, self.left_behind = 0.0, None, False
        self.tainted, self._packed, self._to_come = False, 0, 0
        self._cause = Cause.CONNECTION_LOST
        if self.listens:
            self._listen_anew()
        self.stream = self._writer
        self.peer = self._writer.get_extra_info("peername") if self._writer else None
        self._clock = asyncio.get_running_loop().time
        self.opened_at = self._clock()

    def pack_command(self, *args: Any) -> list[bytes]:
        """Pack one command and, once the session has started, note what it does to it."""
        if self._serving:
            if self._farewell is not None and "MULTI" not in self._unfinished:
                self.refuse_to_outlast(args)
            further = self._begin(args[0])
            if self.sent is not None and not further:
                self.sent.append(args if self._wait is None else self._wait.args)
            self._note(args[0], args, alone=len(args) == 1)
            return super().pack_command(*map(_as_bytes, args))
        return [HiddenBytes(packed) for packed in super().pack_command(*args)]

    async def send_command(self, *args: Any, **kwargs: Any) -> None:
        """Send one command; one that blocks goes out in parts, which `read_response` sends on."""
        self._wait, self._owed, self.parts = None, None, 0
        name, watch = args[0], self.watch
        word = name.upper() if type(name) is str else upper_word(name)
        if self._farewell is not None and word in BLOCKING:  # it may be refused
            await turnstile().refused()
        if word not in BLOCKING or watch is None or "MULTI" in self._unfinished:
            await super().send_command(*args, **kwargs)
            return
        if word == "XREAD":
            args = await self.resolve(args)
        now, whole = asyncio.get_running_loop().time(), self._takes_whole_seconds
        if self.blocks_until is not None:
            args = with_time_left(args, self.blocks_until - now)
        begun = begin(word, args, now, watch.interval, whole=whole)
        if begun is None:
            await super().send_command(*args, **kwargs)
        else:
            self._wait, args = begun
            await self._send_part(self._wait, args)

    async def _send_part(self, wait: Wait, args: tuple[Any, ...]) -> None:
        if self._farewell is not None and wait.ends > self._parts_at:
            raise self._parting(self._farewell)
        if self.left_behind and self.for_one_command:
            raise self._lost("was left for another server", maybe_executed=False)
        packed, self._owed = self.pack_command(*args), wait.part_ends
        await self.send_packed_command(packed)

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> Any:
        """Pack commands; many are packed later, in slices, by `send_packed_command`."""
        listed = commands if type(commands) is list else list(commands)
        return super().pack_commands(listed) if len(listed) <= SLICE else Unpacked(listed)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Write packed commands; a lost connection raises `ReplyLostError`."""
        self._read_at_once = 0
        if type(command) is not Unpacked:
            await self._send_packed(command, check_health)
            return
        # All are packed before the first is sent: one that cannot be packed keeps back all.
        slices, commands = [], command.commands
        for start in range(0, len(commands), SLICE):
            slices.append(super().pack_commands(commands[start : start + SLICE]))
            await asyncio.sleep(0)
        for number, packed in enumerate(slices):
            await self._send_packed(packed, check_health, begun=number > 0)
            await asyncio.sleep(0)

    async def _send_packed(self, command: Any, check_health: bool, *, begun: bool = False) -> None:
        if not self._serving:
            # Event loops raise anything for a write to a closed connection: uvloop RuntimeError,
            # CPython 3.12 and 3.13 others (python/cpython#136234). What is read says why it is.
            if self._writer is not None and not self.alive:
                return
        elif not self.alive:
            if not self._subscribed or self._resubscribing:
                await turnstile().refused()
                raise self._lost("was lost before the command was sent", maybe_executed=begun)
            await self.connect()
        # redis-py limits a write with `asyncio.wait_for`, which on Python 3.11 may swallow a
        # cancellation (python/cpython#86296); `asyncio.timeout` does not.
        limit, self.socket_timeout = self.socket_timeout, None
        if self._serving:
            pieces = [command] if isinstance(command, bytes) else command
            self.counters.bytes_sent += sum(map(len, pieces))
            self._sent_at = self._clock()
        try:
            async with asyncio.timeout(limit) if limit else nullcontext():
                await super().send_packed_command(command, check_health)
        except TimeoutError as error:
            raise self._late() from error
        except redis_errors.ConnectionError as error:
            if not self._serving:
                raise
            raise self._lost("was lost while the command was being sent") from error
        finally:
            self.socket_timeout = limit

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Read one reply; a pub/sub's connection is replaced when it is lost meanwhile.

        Raises:
            CommandTimeoutError: None came in time.
            ReplyLostError: The connection was lost first, or the reply is malformed.
            RedisUnavailableError: A pub/sub's was not replaced within grace.
        """
        self._read_at_once += 1
        if self._read_at_once > SLICE:
            self._read_at_once = 0
            await asyncio.sleep(0)
        if self.listens:
            return await self._hear(disable_decoding, timeout, **kwargs)
        while (wait := self._wait) is not None:
            try:
                reply = await self._read(disable_decoding, timeout, **kwargs)
            except redis_errors.ResponseError as error:
                if not wait.must_be_whole(str(error)):
                    self._wait = None
                    raise
                self._takes_whole_seconds = True
            else:
                now = asyncio.get_running_loop().time()
                # An earlier reply is an answer, or another client has unblocked this one.
                part_is_over = wait.part_ends - EARLY <= now < wait.ends
                if not part_is_over or not wait.goes_on(reply, now):
                    self._wait = None
                    return reply
            self.parts += 1
            self.counters.commands -= 1  # a part's end is no answer
            await self._send_part(wait, wait.next(asyncio.get_running_loop().time()))
        return await self._read(disable_decoding, timeout, **kwargs)

    def _count_answer(self) -> None:
        """Count an answer; the first one to what was sent is timed, unless it was to block."""
        counters, pieces = self.counters, self._pieces
        counters.commands += self._serving and not self.listens
        if self._sent_at and pieces is not None and not self._blocking:
            seconds, self._sent_at = pieces.heard_at - self._sent_at, 0.0
            counters.seconds += seconds
            counters.buckets[bisect_left(BOUNDS, seconds)] += 1
            if counters.observe is not None:
                counters.observe(seconds, 1)

    async def _read(
        self, disable_decoding: bool = False, timeout: float | None = None, **kwargs: Any
    ) -> Any:
        raw, limit = disable_decoding or not self.decode, self.socket_timeout
        if self._blocking and limit is not None:
            self.socket_timeout = None if isinf(self._blocking) else limit + self._blocking
        if self.listens or self._owed is not None:
            self._watch_reply()
        stream = self._writer
        try:
            reply = await super().read_response(raw, timeout, **kwargs)
        except (RedisManagerError, UnicodeDecodeError) as error:  # the latter's reply was read
            self._explain(error)
            raise
        except (redis_errors.RedisError, *UNREADABLE) as error:
            replaced = self._writer is not None and self._writer is not stream
            # A holder that meets an error and drops the connection is missed at once, without
            # a cycle: redis-py's frames have the reply that they raise, and the connection.
            clear_frames(error.__traceback__)
            seen = self._error(BEFORE) if replaced else self._seen(error)
            try:
                if seen is error:
                    raise
                raise seen from error
            finally:
                del seen  # its traceback has this frame
        finally:
            self._end_one()
            if self._blocking:
                self.socket_timeout = limit
        if self._serving:
            self._count_answer()
            if self._unfinished or self.outcomes is not None:
                self._note_outcome(reply)
            return reply
        return reply if self.credential_provider is None else hide(reply)  # AUTH may be repeated

    def _watch_reply(self) -> None:
        if self.listens:
            self._start_watch()
        elif self._owed and self.watch:
            due = self._owed + self.watch.timeout
            self._timer = asyncio.get_running_loop().call_at(due, self._look, due)

    def _note_outcome(self, outcome: Any) -> None:
        """Note what a reply, or an error, says of the session and of its transaction."""
        if self.outcomes is not None:
            self.outcomes.append(outcome)
        if outcome is None or isinstance(outcome, ENDED):
            self._unfinished.discard("EXEC")
        # redis-py passes over some of the handshake's; the server may hang up after one.
        if isinstance(outcome, Exception) and not (
            self._serving or "unknown" in str(outcome).lower()
        ):
            self.refusal = outcome

    def _read_in_pieces(self) -> None:
        transport: Any = None if self._writer is None else self._writer.transport
        stream = transport and transport.get_protocol()
        if isinstance(stream, asyncio.StreamReaderProtocol):
            self._pieces = PiecewiseProtocol(stream, self.counters)
            transport.set_protocol(self._pieces)

    def _note(self, name: Any, args: tuple[Any, ...], *, alone: bool) -> None:
        """Note a command; with arguments that it does not take, a closer closes nothing."""
        word = name.upper() if type(name) is str else upper_word(name)
        if word in _OPENERS:
            self._unfinished.add(word)
        elif word == "UNWATCH" and alone:
            self._unfinished.discard("WATCH")
        elif word in _CLOSERS and alone and "MULTI" in self._unfinished:
            self._unfinished.clear()
            if word == "EXEC":  # until it is answered as it is when the transaction ends
                self._unfinished.add(word)
        elif word in BLOCKING:
            if "MULTI" not in self._unfinished:
                self._note_time(args)
        elif word in _LISTENING:
            self.tainted = True
            self._note_listening(len(args) - 1)
        elif word not in LEAVE_SESSION and not leaves_session_alone(word, args):
            self.tainted = True

    def _begin(self, name: Any) -> bool:
        """Note that a command is on its way; return whether it is a further part of one."""
        if self._answered or not self._packed:
            self._blocking, self._answered, self._to_come, self._until = 0.0, False, 0, 0.0
            if self._pieces is not None:
                self._pieces.received = 0
            if self._wait is not None and self.parts:
                self._to_come = 1
                return True
            self._first, self._packed, self._begun_at = name, 0, self._clock()
        self._packed += 1
        self._to_come += 1
        return False

    def _end_one(self) -> None:
        """Note that a reply has come, or that none will."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.listens:
            self._owed = None
        self._answered = True
        self._to_come -= 1

    def _note_time(self, args: tuple[Any, ...]) -> None:
        """Note how long the commands that were packed since the last reply may block."""
        now, wait = self._clock(), self._wait
        if wait is not None:
            self._blocking, self._until = wait.part_ends - now, wait.ends
        elif (seconds := blocking_timeout(args)) is not None:
            self._blocking += seconds or inf
            self._until = now + self._blocking


def _as_bytes(value: Any) -> Any:
    """A memoryview of wide items as bytes: redis-py 8.1 announces its length in items."""
    wide = isinstance(value, memoryview) and value.nbytes != len(value)
    return value.tobytes() if wide else value


# At most this many bytes of one connection are taken in one turn of the loop. asyncio and
# uvloop read up to four times as much; every other caller then waits for its copies.
PIECE = 64 * 1024

# What was read is copied out before the loop's next read begins, so all connections of one
# loop can share a buffer. Loops of other threads cannot: a read lets them run before the copy.
_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


class PiecewiseProtocol(asyncio.BufferedProtocol):
    """Hands what comes to a stream's own protocol, a piece each turn of the loop.

    Attributes:
        counters: Those of the server.
        stream: The protocol that `asyncio.open_connection` made.
        heard_at: When bytes last came, on the loop's clock; before the first, when it began.
        received: How many have come since a command was last sent.
        question: Whose answer is looked for in them.
    """

    def __init__(self, stream: asyncio.StreamReaderProtocol, counters: Counters) -> None:
        self.stream, self.counters = stream, counters
        loop = asyncio.get_running_loop()
        if loop not in _buffers:
            _buffers[loop] = memoryview(bytearray(PIECE))
        self._buffer = _buffers[loop]
        self._clock = loop.time
        self.heard_at, self.received = loop.time(), 0
        self.question: Question | None = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass the piece on."""
        self.heard_at = self._clock()
        self.counters.bytes_received += nbytes
        self.received += nbytes
        if self.question is not None:
            self.question.look_in(bytes(self._buffer[:nbytes]), self.heard_at)
        self.stream.data_received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool | None:
        """The server closed its side."""
        self.heard_at = self._clock()
        return self.stream.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if exc is not None:
            self.heard_at = self._clock()
        self.stream.connection_lost(exc)

    def pause_writing(self) -> None:
        """The socket is full."""
        self.stream.pause_writing()

    def resume_writing(self) -> None:
        """The socket takes more."""
        self.stream.resume_writing()
