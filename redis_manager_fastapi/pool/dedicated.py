"""redis-py's connections, made safe to lease.

What is added: closing aborts the transport, because closing politely waits for
a peer that may be stopped; losing the connection raises this library's errors;
and the connection knows whether a command left state behind, so that it is not
handed to the next caller.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

import redis.exceptions as redis_errors
from redis.asyncio.connection import (
    SSLConnection,
    UnixDomainSocketConnection,
)

from redis_manager_fastapi.commands.sharing import LEAVE_SESSION, leaves_session_alone, upper_word
from redis_manager_fastapi.errors import CommandTimeoutError, RedisManagerError, ReplyLostError
from redis_manager_fastapi.redis_py import AbortableConnection
from redis_manager_fastapi.topology.credentials import HiddenBytes
from redis_manager_fastapi.topology.racing import RacingConnection

_OPENERS = frozenset({"MULTI", "WATCH"})
_CLOSERS = frozenset({"EXEC", "DISCARD"})

# What hiredis raises of bytes that are no reply; it reads nothing after that.
_UNREADABLE = (redis_errors.InvalidResponse, LookupError, MemoryError, TypeError, ValueError)


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
        tainted: A command changed the session (SELECT, SUBSCRIBE, an unknown
            one): it is closed on release, never leased again.
    """

    outcomes: list[Any] | None = None
    decode: bool = True
    generation: int = 0
    opened_at: float = 0.0
    reconnect: "Callable[[DedicatedConnection], Awaitable[None]] | None" = None
    tainted: bool = False

    def __init__(self, *, instance: str = "default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.instance = instance
        self._unfinished: set[str] = set()
        self._serving = self._was_lost = False

    @property
    def address(self) -> tuple[object, ...]:
        """Where the server is: host and port, or the path of a unix socket."""
        return tuple(getattr(self, name, None) for name in ("host", "port", "path"))

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
        """Whether nothing of the last holder is left: no session state, no open transaction."""
        return self.alive and not self.tainted and not self._unfinished

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
        finally:
            self._connect_callbacks = callbacks

    def aim(self, options: dict[str, Any]) -> None:
        """Take the address of the next `establish()` from the options of a connection class."""
        for name in {"host", "port"} & options.keys():
            setattr(self, name, options[name])

    def session_starts(self) -> None:
        """The handshake is over: from here on state and lost replies are noted."""
        self.tainted = False
        self._unfinished.clear()
        self._serving, self._was_lost = True, False
        self.opened_at = asyncio.get_running_loop().time()

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
            self._note(args[0], alone=len(args) == 1)
            return super().pack_command(*map(_as_bytes, args))
        return [HiddenBytes(packed) for packed in super().pack_command(*args)]

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Write packed commands; a lost connection raises `ReplyLostError`."""
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
        raw = disable_decoding or not self.decode
        try:
            reply = await super().read_response(raw, *args, **kwargs)
        except (RedisManagerError, UnicodeDecodeError):  # the latter's reply is there, and was read
            raise
        except redis_errors.TimeoutError as error:
            raise self._late() from error
        except redis_errors.ConnectionError as error:
            if self._serving and error.status_code is None:
                raise self._lost("was lost before the reply came") from error
            self._note_outcome(error)
            raise
        except redis_errors.ResponseError as error:
            self._note_outcome(error)
            raise
        except _UNREADABLE as error:
            if not self._serving:
                raise redis_errors.InvalidResponse(str(error)) from error
            raise self._lost("sent a reply that could not be parsed") from error
        if self.outcomes is not None:
            self.outcomes.append(reply)
        return reply

    def _note_outcome(self, error: Exception) -> None:
        if self.outcomes is not None:
            self.outcomes.append(error)
        # redis-py passes over some of the handshake's; the server may hang up after one.
        if not self._serving and "unknown" not in str(error).lower():
            self.refusal = error

    def _read_in_pieces(self) -> None:
        stream = self.transport.get_protocol()
        if isinstance(stream, asyncio.StreamReaderProtocol):
            self.transport.set_protocol(PiecewiseProtocol(stream))

    def _note(self, name: Any, *, alone: bool) -> None:
        """Note a command; with arguments that it does not take, a closer closes nothing."""
        word = name.upper() if type(name) is str else upper_word(name)
        if word in _OPENERS:
            self._unfinished.add(word)
        elif word == "UNWATCH" and alone:
            self._unfinished.discard("WATCH")
        elif word in _CLOSERS and alone and "MULTI" in self._unfinished:
            self._unfinished.clear()
        elif word not in LEAVE_SESSION and not leaves_session_alone(word):
            self.tainted = True

    def _lost(self, what: str, *, maybe_executed: bool = True) -> ReplyLostError:
        self._was_lost = True
        self.abort()
        message = f"the connection to redis {self.instance!r} {what}"
        return ReplyLostError(message, instance=self.instance, maybe_executed=maybe_executed)

    def _late(self) -> CommandTimeoutError:
        message = f"redis {self.instance!r} sent no reply in time"
        return CommandTimeoutError(message, instance=self.instance, maybe_executed=True)


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
