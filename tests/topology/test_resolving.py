"""Whoever asks for a name is joined to a question about it that is out, unless it is too old."""

import asyncio
import socket
import time
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import pytest

from redis_manager_fastapi.topology.resolving import Resolver

AnswersBy = Callable[..., None]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> AnswersBy:
    """Have a name answered with an address after some seconds: for each question its own."""
    real, known = socket.getaddrinfo, dict[str, Any]()

    def getaddrinfo(host: Any, port: Any, *args: Any, **hints: Any) -> list[Any]:
        if host not in known:
            return real(host, port, *args, **hints)
        seconds, address = next(known[host])
        time.sleep(seconds)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def answers_by(name: str, *given: tuple[float, str]) -> None:
        known[name] = chain(given, repeat(given[-1]))

    return answers_by


async def address_of(resolver: Resolver, name: str) -> str:
    (found,) = await resolver.resolve(name, 6379)
    address: str = found[4][0]
    return address


async def test_nobody_joins_a_question_that_is_older_than_the_last_answer(
    answers: AnswersBy,
) -> None:
    """It may be answered with where the name led before."""
    resolver = Resolver()
    answers("moved", (2.0, "127.0.0.9"), (0.0, "127.0.0.10"))
    first = asyncio.ensure_future(address_of(resolver, "moved"))
    await asyncio.sleep(1.1)

    assert await address_of(resolver, "moved") == "127.0.0.10"
    assert await address_of(resolver, "moved") == "127.0.0.10"
    assert not first.done()
    assert await first == "127.0.0.9"


async def test_questions_about_other_names_do_not_put_one_off(answers: AnswersBy) -> None:
    resolver = Resolver()
    answers("lost", (3.0, "127.0.0.9"), (0.0, "127.0.0.10"))
    answers("other", (0.0, "127.0.0.1"))
    first = asyncio.ensure_future(address_of(resolver, "lost"))
    await asyncio.sleep(0.7)
    assert await address_of(resolver, "other") == "127.0.0.1"
    await asyncio.sleep(0.4)

    assert await address_of(resolver, "lost") == "127.0.0.10"
    assert not first.done()
    first.cancel()
