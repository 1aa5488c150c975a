"""The set of a pool's multiplexed connections, on a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from redis_manager_fastapi.errors import Cause
from redis_manager_fastapi.pool.causes import Connection, Finding
from redis_manager_fastapi.pool.links import LinkSet
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.request import new_request
from redis_manager_fastapi.pool.state import OldLinks
from tests.kit.managers import opened, pool_of
from tests.kit.waiting import until


class Heard:
    """What links have told."""

    def __init__(self) -> None:
        self.links: LinkSet
        self.lost: list[str] = []

    def link_lost(self, link: MultiplexedConnection, reason: str) -> None:
        self.links.discard(link)
        self.lost.append(reason)

    def link_heard(self, link: MultiplexedConnection) -> None:
        self.links.resume()

    def link_worn(self, link: MultiplexedConnection) -> None:
        raise AssertionError("no transaction was sent")

    def timer_fired(self, due: float) -> None:
        raise AssertionError("no time was up")

    def why_late(self, since: float, now: float, seen: Connection, of: object = None) -> Finding:
        return Finding(Cause.SERVER_SILENT)


@asynccontextmanager
async def link_set(url: str, count: int = 2) -> AsyncIterator[LinkSet]:
    """Links of their own, beside those of a pool that dials for them."""
    async with opened(url) as manager:
        events = Heard()
        events.links = links = LinkSet(events, max_in_flight=2)
        dialer = pool_of(manager).dialer
        links.replace([await dialer.dial() for _ in range(count)], OldLinks.DRAIN, heard_since=0)
        yield links
        for link in links.take_all():
            link.abort("the test is over")


def ask(link: MultiplexedConnection) -> asyncio.Future[Any]:
    """Send PING."""
    ping = b"*1\r\n$4\r\nPING\r\n"
    deadline = link.loop.time() + 5
    request = new_request(ping, link.loop.create_future(), deadline, decode=True, read_only=True)
    link.submit(request)
    return request.future


async def test_the_least_busy_link_is_chosen_and_a_full_one_is_not(redis_url: str) -> None:
    async with link_set(redis_url) as links:
        first, second = links.serving
        replies = [ask(first)]
        assert (links.least_busy(), links.with_room()) == (second, second)

        replies += [ask(second), ask(second), ask(first)]
        assert links.least_busy() is first
        assert links.with_room() is None
        assert links.in_flight == 4
        assert await asyncio.gather(*replies) == ["PONG"] * 4


@pytest.mark.parametrize("count", [0, 1, 2])
async def test_only_is_the_link_of_a_set_of_one(redis_url: str, count: int) -> None:
    async with link_set(redis_url, count) as links:
        assert links.only is (links.serving[0] if count == 1 else None)
        assert (links.least_busy() is None) == (count == 0)


async def test_suspended_links_serve_again(redis_url: str) -> None:
    async with link_set(redis_url) as links:
        both = links.serving
        links.suspend()
        assert (links.serving, links.only, links.with_room()) == ((), None, None)
        assert repr(links) == "<LinkSet serving=0 suspended=2 retired=0>"

        await ask(both[0])

        assert links.serving == both
        assert not any(link.suspected for link in both)


async def test_a_link_that_is_left_finishes_and_is_not_brought_back(redis_url: str) -> None:
    async with link_set(redis_url) as links:
        busy, idle = links.serving
        reply = ask(busy)
        links.suspend()
        links.leave()

        assert (idle.lost, busy.lost, links.current) == (True, False, (busy,))
        assert await reply == "PONG"
        assert (links.current, busy.lost) == ((), True)


@pytest.mark.parametrize(
    ("fate", "quiet", "drains"),
    [
        (OldLinks.DRAIN, 1, True),
        (OldLinks.DRAIN_IF_HEARD, 0, True),
        (OldLinks.DRAIN_IF_HEARD, 1, False),
        (OldLinks.ABORT, 0, False),
    ],
)
async def test_an_old_link_meets_its_fate(
    redis_url: str, fate: OldLinks, quiet: int, drains: bool
) -> None:
    """It finishes what is in flight, or is aborted, or the one or the other if it was heard."""
    async with link_set(redis_url, 1) as links:
        (old,) = links.serving
        reply = ask(old)
        links.replace([], fate, heard_since=old.last_heard + quiet)

        assert (old.lost, len(links.open)) == (not drains, int(drains))
        if drains:
            assert await reply == "PONG"
        await until(lambda: not links.open)


async def test_a_lost_link_leaves_the_others_in_service(redis_url: str) -> None:
    async with link_set(redis_url) as links:
        lost, other = links.serving
        lost.eof_received()

        assert (links.serving, links.only) == ((other,), other)
        assert not links.discard(lost)
