"""redis-py's connections, made safe to lease.

What is added: closing aborts the transport, because closing politely waits for
a peer that may be stopped; losing the connection raises this library's errors;
and the connection knows whether a command left state behind, so that it is not
handed to the next caller.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from math import inf, isinf
from typing import Any
from weakref import WeakKeyDictionary

import redis.exceptions as redis_errors
from redis.asyncio.connection import (
    SSLConnection,
    UnixDomainSocketConnection,
)

from redis_manager_fastapi.commands.sharing import (
    BLOCKING,
    LEAVE_SESSION,
    blocking_timeout,
    leaves_session_alone,
    upper_word,
)
from redis_manager_fastapi.errors import CommandTimeoutError, RedisManagerError, ReplyLostError
from redis_manager_fastapi.pool.reader import TolerantReader
from redis_manager_fastapi.pool.request import ENDED
from redis_manager_fastapi.redis_py import AbortableConnection
from redis_manager_fastapi.topology.credentials import HiddenBytes
from redis_manager_fastapi.topology.racing import RacingConnection

_LISTENING = frozenset({"MONITOR", "PSUBSCRIBE", "SSUBSCRIBE", "SUBSCRIBE"})
_OPENERS = frozenset({"MULTI", "WATCH"})
_CLOSERS = frozenset({"EXEC", "DISCARD"})

# What hiredis raises of bytes that are no reply; it reads nothing after that.
_UNREADABLE = (redis_errors.InvalidResponse, LookupError, MemoryError, TypeError, ValueError)

SLICE = 256
"""How many commands, or replies, of a pipeline are dealt with in one turn of the event loop."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The commands of a large pipeline, which are packed when they are sent."""

    commands: list[Any]


class DedicatedConnection(AbortableConnection):
    """A redis-py connection that one caller holds at a time.

    Attributes:
        instance: The name of the manager, for errors.
        outcomes: Takes every reply, or the error that it was, while somebody wants to know.
        decode: Whether replies are decoded for the present holder.
        generation: The pool's generation when it was made.
        opened_at: When it was made, on the monotonic clock.
        reconnect: What `connect()` does once the connection has served: redis-py's
            pub/sub connects again by itself, and must wait for the pool like any caller.
        peer: The socket's other end.
        stream: What the socket belongs to.
        listens: Whether a subscription or MONITOR has begun on it.
        when_dropped: Called when the holder has dropped the connection without giving it
            back, from any thread; whoever sets it closes the stream.
        tainted: A command changed the session (SELECT, SUBSCRIBE, an unknown
            one): it is closed on release, never leased again.
    """

    outcomes: list[Any] | None = None
    decode: bool = True
    generation: int = 0
    opened_at: float = 0.0
    reconnect: "Callable[[DedicatedConnection], Awaitable[None]] | None" = None
    peer: object = None
    stream: asyncio.StreamWriter | None = None
    listens: bool = False
    when_dropped: "Callable[[], None] | None" = None
    tainted: bool = False

    def __init__(self, *, instance: str = "default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.instance = instance
        self._unfinished: set[str] = set()
        self._serving = self._was_lost = False
        self._blocking, self._answered, self._blocks_until = 0.0, False, 0.0
        self._read_at_once = 0
        self._farewell: Callable[[], RedisManagerError] | None = None

    def __del__(self, *_: Any) -> None:
        """Have the place freed of a connection that its holder has dropped."""
        if self.when_dropped is not None:
            self.when_dropped()
        else:
            super().__del__()

    @property
    def address(self) -> tuple[object, ...]:
        """Where the server is: host and port, or the path of a unix socket."""
        return tuple(getattr(self, name, None) for name in ("host", "port", "path"))

    @property
    def alive(self) -> bool:
        """Whether a command could be written; redis-py's `is_connected` misses a reset."""
        return self._writer is not None and not self._writer.transport.is_closing()

    @property
    def blocks_until(self) -> float:
        """When the command will be over that blocks it now, on the loop's clock; else 0."""
        return 0.0 if self._answered else self._blocks_until

    @property
    def broken(self) -> bool:
        """Whether the peer, not the holder, ended the connection."""
        return self._was_lost or (self.is_connected and not self.alive)

    @property
    def clean(self) -> bool:
        """Whether nothing of the last holder is left: no session state, no open transaction."""
        return self.alive and not self.has_session

    async def reusable(self) -> bool:
        """Return whether another holder may have it: it is clean, and no reply is left unread."""
        try:
            unread = self.alive and await self.can_read()
        except redis_errors.RedisError:
            return False
        return self.clean and not unread

    @property
    def has_session(self) -> bool:
        """Whether the holder has left anything on it that another connection would not have."""
        return self.tainted or bool(self._unfinished)

    def set_parser(self, parser_class: Any) -> None:
        """Set redis-py's parser, and have it make an exception of every error line.

        A script's own MOVED need not have a slot and an address; raised from within the
        parser, what redis-py makes of that would break the stream.
        """
        super().set_parser(parser_class)
        parse: Callable[[str], Exception] = self._parser.parse_error

        def parse_any(line: str) -> Exception:
            try:
                return parse(line)
            except Exception:  # whatever it is, the line is a script's
                return redis_errors.ResponseError(line)

        self._parser.parse_error = parse_any  # type: ignore[method-assign]

    async def connect(self) -> None:
        """Connect if the connection is not connected; in service, by way of the pool."""
        if self.alive:
            return
        if self.reconnect is None:
            await self.establish()
        else:
            await self.reconnect(self)

    async def establish(self) -> None:
        """Connect and shake hands; errors are redis-py's until the session starts."""
        if self._writer is not None:
            self.abort()
        self._serving, self.last_words, self.refusal = False, b"", None
        # The callbacks are a pub/sub's; after a SUBSCRIBE nothing else could be asked.
        callbacks, self._connect_callbacks = self._connect_callbacks, []
        try:
            await super().connect()
            self._read_in_pieces()
            if self.protocol != 2:
                self.read_with(TolerantReader)
        finally:
            self._connect_callbacks = callbacks

    async def on_connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Shake hands, once a server that takes no clients has had time to say so.

        Its last words are lost when a command is written to the socket that it has closed.
        """
        for _ in range(2):
            await asyncio.sleep(0)
        await super().on_connect_check_health(*args, **kwargs)

    def aim(self, options: dict[str, Any]) -> None:
        """Take the address of the next `establish()` from the options of a connection class."""
        for name in {"host", "port"} & options.keys():
            setattr(self, name, options[name])

    def session_starts(self) -> None:
        """The handshake is over: from here on state and lost replies are noted."""
        self.tainted = False
        self._unfinished.clear()
        self._serving, self._was_lost = True, False
        self._blocking, self._blocks_until, self.listens = 0.0, 0.0, False
        self.stream = self._writer
        self.peer = self._writer.get_extra_info("peername") if self._writer else None
        self.opened_at = asyncio.get_running_loop().time()

    def say_goodbye(self, farewell: Callable[[], RedisManagerError]) -> None:
        """Have the holder, who listens, get the error that *farewell* makes.

        A pub/sub's gets it when the server has closed the connection, which it does because
        nothing more will be sent; what it sent before still arrives.  One that blocks gets
        it when the server is asked to unblock it.
        """
        self._farewell = farewell
        if not (self.listens and self.alive):
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS
            self.abort()

    async def resubscribe(self) -> None:
        """Have a pub/sub that holds the connection take up its channels again."""
        for reference in self._connect_callbacks:
            callback = reference()
            if callback is not None:
                # Those of a pub/sub are coroutines; redis-py's type has plain functions too.
                await callback(self)  # pyright: ignore[reportGeneralTypeIssues]

    def pack_command(self, *args: Any) -> list[bytes]:
        """Pack one command and, once the session has started, note what it does to it."""
        if self._serving:
            if self._answered:
                self._blocking, self._answered, self._blocks_until = 0.0, False, 0.0
            self._note(args[0], args, alone=len(args) == 1)
            return super().pack_command(*map(_as_bytes, args))
        return [HiddenBytes(packed) for packed in super().pack_command(*args)]

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
        slices = []
        commands = command.commands
        for start in range(0, len(commands), SLICE):
            slices.append(super().pack_commands(commands[start : start + SLICE]))
            await asyncio.sleep(0)
        for packed in slices:
            await self._send_packed(packed, check_health)
            await asyncio.sleep(0)

    async def _send_packed(self, command: Any, check_health: bool) -> None:
        if self._serving and not self.alive:
            raise self._lost("was lost before the command was sent", maybe_executed=False)
        # redis-py limits a write with `asyncio.wait_for`, which on Python 3.11 may swallow a
        # cancellation (python/cpython#86296); `asyncio.timeout` does not.
        limit, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(limit):
                await super().send_packed_command(command, check_health)
        except TimeoutError as error:
            raise self._late() from error
        except redis_errors.ConnectionError as error:
            if not self._serving:
                raise
            raise self._lost("was lost while the command was being sent") from error
        finally:
            self.socket_timeout = limit

    async def read_response(self, disable_decoding: bool = False, *args: Any, **kwargs: Any) -> Any:
        """Read one reply.

        Raises:
            CommandTimeoutError: None came in time.
            ReplyLostError: The connection was lost first, or the reply is malformed.
        """
        self._read_at_once += 1
        if self._read_at_once > SLICE:
            self._read_at_once = 0
            await asyncio.sleep(0)
        raw = disable_decoding or not self.decode
        limit = self.socket_timeout
        if self._blocking and limit is not None:
            self.socket_timeout = None if isinf(self._blocking) else limit + self._blocking
        try:
            reply = await super().read_response(raw, *args, **kwargs)
        except (RedisManagerError, UnicodeDecodeError):  # the latter's reply is there, and was read
            raise
        except (redis_errors.RedisError, *_UNREADABLE) as error:
            seen = self._seen(error)
            if seen is error:
                raise
            raise seen from error
        finally:
            self._answered = True
            if self._blocking:
                self.socket_timeout = limit
        if self._unfinished or self.outcomes is not None:
            self._note_outcome(reply)
        return reply

    def _seen(self, error: Exception) -> Exception:
        """Return what the holder sees of an error that came in a reply's place."""
        if isinstance(error, redis_errors.TimeoutError):
            return self._late()
        if isinstance(error, redis_errors.ConnectionError):
            if self._serving and error.status_code is None:
                return self._gone()
            if error.status_code is not None:
                self._note_outcome(error)
            return error
        if isinstance(error, redis_errors.ResponseError):
            self._note_outcome(error)
            if self._farewell is not None and str(error).startswith("UNBLOCKED"):
                return _said(self._farewell, maybe_executed=False)
            return error
        if isinstance(error, _UNREADABLE):
            if not self._serving:
                return redis_errors.InvalidResponse(str(error))
            return self._lost("sent a reply that could not be parsed")
        return error

    def _gone(self) -> Exception:
        """Return the error for a connection that ended before the reply came."""
        if self._farewell is None:
            return self._lost("was lost before the reply came")
        self.abort()
        return _said(self._farewell, maybe_executed=self._blocking > 0)

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
            transport.set_protocol(PiecewiseProtocol(stream))

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
            self._note_time(args)
        elif word in _LISTENING:
            self.listens = self.tainted = True
        elif word not in LEAVE_SESSION and not leaves_session_alone(word):
            self.tainted = True

    def _note_time(self, args: tuple[Any, ...]) -> None:
        """Note how long the commands that were packed since the last reply may block."""
        seconds = blocking_timeout(args)
        if seconds is not None:
            self._blocking += seconds or inf
            self._blocks_until = asyncio.get_running_loop().time() + self._blocking

    def _lost(self, what: str, *, maybe_executed: bool = True) -> ReplyLostError:
        self._was_lost = True
        self.abort()
        message = f"the connection to redis {self.instance!r} {what}"
        return ReplyLostError(message, instance=self.instance, maybe_executed=maybe_executed)

    def _late(self) -> CommandTimeoutError:
        message = f"redis {self.instance!r} sent no reply in time"
        return CommandTimeoutError(message, instance=self.instance, maybe_executed=True)


def _said(farewell: Callable[[], RedisManagerError], *, maybe_executed: bool) -> RedisManagerError:
    error = farewell()
    error.maybe_executed = maybe_executed
    return error


def _as_bytes(value: Any) -> Any:
    """A memoryview of wide items as bytes: redis-py 8.1 announces its length in items."""
    if isinstance(value, memoryview) and value.nbytes != len(value):
        return value.tobytes()
    return value


class DedicatedTCPConnection(DedicatedConnection, RacingConnection):
    """A dedicated connection over TCP."""


class DedicatedTLSConnection(DedicatedConnection, RacingConnection, SSLConnection):
    """A dedicated connection over TLS."""


class DedicatedUnixConnection(DedicatedConnection, UnixDomainSocketConnection):
    """A dedicated connection over a unix socket."""


# At most this many bytes of one connection are taken in one turn of the loop. asyncio and
# uvloop read up to four times as much; every other caller then waits for its copies.
PIECE = 64 * 1024

# What was read is copied out before the loop's next read begins, so all connections of one
# loop can share a buffer. Loops of other threads cannot: a read lets them run before the copy.
_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


class PiecewiseProtocol(asyncio.BufferedProtocol):
    """Hands what comes to a stream's own protocol, a piece each turn of the loop.

    Attributes:
        stream: The protocol that `asyncio.open_connection` made.
    """

    def __init__(self, stream: asyncio.StreamReaderProtocol) -> None:
        self.stream = stream
        loop = asyncio.get_running_loop()
        if loop not in _buffers:
            _buffers[loop] = memoryview(bytearray(PIECE))
        self._buffer = _buffers[loop]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass the piece on."""
        self.stream.data_received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool | None:
        """The server closed its side."""
        return self.stream.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.stream.connection_lost(exc)

    def pause_writing(self) -> None:
        """The socket is full."""
        self.stream.pause_writing()

    def resume_writing(self) -> None:
        """The socket takes more."""
        self.stream.resume_writing()
