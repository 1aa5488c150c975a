"""Every metric that the dashboard, the alerts and the page name is there in a real scrape."""

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
import redis.exceptions

from redis_manager_fastapi import RedisManager, StreamEntry
from redis_manager_fastapi.testing import RedisServer
from tests.kit.scraping import Page, scrape
from tests.kit.waiting import until

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "grafana-dashboard.json").read_text())
ALERTS = (DOCS / "prometheus-alerts.yml").read_text()
PAGE = (DOCS / "metrics.md").read_text()

NAME = re.compile(r"\bredis_client_\w+")
SELECTOR = re.compile(r"(redis_client_\w+)\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|without) \(([^)]*)\)")
OF_PROMETHEUS = {"job", "instance"}


async def everything(server: RedisServer) -> Page:
    """Scrape a manager that has done something of everything."""
    manager = RedisManager(url=server.url)
    handled = asyncio.Event()

    @manager.consumer("orders", group="billing", start="0")
    async def handle(entry: StreamEntry) -> None:
        handled.set()

    async with manager:
        r = manager.redis
        await r.set("key", 1)
        await r.with_options(cache=60.0).get("key")
        with suppress(redis.exceptions.ResponseError):
            await r.lpush("key", 1)
        await r.xadd("orders", {"id": "1"})
        async with manager.subscribe("news"), manager.tail("orders"):
            await asyncio.wait_for(handled.wait(), 10)
            consumers = lambda: scrape(manager).names()  # noqa: E731
            await until(lambda: "redis_client_consumer_lag" in consumers())
            return scrape(manager)


@pytest.fixture
async def page(redis_server: RedisServer) -> Page:
    return await everything(redis_server)


def expressions() -> list[str]:
    """Return what the dashboard and the alerts ask."""
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    alerts = re.findall(r"expr: (?:\|\n((?: {10,}.*\n)+)|(.+))", ALERTS)
    return panels + [block or line for block, line in alerts]


async def test_names_and_labels_are_those_of_a_scrape(page: Page) -> None:
    asked = expressions()
    assert len(asked) == ALERTS.count("- alert:") + sum(
        len(panel["targets"]) for panel in DASHBOARD["panels"]
    )

    unknown = {name for each in asked for name in NAME.findall(each)} - page.names()
    assert unknown == set()
    for each in asked:
        for name, selector in SELECTOR.findall(each):
            assert set(re.findall(r"(\w+)(?:=|!=|=~)\"", selector)) <= page.labels[name], each
        known = set.union(OF_PROMETHEUS, *(page.labels[name] for name in NAME.findall(each)))
        for labels in GROUPING.findall(each):
            assert set(re.split(r", *", labels)) <= known, each


async def test_the_page_lists_every_metric_with_its_labels(page: Page) -> None:
    rows = dict(re.findall(r"^\| `(redis_client_\w+)` \| ([^|]*) \|", PAGE, re.MULTILINE))
    parts = ("_bucket", "_count", "_sum")
    there = {
        name.removesuffix(next((p for p in parts if "duration" in name and name.endswith(p)), ""))
        for name in page.names()
    }

    assert set(rows) == there
    for name, labels in rows.items():
        has = page.labels.get(name, page.labels.get(f"{name}_count", set()))
        assert set(re.findall(r"`(\w+)`", labels)) | {"redis"} == has | {"redis"}, name


def test_alerts_tell_of_what_an_operator_must_know() -> None:
    named = set(re.findall(r"- alert: (\w+)", ALERTS))

    assert len(named) == ALERTS.count("- alert:")
    for what in ("Down", "Deaf", "Errors", "LostReplies", "PoolExhausted", "ConsumerLag"):
        assert f"RedisClient{what}" in named
    assert ALERTS.count("summary:") == len(named)
