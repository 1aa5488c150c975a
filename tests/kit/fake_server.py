"""A server that answers with the exact bytes a test wants, right or wrong."""

import asyncio
from types import TracebackType
from typing import Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

HANDSHAKE = {
    b"PING": b"+PONG\r\n",
    b"CLIENT": b"+OK\r\n",
    b"SELECT": b"+OK\r\n",
    b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n",
}


class FakeServer:
    """Answers the handshake truthfully, and every other request with what the test scripted.

    Beyond the script it counts INCRBY, shows the counter to MGET, has nothing
    for XREAD, subscribes one channel, and answers everything else with the request's last word.

    Attributes:
        replies: Bytes that stand in for the next replies beyond the handshake's.
        beats: Bytes that stand in for the next answers to heartbeats.
        hang_up: Whether a connection closes after one of them.
        connections: Writers of the connections that are open, oldest first.
        subscribers: Those that have subscribed.
        deaf: Those of them over which nothing is answered any more.
    """

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.beats: list[bytes] = []
        self.hang_up = False
        self.connections: list[asyncio.StreamWriter] = []
        self.subscribers: list[asyncio.StreamWriter] = []
        self.deaf: set[asyncio.StreamWriter] = set()
        self._counter = 0
        self._server: asyncio.Server | None = None

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
        await self.stop()

    async def stop(self) -> None:
        """Be gone: the connections break, and nobody listens."""
        assert self._server is not None
        self._server.close()
        for writer in self.connections:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            while line := await reader.readline():
                words = [await _bulk(reader) for _ in range(int(line[1:]))]
                reply, ends = self._answer(words)
                if writer not in self.deaf:
                    writer.write(reply)
                if words[0].upper() == b"SUBSCRIBE":
                    self.subscribers.append(writer)
                if ends:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections.remove(writer)
            writer.close()

    def _answer(self, words: list[bytes]) -> tuple[bytes, bool]:
        name = words[0].upper()
        if name == b"PING" and len(words) > 1:
            return self.beats.pop(0) if self.beats else _written(words[1]), False
        if name in HANDSHAKE:
            return HANDSHAKE[name], False
        self._counter += name == b"INCRBY"
        if self.replies:
            return self.replies.pop(0), self.hang_up
        counter = b"%d" % self._counter
        replies = {
            b"INCRBY": b":%b\r\n" % counter,
            b"MGET": b"*3\r\n%b$-1\r\n$-1\r\n" % _written(counter),
            b"XREAD": b"*-1\r\n",
            b"XREVRANGE": b"*0\r\n",
            b"SUBSCRIBE": b"*3\r\n$9\r\nsubscribe\r\n%b:1\r\n" % _written(words[-1]),
        }
        return replies.get(name, _written(words[-1])), False


def _written(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


async def _bulk(reader: asyncio.StreamReader) -> bytes:
    length = int((await reader.readline())[1:])
    return (await reader.readexactly(length + 2))[:-2]
