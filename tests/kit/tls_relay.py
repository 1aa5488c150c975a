"""A server's TLS, whose certificate, trust and versions a test changes while it serves."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from redis_manager_fastapi.testing import RedisServer


@asynccontextmanager
async def tls_relay(
    server: RedisServer, certificate: Path, *, clients: Path | None = None
) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """Serve *server* by TLS; yield the `rediss://` URL and the context of new connections.

    Args:
        server: Speaks no TLS itself.
        certificate: Its first certificate, with the key.
        clients: The authority that clients have to have a certificate of.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    serving: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        task.add_done_callback(serving.discard)
        try:
            behind = await asyncio.open_connection(server.host, server.port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(pass_on(reader, behind[1]), pass_on(behind[0], writer))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        port = listener.sockets[0].getsockname()[1]
        yield f"rediss://127.0.0.1:{port}/0", context
    finally:
        listener.close()
        for task in tuple(serving):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
