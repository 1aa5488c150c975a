"""A name whose addresses a test chooses."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager

NAME = "redis.example"
CONNECT = 1.0

Known = Callable[..., None]


def know(monkeypatch: pytest.MonkeyPatch) -> Known:
    """Return what is called with the addresses that `NAME` leads to from then on."""
    addresses: list[tuple[str, int]] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **hints: Any) -> list[Any]:
        if host != NAME:
            return real(host, *args, **hints)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return lambda *given: addresses.__setitem__(slice(None), given)


def manager(**settings: Any) -> RedisManager:
    return RedisManager(
        host=NAME, timeout={"connect": CONNECT}, startup={"policy": "fail"}, **settings
    )
