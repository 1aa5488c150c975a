"""Credentials and names that go wrong as a test says: a provider, and a resolver."""

import asyncio
import socket
import time
from typing import Any

import pytest
from redis.credentials import CredentialProvider


class Provider(CredentialProvider):
    """A provider that fails as it is told to.

    Attributes:
        fault: `raises`, `hangs`, `is cancelled`, or nothing.
    """

    def __init__(self, username: str, password: str) -> None:
        self.fault = ""
        self._given = (username, password)

    def get_credentials(self) -> tuple[str, str]:
        """Fail: the event loop would stand still."""
        raise AssertionError("the event loop would stand still")

    async def get_credentials_async(self) -> tuple[str, str]:
        """Return them, or fail."""
        if self.fault == "raises":
            raise KeyError("token")
        if self.fault == "hangs":
            await asyncio.Event().wait()
        if self.fault == "is cancelled":
            raise asyncio.CancelledError
        return self._given


class Resolver:
    """Stands in for the machine's `getaddrinfo`, for one name alone.

    Attributes:
        name: The name that it answers for.
        ports: Where each port of that name leads to on loopback; to itself where none is given.
        fault: `does not resolve`, `hangs`, or nothing.
    """

    name = "redis.example"

    def __init__(self) -> None:
        self.ports: dict[int, int] = {}
        self.fault = ""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer for `name` from now on."""
        real = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *args: Any, **hints: Any) -> list[Any]:
            if host == self.name:
                return self._answer(port)
            return real(host, port, *args, **hints)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def _answer(self, port: int) -> list[Any]:
        if self.fault == "does not resolve":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        while self.fault == "hangs":
            time.sleep(0.01)
        place = ("127.0.0.1", self.ports.get(port, port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)]
