"""Start the proxy and carry out what the controlling socket says."""

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .proxy import Proxy

_CONTROL_LINE = 1 << 26


async def _obey(proxy: Proxy, control: socket.socket) -> None:
    """Carry out one command per line until the other end closes."""
    commands: dict[str, Callable[..., Any]] = {
        "pass_through": proxy.pass_through,
        "refuse": proxy.refuse,
        "reset": proxy.reset,
        "unplug": proxy.unplug,
        "half_close": proxy.half_close,
        "inject": proxy.inject,
        "change": proxy.change,
        "cut": proxy.cut,
        "stats": proxy.stats,
    }
    reader, writer = await asyncio.open_connection(sock=control, limit=_CONTROL_LINE)
    with suppress(ConnectionError):
        while line := await reader.readline():
            number, name, arguments = json.loads(line)
            writer.write(json.dumps([number, commands[name](**arguments)]).encode() + b"\n")
            await writer.drain()


async def _main(
    control: int, port: int, host: str, server_port: int, cert_file: str, key_file: str
) -> None:
    tls = None
    if cert_file:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(cert_file, key_file or None)
    async with asyncio.TaskGroup() as tasks:
        proxy = Proxy(tasks, port, (host, server_port), tls)
        proxy.listen()
        await _obey(proxy, socket.socket(fileno=control))
        proxy.close()


if __name__ == "__main__":
    asyncio.run(_main(**json.loads(sys.argv[1])))
