"""Reading a connection in pieces, so that a large reply does not hold up the event loop."""

import asyncio

# At most this many bytes of one connection are taken in one turn of the loop. asyncio and
# uvloop read up to four times as much; every other caller then waits for its copies.
PIECE = 64 * 1024

# What was read is copied out before the next read begins, so all connections can share it.
_BUFFER = memoryview(bytearray(PIECE))


class PiecewiseProtocol(asyncio.BufferedProtocol):
    """Hands what comes to a stream's own protocol, a piece each turn of the loop.

    Attributes:
        stream: The protocol that `asyncio.open_connection` made.
    """

    def __init__(self, stream: asyncio.StreamReaderProtocol) -> None:
        self.stream = stream

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Pass the piece on."""
        self.stream.data_received(bytes(_BUFFER[:nbytes]))

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
