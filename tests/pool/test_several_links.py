"""Several shared connections, of which one is in trouble: the others serve on."""

import asyncio
from typing import Any

import pytest

from redis_manager_fastapi import Event, PoolState, StateChanged
from redis_manager_fastapi.pool.state import Suspicion
from redis_manager_fastapi.testing import RedisServer
from tests.kit.fake_server import FakeServer
from tests.kit.lag import LagMeter
from tests.kit.managers import opened, pool_of, until_state
from tests.kit.reading import calls
from tests.kit.servers import needs
from tests.kit.trial import SLACK
from tests.kit.waiting import eventually, until

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
        lag, lost_at = LagMeter(), [0.0]
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
                    lost_at.append(loop.time())
                served.append(manager.is_ready)

        callers = asyncio.gather(*(busy() for _ in range(4)))
        await until(lambda: manager.stats().generation == 2)
        replaced_at = loop.time()
        await callers
        lag.stop()

        for at in (max(lost_at), replaced_at):
            assert at - began - lag.within(began, at) <= BOUND + SLACK
        assert all(served)
        assert any(link.lost for link in links)
        assert manager.stats().generation == 2
        states = [event.state for event in events if isinstance(event, StateChanged)]
        assert states[-2:] == ["suspect", "ready"]


async def test_one_that_speaks_says_nothing_of_the_other() -> None:
    """Row 63: all were silent; only the one that was heard takes commands again."""
    async with FakeServer() as fake, opened(fake.url, **SETTINGS) as manager:
        pool = pool_of(manager)
        heard, silent = pool.links
        pool.suspect(pool.generation, Suspicion.SILENT, "no reply to a heartbeat")
        assert (pool.links, pool.link_set.suspended) == ((), (heard, silent))

        pool.link_heard(heard)

        assert (pool.links, pool.link_set.suspended) == ((heard,), (silent,))
        assert pool.suspicion is Suspicion.LINK_QUIET
        await until(lambda: manager.stats().generation == 2)
        await until(lambda: heard.lost and silent.lost)
        assert await manager.redis.echo("mine") == "mine"


@pytest.mark.usefixtures("pipelining")
async def test_the_others_serve_on_while_no_connection_can_be_made(
    redis_server: RedisServer,
) -> None:
    """Row 63: `maxclients` is reached when one is lost; it is replaced once it may be."""
    events: list[Event] = []
    settings: dict[str, Any] = {**SETTINGS, "listeners": [events.append]}
    async with opened(redis_server.url, **settings) as manager, redis_server.client() as admin:
        links = pool_of(manager).links
        await admin.config_set("maxclients", 2)
        clients: Any = await admin.client_list()
        own = links[0]._transport.get_extra_info("sockname")
        address = next(c["addr"] for c in clients if c["addr"].endswith(f":{own[1]}"))
        await admin.client_kill(address)
        await until(lambda: manager.stats().links == 1)
        ends = asyncio.get_running_loop().time() + 1.5
        while asyncio.get_running_loop().time() < ends:
            assert manager.is_ready
            assert await manager.redis.echo("word") == "word"
            await asyncio.sleep(0.01)
        assert pool_of(manager).links == links[1:]

        await admin.config_set("maxclients", 100)
        await until(lambda: manager.stats().links == 2)
        states = [event.state for event in events if isinstance(event, StateChanged)]
        assert "down" not in states


async def test_a_server_that_is_gone_is_down(redis_server: RedisServer) -> None:
    async with opened(redis_server.url, **SETTINGS) as manager:
        await redis_server.kill()
        await until_state(manager, PoolState.DOWN)


@pytest.mark.usefixtures("pipelining")
@needs("INFO's total_reads_processed", redis="6.0")
async def test_what_is_asked_after_answers_on_both_leaves_in_one_write_on_each(
    redis_server: RedisServer,
) -> None:
    """Callers that either has answered may ask any next: both wait for all of them."""
    settings: Any = {**SETTINGS, "health": {"interval": 5, "timeout": 5}}
    async with opened(redis_server.url, **settings) as manager, redis_server.client() as admin:
        links = pool_of(manager).links

        async def ask_twice(number: int) -> str:
            await manager.redis.get("key")
            return str(await manager.redis.echo(str(number)))

        async def answered() -> bool:
            return bool((await calls(redis_server)) == 64)

        asking = asyncio.gather(*[ask_twice(number) for number in range(64)])
        for link in links:
            link._transport.pause_reading()
        await eventually(answered)
        before = (await admin.info("stats"))["total_reads_processed"]
        for link in links:
            link._transport.resume_reading()
        replies = await asking
        after = (await admin.info("stats"))["total_reads_processed"]

        assert replies == [str(number) for number in range(64)]
        assert after - before == len(links) + 1  # INFO itself is the last
