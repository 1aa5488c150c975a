"""A server that sends exactly the bytes a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FakeServer:
    """Answers the handshake truthfully and every other request with what the test scripted.

    Attributes:
        replies: Bytes to send for the next requests that are not of the handshake;
            beyond them, and for PING, it answers as Redis would.
        connections: Writers of the connections made, oldest first.
    """

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.connections: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                writer.write(self.answer(words))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def answer(self, words: list[bytes]) -> bytes:
        name = words[0].upper()
        if name == b"PING":
            return b"+PONG\r\n"
        if name == b"CLIENT":
            return b"+OK\r\n"
        if name == b"HELLO":
            return b"%1\r\n$5\r\nproto\r\n:3\r\n"
        if self.replies:
            return self.replies.pop(0)
        value = words[-1]
        return b"$%d\r\n%s\r\n" % (len(value), value)


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    """Run a `FakeServer` on a free loopback port."""
    fake = FakeServer()
    handlers: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(fake.serve(reader, writer))
        handlers.add(task)
        task.add_done_callback(handlers.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        for task in tuple(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await asyncio.sleep(0)
