"""What others keep private and this package touches, as a table, and the classes that touch it.

`PRIVATE_NAMES` lists every private name of redis-py and asyncio; those of redis-py's cluster
client are in `cluster/redis_py.py`, which only a Cluster imports.  A private name that stands
in neither table fails a test, and so does a row whose name is gone.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, cast
from weakref import ref

import redis.asyncio
import redis.asyncio.client
import redis.observability.providers as observability
from redis.asyncio.connection import AbstractConnection, Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError,  # noqa: A004 (redis-py's)
    InvalidResponse,
    ResponseError,
)

from redis_manager_fastapi.tasks import see


@dataclass(frozen=True, slots=True)
class PrivateName:
    """A private name of another project that this package touches.

    Attributes:
        owner: The class or the module that has it.
        name: The name.
        read_in: The version whose source was read.
        reason: Why it is touched.
    """

    owner: type | ModuleType
    name: str
    read_in: str
    reason: str


_REDIS_PY = "redis-py 8.1"
_CPYTHON = "CPython 3.11 to 3.13"

PRIVATE_NAMES = (
    # Connections.
    PrivateName(
        AbstractConnection,
        "_writer",
        _REDIS_PY,
        "its transport is taken over by the shared connection, and aborted on closing",
    ),
    PrivateName(
        AbstractConnection,
        "_reader",
        _REDIS_PY,
        "what the server said before it closed is in its buffer; the parser's, of the same"
        " name, is wrapped with RESP3",
    ),
    PrivateName(
        AbstractConnection,
        "_close",
        _REDIS_PY,
        "forgets the stream of an aborted connection without waiting",
    ),
    PrivateName(
        AbstractConnection, "_parser", _REDIS_PY, "makes the exception of a server's error line"
    ),
    PrivateName(
        AbstractConnection,
        "_connect_callbacks",
        _REDIS_PY,
        "those of a pub/sub wait until the pool has checked the new connection",
    ),
    PrivateName(
        Connection,
        "_connect",
        _REDIS_PY,
        "opens the stream, on a socket of whichever of a name's addresses answers first",
    ),
    PrivateName(
        Connection,
        "_connection_arguments",
        _REDIS_PY,
        "what the stream is opened with: that socket in place of host and port",
    ),
    # The client.
    PrivateName(
        redis.asyncio.Redis,
        "_send_command_parse_response",
        _REDIS_PY,
        "carries a command on a leased connection, and prepares HIMPORT's fieldsets",
    ),
    PrivateName(
        redis.asyncio.Redis,
        "_single_conn_lock",
        _REDIS_PY,
        "keeps the replies of a pinned connection in order; each pinned client has a new one",
    ),
    PrivateName(
        redis.asyncio.Redis,
        "_usage_lock",
        _REDIS_PY,
        "guards the counter of a pinned client, which has a new one",
    ),
    PrivateName(
        redis.asyncio.Redis,
        "_usage_counter",
        _REDIS_PY,
        "is lowered without an await, so that a cancelled exit returns the connection",
    ),
    PrivateName(
        redis.asyncio.Redis, "_event_dispatcher", _REDIS_PY, "a pub/sub takes the client's"
    ),
    # Pipelines.
    PrivateName(
        redis.asyncio.client.Pipeline,
        "_execute_transaction",
        _REDIS_PY,
        "reads the replies of a shared pipeline with MULTI",
    ),
    PrivateName(
        redis.asyncio.client.Pipeline,
        "_execute_pipeline",
        _REDIS_PY,
        "reads the replies of a shared pipeline without MULTI",
    ),
    PrivateName(
        redis.asyncio.client.Pipeline,
        "_disconnect_reset_raise_on_watching",
        _REDIS_PY,
        "says that a command under WATCH, or a WATCH, lost its connection",
    ),
    PrivateName(
        redis.asyncio.client.Pipeline,
        "_disconnect_raise_on_watching",
        _REDIS_PY,
        "says that a pipeline lost its connection",
    ),
    # Metrics.
    PrivateName(
        observability,
        "_observability_instance",
        _REDIS_PY,
        "None until somebody asked for redis-py's metrics; its function would make one",
    ),
    PrivateName(
        observability.ObservabilityInstance,
        "_provider_manager",
        _REDIS_PY,
        "None while redis-py's metrics are off; its function costs more than a command may",
    ),
    # asyncio.
    PrivateName(
        asyncio.StreamReader,
        "_buffer",
        _CPYTHON,
        "still holds what came before a reset, after which `read` raises",
    ),
    PrivateName(
        asyncio.StreamReaderProtocol,
        "_get_close_waiter",
        _CPYTHON,
        "the exception that a reset leaves in it is retrieved, or asyncio would report it",
    ),
    PrivateName(
        sys,
        "_getframe",
        _CPYTHON,
        "a call becomes a future only when `asyncio.isfuture` is what looks at it",
    ),
    PrivateName(
        sys,
        "_current_frames",
        _CPYTHON,
        "shows what blocks the event loop, to a thread that looks while something is overdue",
    ),
)


ONCE = Retry(NoBackoff(), 0)
"""redis-py makes one attempt, unless `delivery/attempts.py` decides."""


# The offset of `tcpi_retransmits` in Linux's `struct tcp_info`, which is a byte.
_RETRANSMITS = 2


def own_method(owner: type, name: str) -> Any:
    """Return redis-py's own method, from beneath whatever instruments it already."""
    method, module = vars(owner)[name], vars(sys.modules[owner.__module__])
    while type(method) is not FunctionType or method.__globals__ is not module:
        cells = [cell.cell_contents for cell in getattr(method, "__closure__", None) or ()]
        named = (each for each in cells if getattr(each, "__name__", "") == name)
        inner = getattr(method, "__wrapped__", None) or next(named, None)
        if inner is None:
            break  # by what nobody can see through: it stays instrumented for good
        method = inner
    return method


OWN_EXECUTE_COMMAND = own_method(redis.asyncio.Redis, "execute_command")
OWN_EXECUTE = own_method(redis.asyncio.client.Pipeline, "execute")
OWN_IMMEDIATE = own_method(redis.asyncio.client.Pipeline, "immediate_execute_command")


def measures() -> bool:
    """Return whether redis-py's own metrics are on, which count commands in its methods."""
    instance = observability._observability_instance  # noqa: SLF001
    return instance is not None and instance._provider_manager is not None  # noqa: SLF001


class AbortableConnection(AbstractConnection):
    """A redis-py connection whose every closing drops the socket at once.

    Closing politely would wait until the peer has read what is unsent.

    Attributes:
        last_words: What the server had sent, and nobody had read, when it was dropped.
        refusal: The last error of the handshake.
        unacknowledged: Whether the server's host had not acknowledged what was sent when the
            connection was dropped.
    """

    last_words = b""
    refusal: Exception | None = None
    unacknowledged = False

    @property
    def transport(self) -> asyncio.Transport:
        """The socket's transport; only while the connection is connected."""
        if self._writer is None:
            raise RuntimeError("the connection is not connected")
        return cast(asyncio.Transport, self._writer.transport)

    @property
    def parse_error(self) -> Callable[[str], Exception]:
        """What makes redis-py's exception of a server's error line, whatever the line is."""
        return cast(Callable[[str], Exception], self._parser.parse_error)

    @property
    def unread(self) -> bytes:
        """What has arrived and was not read, also after a reset."""
        return bytes(getattr(self._reader, "_buffer", b""))

    @property
    def address(self) -> tuple[object, ...]:
        """Where the server is: host and port, or the path of a unix socket."""
        return tuple(getattr(self, name, None) for name in ("host", "port", "path"))

    def aim(self, options: dict[str, Any]) -> None:
        """Take the address of the next `establish()` from the options of a connection class."""
        for name in {"host", "port"} & options.keys():
            setattr(self, name, options[name])

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
                return ResponseError(line)

        self._parser.parse_error = parse_any  # type: ignore[method-assign]

    def read_with(self, wrap: Callable[[Callable[[], Any]], Any]) -> None:
        """Have replies read by what *wrap* makes of the function that makes a `hiredis.Reader`."""
        # Without a cycle: a connection that its holder drops is missed at once.
        mine = ref(self)

        def make() -> Any:
            connection: Any = mine()
            parser = connection._parser  # noqa: SLF001
            present = parser._reader  # noqa: SLF001
            parser.on_connect(connection)
            made, parser._reader = parser._reader, present  # noqa: SLF001
            return made

        parser: Any = self._parser
        parser._reader = wrap(make)  # noqa: SLF001

    def abort(self) -> None:
        """Drop the connection at once, with whatever is unsent."""
        self._drop()
        self._close()

    def give_up(self, error: BaseException) -> BaseException:
        """Abort a handshake; return what the server said before it hung up, or *error*."""
        words = self.last_words or self.unread[:256]
        self.abort()
        if not isinstance(error, ConnectionError | OSError):
            return error
        if isinstance(error, TimeoutError) and b"\r\n" not in words:
            words = b""  # part of an answer, and no last word
        if self.refusal is None and words:
            line = words[1:].partition(b"\r\n")[0].decode(errors="replace")
            unreadable = InvalidResponse(f'got "{ascii(chr(words[0]))[1:-1]}" as reply type byte')
            self.refusal = self.parse_error(line) if words.startswith(b"-") else unreadable
        if self.refusal is None or getattr(error, "status_code", None) is not None:
            return error
        return self.refusal

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """Drop the connection at once; arguments are redis-py's and make no difference."""
        self._drop()
        kwargs["nowait"] = True
        await super().disconnect(**kwargs)

    def _drop(self) -> None:
        if self._writer is None:
            return
        # What the server said before it closed is the reason, when it accepts no client.
        self.last_words = self.unread[:256]
        self.unacknowledged = is_unacknowledged(self._writer.transport)
        abort_stream(self._writer)


def abort_stream(stream: asyncio.StreamWriter) -> None:
    """Drop a stream at once, with whatever is unsent."""
    transport = stream.transport
    protocol = transport.get_protocol()
    reading = getattr(protocol, "stream", protocol)
    transport.abort()
    # A reset leaves an exception for `wait_closed()`, which nobody awaits after an abort;
    # unseen, it would be reported when it is collected.
    if isinstance(reading, asyncio.StreamReaderProtocol):
        waiter = reading._get_close_waiter(stream)  # type: ignore[attr-defined]  # noqa: SLF001
        waiter.add_done_callback(see)


def is_unacknowledged(transport: asyncio.BaseTransport) -> bool:
    """Whether the kernel has sent something again, and still has no acknowledgement (Linux)."""
    connected = transport.get_extra_info("socket")
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RETRANSMITS + 1)
    except (AttributeError, OSError, ValueError):  # another system, a unix socket, or closed
        return False
    return bool(info[_RETRANSMITS])
