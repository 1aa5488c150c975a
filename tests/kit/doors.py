"""What servers say instead of letting anybody in, and servers that say it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

PROTECTED = (
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no"
    b" password is set for the default user. In this mode connections are only accepted from the"
    b" loopback interface. If you want to connect from external computers to Redis you may adopt"
    b" one of the following solutions: 1) Just disable protected mode sending the command\r\n"
)

BANNERS = {
    PROTECTED: "runs in protected mode",
    b"-NOPROTO unsupported protocol version\r\n": "does not speak RESP3: set REDIS_PROTOCOL=2",
    b"-ERR max number of clients + cluster connections reached\r\n": "max number of clients",
    b"HTTP/1.1 400 Bad Request\r\nServer: secret.internal\r\n\r\n": "is not Redis",
    b"SSH-2.0-OpenSSH_9.6\r\n": "what answers there is not Redis",
    b"\x15\x03\x01\x00\x02\x02\x46": "speaks TLS there: set REDIS_TLS__ENABLED=true",
    b"-ERR upstream secret.internal is away\r\n": r"refused the handshake \(ERR\)",
    b"*1000000000000\r\n": "what answers there is not Redis",
}
"""Each banner, and what our error says of it, as a pattern."""


@asynccontextmanager
async def saying(banner: bytes, *, at_once: bool, hang_up: bool) -> AsyncIterator[int]:
    """A server that says one thing to everybody; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not at_once:
                await reader.read(1)
            writer.write(banner)
            await writer.drain()
            if hang_up:
                writer.write_eof()
            while await reader.read(4096):
                if not hang_up:
                    writer.write(banner)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def answering(reply: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """Listen on a port; *reply* makes an answer of what came, None hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            answer = reply(data)
            if answer is None:
                break
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
