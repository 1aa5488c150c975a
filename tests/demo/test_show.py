"""What the demo's page is told."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.kit.command_line import ended
from tests.kit.demo import address, started
from tests.kit.serving import PATIENCE

HEADERS = {"X-Demo": "1"}
LOOKS = 8

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a demo."""
    process = await started()
    url = await address(process)
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, headers=HEADERS) as client:
        yield client
    process.terminate()
    assert (await ended(process)).code == 0


@asynccontextmanager
async def told(http: httpx.AsyncClient, path: str, name: str) -> AsyncIterator[AsyncIterator[Any]]:
    """What the events of that name say."""

    async def events() -> AsyncIterator[Any]:
        last = ""
        async for line in response.aiter_lines():
            if line.startswith("data: ") and last == f"event: {name}":
                yield json.loads(line.removeprefix("data: "))
            last = line

    async with http.stream("GET", path) as response:
        yield events()


async def commands(http: httpx.AsyncClient) -> int:
    """How many commands the app has sent."""
    async with told(http, "/redis/events", "look") as looks:
        return int((await anext(looks))[0]["commands"])


async def test_pages_send_redis_nothing_through_the_app(http: httpx.AsyncClient) -> None:
    """However many look, the console counts the visitors' commands, and no others."""
    await http.put("/demo/rate?visits=0")
    async with (
        told(http, "/demo/events", "report") as one,
        told(http, "/demo/events", "report") as another,
    ):
        while (await anext(one))["rate"] or (await anext(one))["waiting"]:
            pass
        before, found = await commands(http), list[Any]()
        for _ in range(LOOKS):
            found = [(await anext(each))["found"] for each in (one, another)]
        after = await commands(http)

    assert after == before
    assert all(each["lost"] == each["untold"] == 0 for each in found)


async def test_who_presses_a_button_is_told_at_once_what_is_done(http: httpx.AsyncClient) -> None:
    pressed = await http.post("/demo/acts/outage_5")
    other = await http.post("/demo/acts/kill")
    restored = await http.post("/demo/acts/restart")

    assert pressed.json()["doing"] == "outage_5"
    assert other.status_code == 409
    assert restored.json()["doing"] == "restart"
