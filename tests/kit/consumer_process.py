"""A consumer in a process of its own: it writes each entry's number when its body is through.

`python -m tests.kit.consumer_process URL OPTIONS`, with the options as JSON: those of
`consume`, and `body`, the seconds that a body takes.
"""

import asyncio
import json
import sys
from typing import Any

from redis_manager_fastapi import RedisManager
from tests.kit.consuming import GROUP, STREAM


async def consume(manager: RedisManager, body: float, options: dict[str, Any]) -> None:
    """Consume until the process ends."""
    async with manager.consume(STREAM, group=GROUP, **options) as entries:
        async for entry in entries:
            tell("begins", entry.fields["n"], entry.delivered)
            await asyncio.sleep(body)
            tell("through", entry.fields["n"], entry.delivered)


def tell(*words: object) -> None:
    """Write a line at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def main(url: str, body: float, consumers: int, options: dict[str, Any]) -> None:
    """Run so many consumers."""
    async with RedisManager(url=url) as manager:
        await asyncio.gather(*(consume(manager, body, options) for _ in range(consumers)))


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    run = main(sys.argv[1], given.pop("body", 0.0), given.pop("consumers", 1), given)
    asyncio.run(run)
