"""A NAT that forgets one flow: nothing of it arrives any more, and nothing is reset."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis_manager_fastapi.testing import RedisServer


class ForgetfulNat:
    """Passes bytes on between clients and a server, but for flows that it has forgotten.

    Attributes:
        port: Where it listens, on loopback.
    """

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._forgotten: set[tuple[int, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def forget(self, port: int, *directions: str) -> None:
        """Lose all bytes from or to the client at that port, also the end of its stream."""
        for direction in directions or ("to_server", "to_client"):
            self._forgotten.add((port, direction))

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("peername")[1]
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, far_writer]
        for flow in ((reader, far_writer, "to_server"), (far_reader, writer, "to_client")):
            task = asyncio.ensure_future(self._pass(port, *flow))
            self._tasks.add(task)

    async def _pass(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        data = b"?"
        while data:
            with suppress(OSError):
                data = await reader.read(65_536)
            if (port, direction) not in self._forgotten:
                with suppress(OSError):
                    if data:
                        writer.write(data)
                    else:
                        writer.transport.abort()

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def forgetful_nat(server: RedisServer) -> AsyncIterator[ForgetfulNat]:
    """A NAT in front of *server*."""
    nat = ForgetfulNat(server)
    listener = await asyncio.start_server(nat.accept, "127.0.0.1", 0)
    nat.port = listener.sockets[0].getsockname()[1]
    try:
        yield nat
    finally:
        listener.close()
        await nat.aclose()
