"""Connecting as the library does, a little further each time."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.dialer import DedicatedTLSConnection, Dialer
from redis_manager_fastapi.topology.failures import TLSFault, from_connect, tls_fault
from redis_manager_fastapi.topology.interface import Target, Topology
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

# What a target is asked without, to see how far a connection gets.
_IDENTITY = {"credential_provider", "maint_notifications_config"}
_SESSION: dict[str, Any] = {"db": 0, "client_name": None, "driver_info": None, "protocol": 2}


class At:
    """A topology of one target that is known already, whatever its role."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def start(self, on_move: Callable[[str], None]) -> None:
        """Watch nothing."""

    async def aclose(self) -> None:
        """Do nothing."""

    async def locate(self) -> Target:
        """Return the target."""
        return self._target

    async def confirm(self, connection: AbstractConnection) -> None:
        """Accept any role."""


def stranger(target: Target) -> Target:
    """Return *target* without credentials, database or name: nothing is sent but PING."""
    kept = {name: value for name, value in target.options.items() if name not in _IDENTITY}
    return replace(target, options=kept | _SESSION)


def known(target: Target, **session: Any) -> Target:
    """Return *target* with its credentials, and of its session only what *session* says."""
    options = {**target.options, **_SESSION, **session}
    options.pop("maint_notifications_config", None)
    return replace(target, options=options)


def by(target: Target, transport: Any) -> Target:
    """Return *target* over another transport; TLS checks nothing then, and nothing is said."""
    options = {name: each for name, each in target.options.items() if not name.startswith("ssl_")}
    if transport == "tls":
        options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    return replace(target, transport=transport, options=options)


class Attempts:
    """Connects, and remembers what is open.

    Args:
        chosen: Whose limits and name hold.
    """

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._open: list[DedicatedConnection] = []

    async def to(self, target: Target) -> "Questions | RedisUnavailableError":
        """Connect to *target*; return what can be asked then, or why it failed."""
        return await self.by(At(target))

    async def by(self, topology: Topology) -> "Questions | RedisUnavailableError":
        """Do the same where *topology* points."""
        tls = SharedTLSContext()  # each attempt may check something else
        dialer = Dialer(topology, self._chosen.settings, instance=self._chosen.name, tls=tls)
        try:
            connection = await dialer.dial()
        except RedisUnavailableError as error:
            return error
        self._open.append(connection)
        return Questions(connection, self._chosen.settings.timeout.command)

    async def timed(self, topology: Topology) -> "tuple[Questions | RedisUnavailableError, float]":
        """Return the same, and the seconds that it took."""
        begun = time.perf_counter()
        return await self.by(topology), time.perf_counter() - begun

    async def speaks_tls(self, target: Target) -> bool:
        """Return whether a TLS handshake comes to anything, whatever is said after it."""
        limit = self._chosen.settings.timeout.connect
        options = stranger(by(target, "tls")).options
        connection = DedicatedTLSConnection(instance=self._chosen.name, **options)
        try:
            async with asyncio.timeout(limit):
                await connection.establish()
        except (RedisError, OSError, TimeoutError) as error:
            return tls_fault(error) not in (TLSFault.NO_TLS, None)
        finally:
            connection.abort()
        return True

    async def listen(self, target: Target) -> RedisUnavailableError | None:
        """Connect by TLS and send nothing; return what the server refuses with, if it does.

        With TLS 1.3 a server judges a client's certificate when the client believes the
        handshake to be over; what it says is lost if the client has sent more by then.
        """
        limit = self._chosen.settings.timeout.connect
        options = stranger(target).options
        connection = DedicatedTLSConnection(instance=self._chosen.name, **options)
        try:
            async with asyncio.timeout(limit):
                await connection.establish()
                await connection.read_response(timeout=limit / 2)
        except (RedisError, OSError, TimeoutError) as error:
            reason = connection.give_up(error)
            return from_connect(reason, self._chosen.name, self._chosen.settings, tls=True)
        finally:
            connection.abort()
        return None

    def close(self) -> None:
        """Drop every connection."""
        for connection in self._open:
            connection.abort()


class Questions:
    """Asks a server one command after the other.

    Args:
        connection: To that server.
        timeout: Seconds that it has for each reply.
    """

    def __init__(self, connection: DedicatedConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._info: dict[str, str] | None = None

    async def ask(self, *words: str) -> Any:
        """Send a command and return its reply, or the error that the server replied with.

        Raises:
            redis.RedisError: There was no reply.
            TimeoutError: Not in time.
        """
        async with asyncio.timeout(self._timeout):
            await self._connection.send_command(*words)
            try:
                return await self._connection.read_response()
            except ResponseError as error:
                return error

    async def timed(self, *words: str) -> tuple[Any, float]:
        """Return the same, and the seconds that it took."""
        begun = time.perf_counter()
        return await self.ask(*words), time.perf_counter() - begun

    async def info(self) -> dict[str, str]:
        """Return what INFO says; nothing for a user who may not ask. It is asked once."""
        if self._info is None:
            self._info = facts(await self.ask("INFO"))
        return self._info

    async def config(self, name: str) -> str | None:
        """Return a directive of the server; None where CONFIG is forbidden or unknown."""
        reply = await self.ask("CONFIG", "GET", name)
        if isinstance(reply, dict):
            return str(reply[name]) if name in reply else None
        return str(reply[1]) if isinstance(reply, list) and len(reply) > 1 else None


def facts(reply: Any) -> dict[str, str]:
    """Return the lines `name:value` of a reply."""
    text = reply if isinstance(reply, str) else ""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


UNANSWERED = (RedisError, OSError, TimeoutError)
"""What a question may raise."""
