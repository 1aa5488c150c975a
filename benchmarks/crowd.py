"""Many WebSockets of one served app, with clients that cost next to nothing.

The clients share the machine with the server that is measured, so each does no more than
take frames apart; one that offers compression, as browsers do, has to inflate as well.
"""

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

PATIENCE = 60.0

_TEXT, _CLOSE, _COMPRESSED = 1, 8, 0x40

# How many connect at the same time.
_DOOR = 50


class Socket(asyncio.Protocol):
    """One client.

    Args:
        path: What it asks for.
        arrived: Takes the payload of each text.
        deflate: Whether it offers to have texts compressed.

    Attributes:
        opened: Done when the server has accepted.
        closed: When the server has closed, on the loop's clock, and with which code.
    """

    def __init__(
        self, path: str, arrived: Callable[[bytes], None], *, deflate: bool = False
    ) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[tuple[float, int]] = loop.create_future()
        self._loop, self._path, self._arrived = loop, path, arrived
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if deflate else None
        self._data = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket."""
        self._transport = transport
        offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if self._inflate else ""
        request = (
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{offer}\r\n"
        )
        self._transport.write(request.encode())

    def data_received(self, data: bytes) -> None:
        """Take the short, unmasked frames that the server sends."""
        self._data += data
        if not self.opened.done() and not self._take_response():
            return
        while len(self._data) > 1 and len(self._data) >= (end := 2 + self._data[1]):
            head, payload, self._data = self._data[0], self._data[2:end], self._data[end:]
            if head & 0x0F == _TEXT:
                self._arrived(self._inflated(payload) if head & _COMPRESSED else payload)
            elif head & 0x0F == _CLOSE:
                self._end(int.from_bytes(payload[:2], "big"))
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has gone; 1006 is for one that did not say so."""
        self._end(1006)

    def drop(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def _take_response(self) -> bool:
        """Return whether the server has accepted."""
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return False
        if b" 101 " not in head.split(b"\r\n")[0]:
            self.opened.set_exception(RuntimeError(head.decode()))
            return False
        if self._inflate and b"permessage-deflate" not in head:
            self._inflate = None
        self._data = rest
        self.opened.set_result(None)
        return True

    def _inflated(self, payload: bytes) -> bytes:
        if self._inflate is None:
            raise RuntimeError("a compressed frame that was not agreed upon")
        return self._inflate.decompress(payload + b"\x00\x00\xff\xff")

    def _end(self, code: int) -> None:
        if not self.closed.done():
            self.closed.set_result((self._loop.time(), code))


class Crowd:
    """What many clients have received.

    Attributes:
        size: How many they are.
        sockets: The clients.
        texts: How many have received each payload.
        gaps: How many gaps have come.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.sockets: list[Socket] = []
        self.texts: Counter[bytes] = Counter()
        self.gaps = 0
        self._waiting: tuple[Callable[[], bool], asyncio.Future[None]] | None = None

    def arrived(self, payload: bytes) -> None:
        """Count one text."""
        if payload.startswith(b'{"missed"'):
            self.gaps += 1
        else:
            self.texts[payload] += 1
        if self._waiting is not None and self._waiting[0]():
            if not self._waiting[1].done():
                self._waiting[1].set_result(None)
            self._waiting = None

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until *holds()*, looked at with each text."""
        if holds():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = holds, future
        async with asyncio.timeout(PATIENCE):
            await future

    async def reached(self, text: str) -> None:
        """Wait until all have received *text*, as the app sends it."""
        payload = f'{{"text":"{text}"}}'.encode()
        await self.until(lambda: self.texts[payload] >= self.size)


@asynccontextmanager
async def crowd(size: int, url: str, path: str, *, deflate: bool = False) -> AsyncIterator[Crowd]:
    """Connect *size* clients to *path* of the app at *url*, and drop them in the end."""
    loop, heard = asyncio.get_running_loop(), Crowd(size)
    port = int(url.rpartition(":")[2])

    def socket() -> Socket:
        return Socket(path, heard.arrived, deflate=deflate)

    try:
        for start in range(0, size, _DOOR):
            for _ in range(min(_DOOR, size - start)):
                _, connected = await loop.create_connection(socket, "127.0.0.1", port)
                heard.sockets.append(connected)
            await asyncio.gather(*(each.opened for each in heard.sockets[start:]))
        yield heard
    finally:
        for each in heard.sockets:
            each.drop()
