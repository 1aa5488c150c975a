"""The console's page in a real browser, in apps of several kinds and in their absence."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI

from redis_manager_fastapi import (
    EntryDeadLettered,
    RedisManager,
    RedisRegistry,
    StreamEntry,
    console_router,
)
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.console.test_in_browser import (
    CHROMIUM,
    FLAGS,
    PATIENCE,
    Shown,
    playwright,
    pytestmark,
)
from tests.kit.serving import Site, serving
from tests.kit.waiting import until

__all__ = ["pytestmark"]

NAMES = ("default", "sessions", "rate limits", "a-name-that-somebody-generated-" + "x" * 60)
GAP = """(id) => document.getElementById(id).getBoundingClientRect().top
  - document.querySelector(".bar").getBoundingClientRect().bottom"""
IN_SIGHT = """() => {
  const { top, bottom, height } = document.querySelector(".late").getBoundingClientRect();
  return height > 0 && top >= 0 && bottom <= innerHeight;
}"""
SIDEWAYS = """() => [document.documentElement, ...document.querySelectorAll(".scroll")]
  .filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.textContent)"""


def console_of(*managers: RedisManager) -> FastAPI:
    app = FastAPI(lifespan=RedisRegistry(*managers))
    app.include_router(console_router, prefix="/redis")
    return app


@dataclass
class Looked(Shown):
    """A page, and what it must not do.

    Attributes:
        expected: What its browser may remark on.
    """

    expected: str = "nothing"

    def _wrote(self, message: Any) -> None:
        if self.expected not in message.text:
            self.complaints.append(message.text)


@asynccontextmanager
async def looked_at(
    site: Site, width: int = 1280, scheme: str = "light", part: str = ""
) -> AsyncIterator[Looked]:
    """Look at a site's console, once it shows something."""
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            size = {"width": width, "height": 900}
            page = await browser.new_page(viewport=size, color_scheme=scheme)
            looked = Looked(page, site.url)
            looked.listen()
            await page.goto(f"{site.url}/redis{part}")
            await page.locator(".state[data-state]").first.wait_for(timeout=PATIENCE)
            yield looked
            assert not looked.complaints
        finally:
            await browser.close()


@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_the_links_of_instances_lead_to_them(redis_url: str, width: int) -> None:
    managers = [RedisManager(redis_url, name=name) for name in NAMES]
    async with (
        serving(console_of(*managers)) as site,
        looked_at(site, width, part="#instance-4") as looked,
    ):
        await looked.page.wait_for_function("document.activeElement.id === 'instance-4'")
        assert 0 <= await looked.page.evaluate(GAP, "instance-4") < 900 / 2
        for name in NAMES:
            assert await looked.page.get_by_role("region", name=name, exact=True).count() == 1
        for number in (2, 4, 1):
            link = looked.page.locator(f".summary a[href='#instance-{number}']")
            await link.click()
            heading = f"instance-{number}"
            assert await looked.page.evaluate("document.activeElement.id") == heading
            assert 0 <= await looked.page.evaluate(GAP, heading) < 900 / 2
        assert await looked.page.evaluate("document.querySelector('.bar').offsetHeight") < 90
        await looked.assert_accessible()


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (390, "light"), (1280, "light")])
async def test_every_part_can_be_read(width: int, scheme: str) -> None:
    async with RedisServer() as server:
        manager = busy(server.url)
        async with (
            serving(console_of(manager)) as site,
            looked_at(site, width, scheme) as looked,
        ):
            await manager.redis.xadd("orders:of:today:and:of:a:very:long:name", {"bad": "1"})
            await manager.redis.with_options(cache=5.0).get("key")
            await looked.page.get_by_text("LookupError").first.wait_for()
            await looked.page.get_by_role("heading", name="Client-side cache").wait_for()
            await server.kill()
            await looked.until_state("down")
            await looked.page.get_by_text("What the words mean").click()
            assert await looked.page.evaluate(SIDEWAYS) == []
            await looked.assert_accessible()
            cards = await looked.page.get_by_role("columnheader", name="Restarts").count()
            assert cards == 1  # it is a table to a screen reader, whatever it looks like


def busy(url: str) -> RedisManager:
    """A manager with each kind of part."""
    manager = RedisManager(url, outage={"grace": 0.2}, client_cache={"ttl": 5.0})
    stream = "orders:of:today:and:of:a:very:long:name"

    @manager.consumer(stream, group="billing", max_deliveries=1)
    async def bill(entry: StreamEntry) -> None:
        raise LookupError

    @manager.background
    async def listen() -> None:
        async with manager.subscribe("news", "a-channel-of-a-long-name" * 2) as messages:
            async for _ in messages:
                pass

    return manager


async def test_who_has_scrolled_sees_that_the_app_is_gone(redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(serving(console_of(RedisManager(redis_url))))
        async with looked_at(site, 390) as looked:
            looked.expected = "ERR_"
            await looked.page.evaluate("scrollTo(0, document.body.scrollHeight)")
            await stack.aclose()
            late = looked.page.locator(".late")
            await late.filter(has_text="No news from the app for").wait_for(timeout=PATIENCE)
            assert await looked.page.evaluate(IN_SIGHT)
            assert await looked.page.locator(".instance.stale").count() == 1
            assert await looked.page.locator(".bar.stale").count() == 0


async def test_who_is_let_in_no_more_is_told_so_and_asks_less_and_less(redis_url: str) -> None:
    manager = RedisManager(redis_url)
    refused: list[float] = []
    app = FastAPI(lifespan=manager)
    app.include_router(console_router, prefix="/redis")

    async def door(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if opened or not scope.get("path", "").endswith("/events"):
            await app(scope, receive, send)
            return
        if scope["method"] == "GET":
            refused.append(asyncio.get_running_loop().time())
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    opened = True
    async with serving(door) as site, looked_at(site) as looked:
        looked.expected = "401"
        opened = False
        manager.history.stop()
        await looked.until_text("#feed", lambda text: "Reload to sign in" in text)
        await until(lambda: len(refused) >= 3, 30)
        first, second, third = refused[:3]
        assert third - second > 1.5 * (second - first)


async def test_another_process_leaves_no_card_of_the_one_before(redis_url: str) -> None:
    async with ClusterDeployment(replicas=0) as deployment, AsyncExitStack() as stack:
        first = RedisManager(deployment.url)
        second = RedisManager(redis_url)
        await first.open()
        manager, inner = first, FastAPI()
        inner.include_router(console_router, prefix="/redis")

        async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            await inner({**scope, "state": manager.lifespan_state()}, receive, send)

        async with serving(app, lifespan="off") as site, looked_at(site) as looked:
            cards = ("Slots", "Shards")
            for card in cards:
                await looked.page.get_by_role("heading", name=card, exact=True).wait_for()
            await first.aclose()
            await stack.enter_async_context(second)
            manager = second
            await looked.page.get_by_text("One server").wait_for()
            for card in cards:
                await looked.page.get_by_role("heading", name=card, exact=True).wait_for(
                    state="hidden"
                )
            # What was between the one and the other, nobody knows.
            assert await looked.page.locator(".life [data-state=unknown]").count() == 2
            manager.history.stop()


async def test_who_comes_later_sees_the_outage_whatever_else_happened(
    redis_server: RedisServer,
) -> None:
    manager = RedisManager(redis_server.url)
    async with serving(console_of(manager)) as site:
        await redis_server.kill()
        await until(lambda: manager.stats().state.value == "down")
        await redis_server.start()
        await manager.wait_ready(20)
        for number in range(250):
            reason = f"LookupError: {number}"
            manager.history(
                EntryDeadLettered("default", "orders", f"{number}-0", "billing", "", reason, 3)
            )
        async with looked_at(site) as looked:
            await looked.page.locator(".life [data-state=down]").wait_for()
            item = looked.page.locator(".news li", has_text="an entry of stream orders")
            assert await item.count() == 1
            assert await item.locator(".times").inner_text() == "250 times"


async def test_what_opens_is_not_counted_as_an_outage(redis_url: str) -> None:
    async with (
        serving(console_of(RedisManager(redis_url))) as site,
        looked_at(site) as looked,
    ):
        text = await looked.page.locator(".timeline .legend").inner_text()
        assert "ready for 100.0 %" in text
        await looked.page.locator(".chart path.dot").first.wait_for(state="attached")


async def test_a_time_is_no_more_exact_than_it_was_counted(redis_url: str) -> None:
    """Of forty replies that took 305 to 310 ms no more is known than that they took under 500."""
    bounds = [0.1, 0.25, 0.5, 1.0]
    cases = [
        (0.5, [0, 0, 40, 0, 0]),
        (0.99, [99, 0, 0, 0, 1]),
        (1, [0, 0, 0, 0, 1]),
        (0.5, [0] * 5),
    ]
    async with (
        serving(console_of(RedisManager(redis_url))) as site,
        looked_at(site) as looked,
    ):
        found = await looked.page.evaluate(
            """async ([cases, bounds]) => {
              const { quantile, logarithmic } = await import("/redis/static/chart.js");
              const { share } = logarithmic(String, 0.001, 10)([]);
              return [cases.map(([part, counts]) => String(quantile(part, counts, bounds))),
                [0.001, 0.1, 10, Infinity].map((each) => share(each).toFixed(2))];
            }""",
            [cases, bounds],
        )
    assert found == [["0.5", "0.1", "Infinity", "null"], ["0.00", "0.50", "1.00", "1.00"]]
