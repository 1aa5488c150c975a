"""Large replies on a dedicated connection come in pieces."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.pool.dedicated import PIECE
from tests.kit.managers import opened, pool_of

LARGE = 8 * 1024 * 1024


class Recorder:
    """Stands before a stream's protocol and writes down what it is given."""

    def __init__(self, stream: Any) -> None:
        self.sizes: list[int] = []
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))
        self._stream.data_received(data)


async def test_a_large_reply_takes_a_bounded_part_of_each_turn(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        await manager.redis.set("large", "x" * LARGE)
        lease = await pool_of(manager).leases.acquire("a test", float("inf"))
        connection = lease.connection
        protocol: Any = connection.transport.get_protocol()
        recorder = protocol.stream = Recorder(protocol.stream)
        await connection.send_command("GET", "large")
        time.sleep(0.2)  # noqa: ASYNC251 (so that the socket has more to give than a piece)

        assert await connection.read_response() == "x" * LARGE
        assert sum(recorder.sizes) > LARGE
        assert max(recorder.sizes) == PIECE
        protocol.stream = protocol.stream._stream
        await lease.release()


async def test_replies_that_come_together_stay_apart(redis_url: str) -> None:
    """One buffer serves all connections of a loop: what one was given another does not see."""
    async with opened(redis_url, pool={"max_connections": 8}) as manager:
        client = manager.redis.with_options(dedicated=True)
        values = {f"key {n}": str(n) * 300_000 for n in range(8)}
        await asyncio.gather(*(manager.redis.set(key, value) for key, value in values.items()))

        for _ in range(5):
            found = await asyncio.gather(*(client.get(key) for key in values))
            assert found == list(values.values())


def test_two_loops_in_two_threads_share_nothing(redis_url: str) -> None:
    """A read lets the other thread run between the socket's bytes and their copy."""

    async def wrong(tag: str) -> int:
        async with RedisManager(url=redis_url) as manager:
            client = manager.redis.with_options(dedicated=True)
            await client.set(tag, tag)

            async def reads() -> int:
                return sum([await client.get(tag) != tag for _ in range(700)])

            return sum(await asyncio.gather(*(reads() for _ in range(4))))

    with ThreadPoolExecutor() as threads:
        found = threads.map(lambda tag: asyncio.run(wrong(tag)), ["one", "two"])
        assert list(found) == [0, 0]
