"""A server that answers with the exact bytes a test wants, right or wrong."""

import asyncio
from types import TracebackType
from typing import Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


class FakeServer:
    """Knows ECHO, INCRBY, MGET and what a handshake needs; says OK to everything else.

    Attributes:
        spoil: The bytes that stand in for the next reply to ECHO or INCRBY, once.
        hang_up: Whether the connection closes after them.
    """

    def __init__(self) -> None:
        self.spoil: bytes | None = None
        self.hang_up = False
        self._counter = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Its `redis://` URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.asyncio.Redis:
        """Make a plain redis-py client."""
        return redis.asyncio.Redis(
            host="127.0.0.1",
            port=self.port,
            protocol=2,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while line := await reader.readline():
                words = [await _bulk(reader) for _ in range(int(line[1:]))]
                reply, ends = self._answer(words)
                writer.write(reply)
                if ends:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _answer(self, words: list[bytes]) -> tuple[bytes, bool]:
        name = words[0].upper()
        self._counter += name == b"INCRBY"
        if name in (b"ECHO", b"INCRBY") and self.spoil is not None:
            spoilt, self.spoil = self.spoil, None
            return spoilt, self.hang_up
        replies = {
            b"PING": b"+PONG\r\n",
            b"INCRBY": b":%d\r\n" % self._counter,
            b"MGET": b"*3\r\n$%d\r\n%d\r\n$-1\r\n$-1\r\n"
            % (len(str(self._counter)), self._counter),
            b"XREAD": b"*-1\r\n",
            b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n",
        }
        if name == b"ECHO":
            return b"$%d\r\n%b\r\n" % (len(words[1]), words[1]), False
        return replies.get(name, b"+OK\r\n"), False


async def _bulk(reader: asyncio.StreamReader) -> bytes:
    length = int((await reader.readline())[1:])
    return (await reader.readexactly(length + 2))[:-2]
