"""A herd of processes, each with callers who wait for Redis to come back.

Each says `open` when it is; at the end of stdin all of them ask, and each says
when its last caller was answered.
"""

import asyncio
import json
import os
import sys
import time

from redis_manager_fastapi import RedisManager


async def _member(url: str, waiters: int) -> None:
    async with RedisManager(url=url) as manager:
        os.write(1, b"open\n")
        await asyncio.to_thread(sys.stdin.read)
        async with asyncio.TaskGroup() as group:
            for _ in range(waiters):
                group.create_task(manager.redis.execute_command("GET", "key"))
        outcome = {"served": time.monotonic(), "connects": manager.stats().connects}
        os.write(1, json.dumps(outcome).encode() + b"\n")


def main(url: str, processes: int, waiters: int) -> None:
    """Start the herd and wait for its end."""
    for _ in range(processes):
        if os.fork() == 0:
            asyncio.run(_member(url, waiters))
            return
    for _ in range(processes):
        os.wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
