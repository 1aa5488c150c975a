"""Reading a connection in pieces, so that a large reply does not hold up the event loop."""

import asyncio
from weakref import WeakKeyDictionary

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
