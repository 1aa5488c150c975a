"""The same three routes over each client: `/none`, `/one` GET and `/ten` gathered GETs.

All of them answer with the same body, so that what differs is the client.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

KEYS = tuple(f"bench:{number}" for number in range(10))
VALUE = "x" * 64

Body = dict[str, Any]


async def one(get: Callable[[str], Awaitable[Any]]) -> Body:
    """Return the body made with one GET."""
    return {"value": await get(KEYS[0])}


async def ten(get: Callable[[str], Awaitable[Any]]) -> Body:
    """Return the body made with ten GETs at once."""
    values = await asyncio.gather(*[get(key) for key in KEYS])
    return {"value": values[0]}
