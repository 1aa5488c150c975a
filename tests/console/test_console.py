"""The console's routes under a real uvicorn: what they send, and that it is no more than that."""

import asyncio
import json
import runpy
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from redis_manager_fastapi import (
    RedisManager,
    RedisRegistry,
    RedisSettings,
    StreamEntry,
    console_router,
)
from redis_manager_fastapi.console.words import in_words
from redis_manager_fastapi.observe.events import (
    CacheChanged,
    EntryDeadLettered,
    Event,
    GroupRemade,
    Resubscribed,
    StateChanged,
    StreamGap,
    SubscriptionsBroken,
    SubscriptionsHealed,
    WorkerFailed,
)
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.serving import PATIENCE, ROOT, Site, environment, server_process, serving

SECRET = "hunter2-console"
STATIC = ROOT / "redis_manager_fastapi/console/static"


async def told(
    http: httpx.AsyncClient, path: str = "/redis/events"
) -> AsyncGenerator[tuple[str, Any], None]:
    """The name and the data of each event of the stream."""
    async with asyncio.timeout(PATIENCE), http.stream("GET", path) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def console_of(manager: RedisManager | RedisRegistry) -> FastAPI:
    app = FastAPI(lifespan=manager.lifespan)
    app.include_router(console_router, prefix="/redis")
    return app


@asynccontextmanager
async def looked_at(manager: RedisManager | RedisRegistry) -> AsyncIterator[Site]:
    async with serving(console_of(manager)) as site:
        yield site


async def test_the_page_and_its_parts_need_nothing_from_elsewhere(redis_url: str) -> None:
    async with looked_at(RedisManager(redis_url)) as site:
        page = await site.http.get("/redis")
        assert page.status_code == 200
        assert "://" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for part in ("console.js", "console.css", "icon.svg"):
            assert f'"redis/static/{part}"' in page.text
        for part in sorted(each.name for each in STATIC.iterdir() if each.suffix != ".html"):
            first = await site.http.get(f"/redis/static/{part}")
            assert first.status_code == 200
            tag = first.headers["etag"]
            for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                again = await site.http.get(
                    f"/redis/static/{part}", headers={"If-None-Match": known}
                )
                assert again.status_code == 304
            other = await site.http.get(
                f"/redis/static/{part}", headers={"If-None-Match": '"other"'}
            )
            assert other.status_code == 200
        for unknown in ("router.py", "other.js", "..%2Frouter.py"):
            assert (await site.http.get(f"/redis/static/{unknown}")).status_code == 404
        slash = await site.http.get("/redis/")
        assert slash.status_code == 307
        assert slash.headers["location"] == "../redis"
        assert "/redis" not in (await site.http.get("/openapi.json")).json()["paths"]
        for path in ("/redis", "/redis/static/console.js", "/redis/events"):
            head = await site.http.head(path)
            assert (head.status_code, head.content) == (200, b"")


async def test_an_outage_is_told_as_it_happens_with_what_came_before(
    redis_server: RedisServer,
) -> None:
    manager = RedisManager(redis_server.url, outage={"grace": 0.1})
    async with looked_at(manager) as site, aclosing(told(site.http)) as stream:
        name, (limits,) = await anext(stream)
        assert name == "instances"
        assert limits["name"] == "default"
        assert limits["grace"] == 0.1
        name, (look,) = await anext(stream)
        assert name == "look"
        assert look["state"] == "ready"
        assert [each["state"] for each in look["states"]] == ["starting", "ready"]
        assert look["since"] == look["states"][-1]["at"]
        assert [each["words"] for each in look["news"]] == ["opening", "ready"]
        await redis_server.kill()
        states = await states_until(stream, "down")
        assert states[-2:] == ["suspect", "down"]
        await redis_server.start()
        assert (await states_until(stream, "ready"))[-1] == "ready"


async def states_until(stream: Any, state: str) -> list[str]:
    states: list[str] = []
    async for _, (look,) in stream:
        states += [each["state"] for each in look["states"]]
        if look["state"] == state:
            return states
    raise AssertionError(states)


async def test_the_numbers_are_the_manager_s(redis_url: str) -> None:
    manager = RedisManager(redis_url)
    async with looked_at(manager) as site:
        for _ in range(5):
            await manager.redis.incr("n")
        stream = told(site.http)
        await anext(stream)
        _, (look,) = await anext(stream)
        await stream.aclose()

        assert look["commands"] == manager.stats().commands
        assert sum(look["latency"]) == manager.stats().latency.count
        assert len(look["latency"]) == len(manager.stats().latency.buckets)


async def test_no_secret_no_key_and_no_address_is_sent() -> None:
    async with RedisServer(password=SECRET) as server:
        manager = RedisManager(server.url)
        async with looked_at(manager) as site:
            await manager.redis.set("a-key-of-mine", "a-value-of-mine")
            await server.kill()
            async for _, data in told(site.http):
                sent = json.dumps(data)
                for word in (SECRET, "a-key-of-mine", "a-value-of-mine", str(server.port)):
                    assert word not in sent
                if isinstance(data[0], dict) and data[0].get("state") == "down":
                    break
            page = (await site.http.get("/redis")).text
            assert SECRET not in page


async def test_each_instance_is_shown_and_a_mounted_app_finds_them(redis_url: str) -> None:
    nowhere = RedisSettings(url="redis://127.0.0.1:1", startup={"policy": "degraded"})
    registry = RedisRegistry(cache=redis_url, queue=nowhere)
    app = FastAPI(lifespan=registry.lifespan)
    app.mount("/ops", inner := FastAPI())
    inner.include_router(console_router, prefix="/redis")
    async with serving(app) as site:
        assert 'href="redis/static/console.css"' in (await site.http.get("/ops/redis")).text
        stream = told(site.http, "/ops/redis/events")
        _, instances = await anext(stream)
        assert [each["name"] for each in instances] == ["cache", "queue"]
        _, looks = await anext(stream)
        await stream.aclose()
        assert {each["name"]: each["state"] for each in looks}["cache"] == "ready"


async def test_the_shards_of_a_cluster_are_shown_with_what_is_not_served() -> None:
    deployment = ClusterDeployment(replicas=0)
    async with (
        deployment,
        looked_at(RedisManager(deployment.url)) as site,
        aclosing(told(site.http)) as stream,
    ):
        await anext(stream)
        await deployment.primaries[0].kill()
        look = await look_where(stream, lost)
        assert lost(look) == ["0-5460"]
        assert len(look["shards"]) == 3
        # Who opens the page only now sees how the whole came there.
        async with aclosing(told(site.http)) as later:
            await anext(later)
            _, (opened,) = await anext(later)
        came = [each["state"] for each in opened["states"]]
        assert came[0] == "starting"
        assert came[-1] == opened["state"]
        assert opened["since"] == opened["states"][-1]["at"]
        assert "ready" in came[:-1]
        assert sorted(opened["states"], key=lambda each: each["at"]) == opened["states"]


def lost(look: Any) -> list[str]:
    return [each["slots"] for each in look["shards"] if not each["serving"]]


async def test_with_sentinel_the_primary_and_who_watches_are_shown() -> None:
    async with SentinelDeployment(replicas=1) as deployment:
        manager = RedisManager(deployment.url, log_addresses=True)
        async with looked_at(manager) as site, aclosing(told(site.http)) as stream:
            await anext(stream)
            look = await look_where(stream, lambda look: look["sentinels"] == 3)
            assert look["address"] == f"127.0.0.1:{(await deployment.primary()).port}"
            await deployment.sentinels[0].kill()
            await look_where(stream, lambda look: look["sentinels"] == 2)


async def look_where(stream: Any, fits: Callable[[Any], object]) -> Any:
    async for _, (look,) in stream:
        if fits(look):
            return look
    raise AssertionError("the stream ended")


async def test_who_may_look_is_the_app_s_to_say(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("CONSOLE_PASSWORD", SECRET)
    app = runpy.run_path(str(ROOT / "examples/watched.py"))["app"]
    async with serving(app) as site:
        for path in ("/redis", "/redis/static/console.js", "/redis/events"):
            assert (await site.http.get(path)).status_code == 401
            wrong = await site.http.get(path, auth=("me", "guess"))
            assert wrong.status_code == 401
        assert (await site.http.get("/redis", auth=("me", SECRET))).status_code == 200


async def test_without_a_lifespan_it_says_what_is_missing() -> None:
    app = FastAPI()
    app.include_router(console_router, prefix="/redis")
    async with serving(app) as site:
        assert (await site.http.get("/redis/events")).status_code == 500


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_who_looks_does_not_hold_up_the_end_of_the_process(
    redis_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "watched.py").write_text(
        "from fastapi import FastAPI\n"
        "from redis_manager_fastapi import RedisManager, console_router\n"
        "manager = RedisManager()\n"
        "app = FastAPI(lifespan=manager)\n"
        "app.include_router(console_router, prefix='/redis')\n"
    )
    env = environment(REDIS_URL=redis_url, PYTHONPATH=str(ROOT))
    async with (
        server_process("watched:app", directory=tmp_path, env=env) as process,
        httpx.AsyncClient(base_url=await process.url(), timeout=PATIENCE) as http,
    ):
        stream = told(http)
        await anext(stream)
        process.signal(number)
        async for _ in stream:
            pass
        await asyncio.wait_for(process.ended(), PATIENCE)
        assert "Traceback" not in process.log


async def test_what_a_handler_raises_is_told_by_its_class_alone(redis_url: str) -> None:
    manager = RedisManager(redis_url)

    @manager.consumer("orders", group="billing", max_deliveries=1)
    async def bill(entry: StreamEntry) -> None:
        raise LookupError(f"card {SECRET}")

    @manager.background
    async def loop() -> None:
        raise LookupError(f"card {SECRET}")

    async with looked_at(manager) as site, aclosing(told(site.http)) as stream:
        await anext(stream)
        await manager.redis.xadd("orders", {"card": SECRET})
        words: set[str] = set()
        async for _, (look,) in stream:
            assert SECRET not in json.dumps(look)
            words |= {each["words"] for each in look["news"]}
            if len(RAISED & words) == len(RAISED):
                break


RAISED = {
    "an entry of stream orders, group billing, was given up after 1 delivery: LookupError",
    "test_what_a_handler_raises_is_told_by_its_class_alone.<locals>.loop raised LookupError",
}


async def test_a_flood_of_other_events_pushes_out_no_state(redis_server: RedisServer) -> None:
    manager = RedisManager(redis_server.url, outage={"grace": 0.1})
    async with looked_at(manager) as site, aclosing(told(site.http)) as stream:
        await anext(stream)
        await redis_server.kill()
        await look_where(stream, lambda look: look["state"] == "down")
        for number in range(250):
            manager.history(dead_letter(number))
        async with aclosing(told(site.http)) as later:
            await anext(later)
            _, (look,) = await anext(later)

    assert [each["state"] for each in look["states"]] == ["starting", "ready", "suspect", "down"]
    assert look["news"][-1]["words"].endswith(": LookupError")
    assert look["news"][-1]["times"] == 250
    assert len(look["news"]) == 5


def dead_letter(number: int) -> EntryDeadLettered:
    reason = f"LookupError: {number}"
    return EntryDeadLettered("default", "orders", f"{number}-0", "billing", "unpaid", reason, 3)


async def test_a_stream_ends_by_itself_and_the_next_one_goes_on(redis_url: str) -> None:
    """A browser sends the last event's ID; one of another process begins from the start."""
    manager = RedisManager(redis_url)
    async with looked_at(manager) as site, flooded(manager):
        first = await whole(site.http, "")
        again = await whole(site.http, ids_in(first)[-1])
        other = await whole(site.http, f"0123abcd.7 {'9' * 5000}.1 x")
    before, after, anew = looks_in(first), looks_in(again), looks_in(other)

    assert sum(map(len, first)) < 2 * 65_536
    assert first[-2] == "retry: 200"
    assert {each[0][0]["mark"] for each in (before, after, anew)} == {manager.history.mark}
    assert [each["state"] for each in before[1][0]["states"]] == ["starting", "ready"]
    assert [each["state"] for each in anew[1][0]["states"]] == ["starting", "ready"]
    assert after[1][0]["states"] == []
    assert after[1][0]["news"][0]["first"] > before[-1][0]["news"][-1]["first"]


async def whole(http: httpx.AsyncClient, last: str) -> list[str]:
    """The lines of a stream of events until it ends."""
    headers = {"Last-Event-ID": last} if last else {}
    async with http.stream("GET", "/redis/events", headers=headers) as response:
        return [line async for line in response.aiter_lines()]


def ids_in(lines: list[str]) -> list[str]:
    return [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]


def looks_in(lines: list[str]) -> list[Any]:
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(each) for each in data]


@asynccontextmanager
async def flooded(manager: RedisManager) -> AsyncIterator[None]:
    """Have a hundred things happen to it at a time."""

    async def flood() -> None:
        for number in count():
            manager.history(SubscriptionsBroken("default", "the server is away", number))
            if not number % 100:
                await asyncio.sleep(0.01)

    flooding = asyncio.create_task(flood())
    try:
        yield
    finally:
        await end({flooding})


FLOODED = """
import asyncio
from fastapi import FastAPI
from redis_manager_fastapi import RedisManager, SubscriptionsBroken, console_router
manager = RedisManager()
app = FastAPI(lifespan=manager)
app.include_router(console_router, prefix="/redis")

@app.get("/flood")
async def flood():
    for turn in range(100):
        for number in range(200):
            manager.history(SubscriptionsBroken("default", "word " * 24, number))
        await asyncio.sleep(0.06)
"""


async def test_who_has_stopped_reading_does_not_hold_up_the_end_either(
    redis_url: str, tmp_path: Path
) -> None:
    """What it is sent finds room in the sockets' buffers, and no more is sent."""
    (tmp_path / "flooded.py").write_text(FLOODED)
    env = environment(REDIS_URL=redis_url, PYTHONPATH=str(ROOT))
    async with (
        server_process("flooded:app", directory=tmp_path, env=env) as process,
        httpx.AsyncClient(base_url=await process.url(), timeout=PATIENCE) as http,
    ):
        with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as deaf:
            deaf.sendall(b"GET /redis/events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await http.get("/flood")).status_code == 200
            process.signal(signal.SIGTERM)
            await asyncio.wait_for(process.ended(), PATIENCE)


def test_events_are_told_in_words() -> None:
    healed = StateChanged(
        *("default", "down", "ready", 2, "serving", 1.25), elsewhere=True, waited=3, lost=1
    )
    fallen = StateChanged("default", "suspect", "down", 1, "connection refused")
    assert in_words(healed) == "ready again after 1.25 s, on another server: 3 waited, 1 reply lost"
    assert in_words(fallen) == "down: connection refused"
    assert in_words(CHANGED) == "closed"


CHANGED = StateChanged("default", "draining", "closed", 1, "closed")
SAID = {
    GroupRemade("default", "orders", "billing", "0"): (
        "group billing of stream orders was lost, and is made again"
    ),
    WorkerFailed("default", "bill", ValueError(SECRET), "orders", "1-0"): (
        "bill raised ValueError, at an entry of stream orders"
    ),
    EntryDeadLettered(
        "default", "orders", "1-0", "billing", "unpaid", f"ValueError: {SECRET}", 3
    ): (
        "an entry of stream orders, group billing, was moved to unpaid"
        " after 3 deliveries: ValueError"
    ),
    EntryDeadLettered("default", "orders", "1-0", "billing", "", "left by its consumer", 1): (
        "an entry of stream orders, group billing, was given up after 1 delivery"
    ),
    StreamGap("default", "orders", "the stream was deleted", 12.7, 1): (
        "1 listener told of a gap in stream orders: the stream was deleted, over 12.70 s"
    ),
    SubscriptionsBroken("default", "the server is away", 2): (
        "2 channels are not heard: the server is away"
    ),
    SubscriptionsHealed("default", "the server is away", 1.5): (
        "all channels are heard again after 1.50 s"
    ),
    Resubscribed("default", 1, 0.5): "1 channel of redis-py's pub/sub heard again after 0.50 s",
    CacheChanged("default", serving=True): "the cache serves",
    CacheChanged("default", serving=False, reason="opening"): "the cache is off: opening",
}


@pytest.mark.parametrize(("event", "words"), SAID.items(), ids=lambda each: type(each).__name__)
def test_each_event_has_words_of_its_own(event: Event, words: str) -> None:
    assert in_words(event) == words
