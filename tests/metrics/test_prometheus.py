"""What a scrape shows of a manager, of several, and of a Cluster's nodes."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
import redis.exceptions
from prometheus_client import REGISTRY

from redis_manager_fastapi import RedisManager, RedisRegistry
from redis_manager_fastapi.metrics.families import FAMILIES
from redis_manager_fastapi.metrics.prometheus import RedisCollector
from redis_manager_fastapi.metrics.samples import MOST_CONSUMERS, OTHERS, of_consumers
from redis_manager_fastapi.metrics.seen import Seen
from redis_manager_fastapi.observe.realtime import ConsumerStats, RealTimeStats
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.scraping import scrape


async def test_a_page_shows_what_stats_say(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url, name="cache", pool={"max_connections": 7})
    before = scrape(manager)
    async with manager:
        r = manager.redis
        await asyncio.gather(*(r.set("key", n) for n in range(10)))
        with suppress(redis.exceptions.ResponseError):
            await r.lpush("key", 1)
        async with manager.connection():
            stats, page = manager.stats(), scrape(manager)
    closed = scrape(manager)

    labels = {"redis": "cache", "node": ""}
    assert before.value("redis_client_up", **labels) == 0
    assert before.value("redis_client_state", **labels, state="new") == 1
    assert page.value("redis_client_up", **labels) == 1
    assert page.value("redis_client_ready", redis="cache") == 1
    assert page.value("redis_client_state", **labels) == 1
    assert page.value("redis_client_state", **labels, state="ready") == 1
    assert page.value("redis_client_connections", **labels, state="used") == 1
    assert page.value("redis_client_max_connections", **labels) == 7
    assert page.value("redis_client_commands_total", **labels) == stats.commands
    assert page.value("redis_client_errors_total", **labels, code="WRONGTYPE") == 1
    assert page.value("redis_client_sent_bytes_total", **labels) == stats.bytes_sent
    assert page.value("redis_client_duration_seconds_count", **labels) == stats.latency.count
    assert page.value("redis_client_duration_seconds_sum", **labels) == stats.latency.total
    assert page.value("redis_client_duration_seconds_bucket", **labels, le="+Inf") == (
        stats.latency.count
    )
    assert closed.value("redis_client_state", **labels, state="closed") == 1
    assert closed.value("redis_client_commands_total", **labels) >= stats.commands


async def test_a_registry_s_managers_have_their_names(redis_server: RedisServer) -> None:
    registry = RedisRegistry(cache=redis_server.url, queue=redis_server.url)
    async with registry:
        await registry["queue"].redis.set("key", 1)
        page = scrape(registry)

    assert page.value("redis_client_up", redis="cache") == 1
    assert page.value("redis_client_up", redis="queue") == 1
    assert page.value("redis_client_scopes", redis="cache") == 0


def test_only_managers_with_names_of_their_own_have_metrics() -> None:
    manager = RedisManager()

    with pytest.raises(ValueError, match="two managers are named 'default'"):
        RedisCollector(manager, RedisManager())
    with pytest.raises(ValueError, match="none was given"):
        RedisCollector()
    with pytest.raises(TypeError, match="of a manager or a registry"):
        RedisCollector("redis://localhost")  # type: ignore[arg-type]
    RedisCollector(manager, manager)


@pytest.fixture
def registered() -> Iterator[RedisCollector]:
    collector = RedisCollector(RedisManager())
    REGISTRY.register(collector)
    yield collector
    REGISTRY.unregister(collector)


def test_a_second_collector_with_the_same_names_is_refused(registered: RedisCollector) -> None:
    """Prometheus would refuse a page that has a metric twice."""
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        REGISTRY.register(RedisCollector(RedisManager(name="other")))


@pytest.mark.usefixtures("pipelining")
async def test_what_nodes_count_can_be_added(shared_cluster: ClusterDeployment) -> None:
    async with RedisManager(url=shared_cluster.url) as manager:
        await manager.wait_ready(30)
        await asyncio.gather(*(manager.redis.set(f"key:{n}", n) for n in range(100)))
        with suppress(redis.exceptions.ResponseError):
            await manager.redis.lpush("key:1", 1)
        page, stats = scrape(manager), manager.stats()

    nodes = {dict(labels)["node"] for name, labels in page.values if name == "redis_client_up"}
    assert nodes == {"", *(f"127.0.0.1:{each.port}" for each in shared_cluster.primaries)}
    assert page.value("redis_client_commands_total") == stats.commands == 101
    assert page.value("redis_client_errors_total") == 1
    assert page.value("redis_client_links") == stats.links
    assert page.value("redis_client_up", node="") == 1


async def test_a_scrape_in_another_thread_disturbs_nobody(redis_server: RedisServer) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        pages: list[float] = []

        def read() -> None:
            pages.extend(scrape(manager).value("redis_client_commands_total") for _ in range(20))

        thread = threading.Thread(target=read)
        thread.start()
        while thread.is_alive():
            await asyncio.gather(*(manager.redis.set("key", n) for n in range(50)))
        assert len(pages) == 20
        assert pages == sorted(pages)


async def test_however_many_streams_are_consumed_labels_are_bounded(
    redis_server: RedisServer,
) -> None:
    manager = RedisManager(url=redis_server.url)
    async with manager:
        stats = manager.stats()
    consumers = tuple(
        ConsumerStats(f"room:{number}", "all", handled=1, lag=1) for number in range(200)
    )
    realtime = RealTimeStats(consumers=(*consumers, consumers[0]))
    seen = Seen(manager, replace(stats, realtime=realtime), {}, {})

    handled = dict(of_consumers("handled")(seen))
    lag = dict(of_consumers("lag", shared=True)(seen))

    assert len(handled) == len(lag) == MOST_CONSUMERS + 1
    assert sum(handled.values()) == 201
    assert handled["default", OTHERS, OTHERS] == 150
    assert handled["default", "room:0", "all"] == 2
    assert lag["default", "room:0", "all"] == 1


@pytest.mark.parametrize("name", ["prometheus", "otel"])
def test_without_its_extra_a_module_says_what_to_install(name: str) -> None:
    code = (
        "import sys, redis_manager_fastapi\n"
        "assert 'prometheus_client' not in sys.modules\n"
        "sys.modules['prometheus_client'] = sys.modules['opentelemetry.metrics'] = None\n"
        f"import redis_manager_fastapi.metrics.{name}"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: metrics for ")
    assert last.endswith(f"need: pip install 'redis_manager_fastapi[{name}]'")


def test_names_are_unique() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
