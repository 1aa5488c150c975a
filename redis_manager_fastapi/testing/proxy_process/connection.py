"""A client's connection through the proxy, and how it ends."""

import asyncio
import socket
import struct
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .flow import DIRECTIONS, Cut, Direction, Flow

if TYPE_CHECKING:
    from .proxy import Proxy

_READ_SIZE = 65_536
_LINGER_0 = struct.pack("ii", 1, 0)


class Connection:
    """A client's connection and, unless its bytes are lost, the one to the server.

    Attributes:
        client_port: The client's own port.
    """

    def __init__(self, proxy: "Proxy", client: asyncio.StreamWriter) -> None:
        self.client_port: int = client.get_extra_info("peername", (None, 0))[1]
        self.flows = {name: Flow(proxy.rules[name], proxy.cuts[name]) for name in DIRECTIONS}
        self._proxy = proxy
        self._client = client
        self._server: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def open(self, reader: asyncio.StreamReader) -> None:
        """Start to pass on what the client sends."""
        self._start(self._receive(reader, self.flows["to_server"]))
        self._start(self._forward("to_server"))

    def close(self) -> None:
        """End it in order, both ways."""
        self._abandon()
        self._client.close()

    def reset(self) -> None:
        """End it by a TCP reset to the client; the server sees the end of the stream."""
        self._abandon()
        if not self._client.is_closing():
            self.client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            self._client.transport.abort()

    def half_close(self) -> None:
        """Send the client the end of the stream, and go on passing on what it sends."""
        if self.flows["to_client"].lost or self._client.is_closing():
            return
        self.flows["to_client"].lost = True
        with suppress(OSError):  # the client may be gone, and its end not read yet
            if self._client.can_write_eof():
                self._client.write_eof()
            else:
                self.client_socket.shutdown(socket.SHUT_WR)  # TLS has no half-close of its own

    def inject(self, data: bytes) -> bool:
        """Send the client bytes that the server never sent; False if nothing reaches it."""
        if self.flows["to_client"].silent:
            return False
        self._client.write(data)
        return True

    @property
    def client_socket(self) -> socket.socket:
        """The client's socket."""
        found: socket.socket = self._client.get_extra_info("socket")
        return found

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(self._proxy.tasks.create_task(work))

    def _abandon(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._proxy.connections.discard(self)
        if self._server:
            self._server.close()

    async def _receive(self, reader: asyncio.StreamReader, flow: Flow) -> None:
        data: bytes | None = b"?"
        while data:
            try:
                data = await reader.read(_READ_SIZE)
            except OSError:
                data = None
            await flow.arrived.put((time.monotonic(), data))

    async def _forward(self, direction: Direction) -> None:
        flow = self.flows[direction]
        if not flow.silent:
            await self._write(direction, b"")  # a healthy path connects at once
        while data := await flow.next():
            while data and (piece := flow.take(data)):
                await self._write(direction, piece)
                data = data[len(piece) :]
                await flow.rest()
            self._proxy.lost += len(data)
            if flow.due:
                self._end_by(flow.due)
        self._ended(direction, reset=data is None)

    async def _write(self, direction: Direction, data: bytes) -> None:
        try:
            writer = self._client if direction == "to_client" else await self._connected()
            writer.write(data)
            await writer.drain()
            self._proxy.passed[direction] += len(data)
        except OSError:
            if direction == "to_client" or not self.flows["to_client"].silent:
                self.reset()
            self.flows[direction].lost = True

    async def _connected(self) -> asyncio.StreamWriter:
        if self._server is None:
            reader, writer = await asyncio.open_connection(*self._proxy.server)
            writer.transport.set_write_buffer_limits(0)
            self._server = writer
            self._start(self._receive(reader, self.flows["to_client"]))
            self._start(self._forward("to_client"))
        return self._server

    def _ended(self, direction: Direction, *, reset: bool) -> None:
        """Pass on the end of one side, as far as the other one may know of it."""
        if direction == "to_server":
            self.close()
        elif not self.flows["to_client"].silent:
            (self.reset if reset else self.half_close)()

    def _end_by(self, cut: Cut) -> None:
        if cut.once:
            self._proxy.disarm(cut)
        if cut.ending == "reset":
            self.reset()
            return
        self.half_close()
        self.flows["to_server"].lost = True
        if self._server:
            self._server.close()
