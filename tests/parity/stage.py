"""Where scenarios register: parity beyond single calls, for what has a life of its own.

A scenario is written once and run on both clients: it uses a
`redis.asyncio.Redis` and returns what it saw.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

# Any, because redis-py's annotations know neither pipelines nor what is a coroutine.
Client = Any
Run = Callable[[Client], Awaitable[Any]]

SCENARIOS: dict[str, Run] = {}

# The scenarios that not every server can play.
MARKS: dict[str, pytest.MarkDecorator] = {}

# The methods of the client that scenarios are about.
COVERED: set[str] = set()


def scenario(*methods: str, mark: pytest.MarkDecorator | None = None) -> Callable[[Run], Run]:
    """Register a scenario, the methods that it covers, and what it needs."""

    def register(run: Run) -> Run:
        name = getattr(run, "__name__", str(run))
        SCENARIOS[name] = run
        if mark is not None:
            MARKS[name] = mark
        COVERED.update(methods)
        return run

    return register


async def caught(awaitable: Awaitable[Any]) -> Any:
    """Return the result, or the exception as a value."""
    try:
        return await awaitable
    except Exception as error:
        return error
