"""Where scenarios register: parity beyond single calls, for what has a life of its own.

A scenario is written once and run on both clients: it uses a
`redis.asyncio.Redis` and returns what it saw.
"""

from collections.abc import Awaitable, Callable
from typing import Any

# Any, because redis-py's annotations know neither pipelines nor what is a coroutine.
Client = Any
Run = Callable[[Client], Awaitable[Any]]

SCENARIOS: dict[str, Run] = {}

# The methods of the client that scenarios are about.
COVERED: set[str] = set()


def scenario(*methods: str) -> Callable[[Run], Run]:
    """Register a scenario, and the methods that it covers."""

    def register(run: Run) -> Run:
        SCENARIOS[getattr(run, "__name__", str(run))] = run
        COVERED.update(methods)
        return run

    return register


async def caught(awaitable: Awaitable[Any]) -> Any:
    """Return the result, or the exception as a value."""
    try:
        return await awaitable
    except Exception as error:
        return error
