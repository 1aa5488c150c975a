"""Several shared connections, of which one is in trouble: the others serve on."""

import asyncio
from typing import Any

from redis_manager_fastapi import Event, PoolState, StateChanged
from tests.kit.fake_server import FakeServer
from tests.kit.managers import opened, pool_of
from tests.kit.trial import SLACK
from tests.kit.waiting import until

SETTINGS: dict[str, Any] = {
    "pipelining": {"connections": 2},
    "health": {"interval": 0.2, "timeout": 0.2},
}
BOUND = 0.4


async def test_a_silent_one_is_replaced_while_the_other_serves() -> None:
    """Row 63: within interval and timeout, and readiness does not change."""
    events: list[Event] = []
    async with (
        FakeServer() as fake,
        opened(fake.url, listeners=[events.append], **SETTINGS) as manager,
    ):
        served = [manager.is_ready]
        loop = asyncio.get_running_loop()
        links = pool_of(manager).links
        began = loop.time()
        fake.deaf.add(fake.connections[0])

        async def busy() -> None:
            """Closed loops over whichever connection is the less busy."""
            while loop.time() < began + 3 * BOUND:
                try:
                    await manager.redis.with_options(timeout=0.1).echo("word")
                except TimeoutError:
                    pass
                except Exception:
                    assert loop.time() < began + BOUND + SLACK
                served.append(manager.is_ready)

        callers = asyncio.gather(*(busy() for _ in range(4)))
        await until(lambda: manager.stats().generation == 2)
        took = loop.time() - began
        await callers

        assert took <= BOUND + SLACK
        assert all(served)
        assert any(link.lost for link in links)
        assert manager.stats().generation == 2
        states = [event.state for event in events if isinstance(event, StateChanged)]
        assert states[-2:] == ["suspect", "ready"]


async def test_one_that_speaks_says_nothing_of_the_other() -> None:
    """Row 63: all were silent; only the one that was heard takes commands again."""
    settings: Any = {**SETTINGS, "timeout": {"connect": 2.0, "command": 1.0}}
    async with FakeServer() as fake, opened(fake.url, **settings) as manager:
        pool = pool_of(manager)
        links = pool.links
        writers = list(fake.connections)
        fake.deaf.update(writers)
        await until(lambda: len(pool.link_set.suspended) == 2)
        writers[0].write(b"$4\r\n")  # half of something
        await until(lambda: bool(pool.links) or manager.stats().generation > 1)

        assert len(pool.link_set.suspended) == 1 or manager.stats().generation > 1
        await until(lambda: manager.stats().state is PoolState.READY)
        await until(lambda: all(link.lost for link in links))
        assert await manager.redis.echo("mine") == "mine"
