"""A scrape while Redis is away: from the outside, of a service under uvicorn."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from redis_manager_fastapi.testing import RedisServer
from tests.kit.scraping import Page, shrunk
from tests.kit.serving import PATIENCE, environment, server_process

EXAMPLES = Path(__file__).parents[2] / "examples"
PASSWORD = "correct-horse-battery"
FLIPS = 1.0
"""Seconds in which a state shows; health.interval and health.timeout promise it."""
SCRAPE = 0.25
"""Seconds that a look may take, and be apart from the next, on a slow machine."""


async def page(http: httpx.AsyncClient) -> Page:
    response = await http.get("/metrics")
    assert response.status_code == 200
    return Page.of(response.text)


async def flipped(http: httpx.AsyncClient, up: float, pages: list[Page]) -> float:
    """Scrape until the state shows; return after how many seconds."""
    begin = time.monotonic()
    while True:
        pages.append(await page(http))
        if pages[-1].value("redis_client_up", node="") == up:
            return time.monotonic() - begin
        assert time.monotonic() - begin < PATIENCE
        await asyncio.sleep(0.02)


async def refused(http: httpx.AsyncClient, pages: list[Page]) -> None:
    """Scrape until grace is over, and callers are refused."""
    async with asyncio.timeout(PATIENCE):
        while not pages[-1].value("redis_client_refused_total"):
            pages.append(await page(http))
            await asyncio.sleep(0.02)


async def use(http: httpx.AsyncClient, stop: asyncio.Event) -> None:
    """Write, whatever becomes of it, until *stop*."""
    while not stop.is_set():
        await http.post("/hits/home")
        await asyncio.sleep(0.02)


@pytest.mark.measures
@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_a_scrape_shows_an_outage_at_once_and_counters_only_grow(fault: str) -> None:
    async with RedisServer(password=PASSWORD) as server:
        env = environment(REDIS_URL=server.url, REDIS_OUTAGE__GRACE="0.5")
        async with (
            server_process("metrics:app", directory=EXAMPLES, env=env) as process,
            httpx.AsyncClient(base_url=await process.url(), timeout=PATIENCE) as http,
        ):
            stop, pages = asyncio.Event(), [await page(http)]
            load = asyncio.create_task(use(http, stop))
            await flipped(http, 1, pages)
            if fault == "killed":
                await server.kill()
            else:
                server.pause()
            down_after = await flipped(http, 0, pages)
            await refused(http, pages)
            if fault == "killed":
                await server.start()
            else:
                server.resume()
            up_after = await flipped(http, 1, pages)
            stop.set()
            await load
            pages.append(await page(http))

    assert down_after <= FLIPS + SCRAPE
    assert up_after <= FLIPS + SCRAPE + 1  # a restart takes its own time
    for before, after in pairwise(pages):
        assert shrunk(before, after) == {}
    last = pages[-1]
    assert last.value("redis_client_refused_total") > 0
    assert last.value("redis_client_errors_total", code="redis_unavailable") > 0
    assert last.value("redis_client_grace_longest_seconds", node="") == pytest.approx(0.5)
    for each in pages:
        assert PASSWORD not in each.text
        assert server.host not in each.text
