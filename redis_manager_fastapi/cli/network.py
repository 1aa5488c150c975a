"""The way to a server below Redis: its name's addresses, TCP, and its certificate."""

import asyncio
import os
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis_manager_fastapi.settings.address import Address

_LIMIT = 5.0
"""Seconds for a name to resolve; a resolver's own patience is longer still."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One address of a name, and what a TCP connection to it met.

    Attributes:
        address: The address.
        seconds: How long it took.
        failure: Why there was none; empty for success.
    """

    address: str
    seconds: float
    failure: str

    def __str__(self) -> str:
        return f"{self.address} {self.failure or milliseconds(self.seconds)}"


def milliseconds(seconds: float) -> str:
    """Return a span in words."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


async def addresses_of(host: str, port: int) -> list[str]:
    """Return every address of *host*, each once.

    Raises:
        OSError: It does not resolve.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_LIMIT):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def try_each(addresses: list[str], port: int, limit: float) -> list[Tried]:
    """Connect to every address side by side, and hang up."""
    return list(await asyncio.gather(*(_try(each, port, limit) for each in addresses)))


async def _try(address: str, port: int, limit: float) -> Tried:
    begun, failure = time.perf_counter(), ""
    try:
        async with asyncio.timeout(limit):
            _, writer = await asyncio.open_connection(address, port)
        writer.transport.abort()
    except TimeoutError:
        failure = f"no answer within {limit:g} s"
    except OSError as error:
        failure = os.strerror(error.errno).lower() if error.errno else "the connection failed"
    return Tried(address, time.perf_counter() - begun, failure)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate.

    Attributes:
        names: Whom it is for.
        days: Days until it expires.
    """

    names: tuple[str, ...]
    days: int


async def certificate_of(
    address: Address, ca_file: str | None, client: tuple[str, str] | None, limit: float
) -> Certificate | None:
    """Return the certificate of a server whose CA is trusted, whatever name it is for.

    Nothing is sent but the handshake.  None means that it cannot be had.
    """
    with suppress(OSError, TimeoutError, ValueError):
        context = ssl.create_default_context(cafile=ca_file)
        context.check_hostname = False
        if client is not None:
            context.load_cert_chain(*client)
        async with asyncio.timeout(limit):
            _, writer = await asyncio.open_connection(*address, ssl=context)
        found: dict[str, Any] = writer.get_extra_info("ssl_object").getpeercert() or {}
        writer.transport.abort()
        names = tuple(str(name) for _, name in found.get("subjectAltName", ()))
        left = ssl.cert_time_to_seconds(str(found["notAfter"])) - time.time()
        return Certificate(names, int(left // 86_400))
    return None
