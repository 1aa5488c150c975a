"""Raw connections, as a client sees them, and what the other end has done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.waiting import DEADLINE, TICK, eventually

PONG = b"+PONG\r\n"
INCR = b"INCR counter\r\n"


class Wire:
    """A raw connection to a server or a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def port(self) -> int:
        """Its own."""
        return int(self._writer.get_extra_info("sockname")[1])

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self, size: int) -> bytes:
        """Return exactly this many bytes."""
        async with asyncio.timeout(DEADLINE):
            return await self._reader.readexactly(size)

    async def piece(self) -> bytes:
        """Return what arrives next."""
        async with asyncio.timeout(DEADLINE):
            return await self._reader.read(1000)

    async def rest(self) -> bytes:
        """Return what comes until the end of the stream."""
        async with asyncio.timeout(DEADLINE):
            return await self._reader.read()

    async def ask(self, command: bytes) -> bytes:
        """Return the first line of the reply."""
        self.send(command + b"\r\n")
        async with asyncio.timeout(DEADLINE):
            return await self._reader.readline()

    async def assert_silent(self) -> None:
        """Fail if anything, an end of the stream included, arrives soon."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5 * TICK):
                await self._reader.read(1)


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


def exists(path: Path) -> bool:
    return path.exists()


async def counter(server: RedisServer) -> int:
    """How many INCR the server has run."""
    return int(await server.command("GET", "counter") or 0)


async def ends(proxy: FaultProxy) -> None:
    """Wait until no client is connected."""

    async def closed() -> bool:
        return (await proxy.stats()).open == 0

    await eventually(closed)
