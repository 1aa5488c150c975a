"""Each example runs as it stands, and each Python snippet of the documentation is one of them."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from redis_manager_fastapi.testing import RedisServer
from tests.kit.servers import DURABLE, needs
from tests.kit.serving import PATIENCE, Site, environment, server_process
from tests.kit.sse import EventSource
from tests.kit.waiting import eventually, until

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
DEMO = (sys.executable, "-m", "redis_manager_fastapi.demo")
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@asynccontextmanager
async def running(name: str, **variables: str) -> AsyncIterator[Site]:
    """Serve the example of that name in a process of its own."""
    env = environment(**variables)
    async with server_process(f"{name}:app", directory=EXAMPLES, env=env) as process:
        url = await process.url()
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
            yield Site(url, http)


def test_each_is_listed_with_what_it_shows() -> None:
    listed = re.findall(r"^\| \[(\S+)\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(["libraries/", *(path.name for path in EXAMPLES.glob("*.py"))])


@pytest.mark.parametrize("name", ["minimal", "plain_starlette"])
async def test_minimal_apps_count(name: str, redis_url: str) -> None:
    async with running(name, REDIS_URL=redis_url) as site:
        counts = [(await site.http.post("/hits/home")).json() for _ in range(2)]
        ready = await site.http.get("/readyz")

    assert counts == [{"hits": 1}, {"hits": 2}]
    assert ready.status_code == 200


async def test_traced_app_prints_a_span_for_each_command(redis_url: str) -> None:
    env = environment(REDIS_URL=redis_url)
    async with server_process("traced:app", directory=EXAMPLES, env=env) as process:
        async with httpx.AsyncClient(base_url=await process.url(), timeout=PATIENCE) as http:
            answer = await http.get("/hits/home")
        await until(lambda: '"db.operation.name": "INCRBY"' in process.log)

    assert answer.json() == {"hits": 1}


async def test_news_are_heard_through_a_restart(redis_server: RedisServer) -> None:
    async with (
        running("news", REDIS_URL=redis_server.url, REDIS_OUTAGE__GRACE="10") as site,
        site.websocket("/news") as socket,
    ):
        await eventually(lambda: _heard(site))
        first = json.loads(await socket.recv())
        await redis_server.restart()
        gap = json.loads(await socket.recv())
        published = await site.http.post("/news", params={"text": "again"})
        second = json.loads(await socket.recv())
        ready = await site.http.get("/readyz")

    assert (first, second) == ({"text": "now"}, {"text": "again"})
    assert gap.keys() == {"missed", "seconds"}
    assert published.json() == {"heard_by": 1}
    assert ready.status_code == 200


async def test_a_plain_pubsub_goes_on_after_a_restart(redis_server: RedisServer) -> None:
    async with running(
        "plain_pubsub", REDIS_URL=redis_server.url, REDIS_OUTAGE__GRACE="10"
    ) as site:

        async def published(text: str) -> bool:
            return bool((await site.http.post(f"/news/{text}")).json() == 1)

        await eventually(lambda: published("first"))
        await redis_server.restart()
        await eventually(lambda: published("second"))

        async def both() -> bool:
            return bool((await site.http.get("/heard")).json() == ["first", "second"])

        await eventually(both)


async def _heard(site: Site) -> bool:
    """Whether somebody hears what is published."""
    published = await site.http.post("/news", params={"text": "now"})
    return bool(published.json()["heard_by"])


async def test_a_chat_goes_on_after_a_restart(redis_server: RedisServer) -> None:
    async with (
        running("chat", REDIS_URL=redis_server.url, REDIS_OUTAGE__GRACE="10") as site,
        site.websocket("/rooms/tea") as ann,
        site.websocket("/rooms/tea") as bob,
    ):
        for socket in (ann, bob):  # what is sent back says that the socket listens
            await socket.send("hello")
            await _received(socket, "hello")
        await redis_server.restart()
        await ann.send("bye")
        heard = [await _received(socket, "bye") for socket in (ann, bob)]

    for texts in heard:
        assert texts[-2:] == ["(some may be missing)", "bye"]


async def test_a_chat_stays_through_an_outage_longer_than_grace(redis_server: RedisServer) -> None:
    """What is said meanwhile is not sent, and its author is told."""
    variables = {"REDIS_URL": redis_server.url, "REDIS_OUTAGE__GRACE": "0.1"}
    async with running("chat", **variables) as site, site.websocket("/rooms/tea") as socket:
        await socket.send("hello")
        await _received(socket, "hello")
        await redis_server.kill()
        await socket.send("anybody?")
        await _received(socket, "(not sent, or not for certain)")
        await redis_server.start()
        await site.until("/docs", 200)
        await _received(socket, "(some may be missing)")
        await socket.send("bye")

        assert await _received(socket, "bye") == ["bye"]


async def _received(socket: Any, last: str) -> list[str]:
    """What comes, up to the text *last*."""
    texts = [str(await socket.recv())]
    while texts[-1] != last:
        texts.append(str(await socket.recv()))
    return texts


async def test_websocket(redis_url: str) -> None:
    async with (
        running("websocket", REDIS_URL=redis_url) as site,
        site.websocket("/votes/lunch") as socket,
    ):
        await socket.send("soup")
        first = await socket.recv()
        await socket.send("bread")
        second = await socket.recv()

    assert (first, second) == ('{"soup":"1"}', '{"soup":"1","bread":"1"}')


async def test_two_deployments(redis_url: str, redis_server: RedisServer) -> None:
    """The cache is filled, read, and done without."""
    async with RedisServer() as cache:
        variables = {"REDIS_CACHE_URL": cache.url, "REDIS_CACHE_CRITICAL": "false"}
        async with running("two_deployments", REDIS_URL=redis_url, **variables) as site:
            added = await site.http.post("/jobs/mail")
            ready = await site.http.get("/readyz")

            async def filled() -> bool:
                assert (await site.http.get("/articles/1")).json() == "article 1"
                return bool(await cache.command("EXISTS", "article:1"))

            await eventually(filled)
            await cache.command("SET", "article:1", "kept")
            kept = await site.http.get("/articles/1")
            await cache.kill()
            without = [await site.http.get("/articles/1") for _ in range(3)]
            ready_without = await site.http.get("/readyz")

    assert added.json() == {"waiting": 1}
    assert ready.json()["redis"].keys() == {"default", "cache"}
    assert kept.json() == "kept"
    assert [each.json() for each in without] == ["article 1"] * 3
    assert ready_without.status_code == 200
    assert await redis_server.command("LLEN", "jobs") == 1


async def test_own_lifespan(redis_server: RedisServer) -> None:
    """Its loop goes on after an outage that is longer than grace."""
    variables = {"REDIS_URL": redis_server.url, "REDIS_OUTAGE__GRACE": "0.1"}
    async with running("own_lifespan", **variables) as site:

        async def counts() -> bool:
            return int((await site.http.get("/seconds")).text or 0) > 0

        await eventually(counts, PATIENCE)
        await redis_server.kill()
        await site.until("/seconds", 503)
        await asyncio.sleep(1.5)  # its next turn meets the outage
        await redis_server.start()
        await site.until("/seconds", 200)
        await redis_server.command("DEL", "seconds")
        await eventually(counts, PATIENCE)
        started = await site.http.get("/started")

    assert started.json() == 1


async def test_stream_worker() -> None:
    """Its worker misses nothing while Redis is killed and restarted."""
    durable: dict[str, str | int] = {**DURABLE, "appendfsync": "always"}
    async with (
        RedisServer(durable) as server,
        running("stream_worker", REDIS_URL=server.url) as site,
    ):
        for number in range(10):
            await site.http.post(f"/orders/{number}")
        await server.restart(0.5, crash=True)
        for number in range(10, 20):
            await site.http.post(f"/orders/{number}")

        async def is_done() -> bool:
            return bool((await site.http.get("/done")).json() == {"billed": 20, "shipped": 20})

        await eventually(is_done, PATIENCE)


async def test_dedicated(redis_url: str, redis_server: RedisServer) -> None:
    async with running("dedicated", REDIS_URL=redis_url) as site:
        waiting = asyncio.create_task(site.http.get("/next/queue"))
        await redis_server.command("RPUSH", "queue", "element")
        await redis_server.command("SET", "source", "12")
        element = (await waiting).json()
        moved = (await site.http.post("/transfer/source/target")).json()
        one, other = (await site.http.get("/whoami")).json()
        raw = (await site.http.put("/raw/key")).json()
        target = await redis_server.command("GET", "target")

    assert element == ["queue", "element"]
    assert (moved, target) == (True, "12")
    assert one == other
    assert raw == 2


async def test_outage(redis_url: str, redis_server: RedisServer) -> None:
    async with running("outage", REDIS_URL=redis_url, REDIS_OUTAGE__GRACE="0") as site:
        await redis_server.command("SET", "name", "Ada")
        greeted = await site.http.get("/greeting")
        paid = [(await site.http.post("/payments/7")).json()["again"] for _ in range(2)]
        documented = (await site.http.get("/openapi.json")).json()["paths"]["/greeting"]["get"]
        await redis_server.kill()
        await site.until("/readyz", 503)
        greeted_anyway = await site.http.get("/greeting")
        unpaid = await site.http.post("/payments/8")

    assert greeted.json() == "Hello Ada"
    assert paid == [False, True]
    assert documented["responses"].keys() >= {"503", "504"}
    assert (greeted_anyway.status_code, greeted_anyway.json()) == (200, "Hello there")
    assert unpaid.status_code == 503


async def test_outage_says_what_it_does_not_know(redis_server: RedisServer) -> None:
    """Whichever limit ends the wait for a reply that was lost, the write may have happened."""
    variables = {"REDIS_URL": redis_server.url, "REDIS_TIMEOUT__COMMAND": "0.2"}
    async with running("outage", **variables) as site:
        await site.http.post("/payments/7")
        redis_server.pause()
        unknown = await site.http.post("/payments/8")
        await site.until("/readyz", 503)
        unpaid = await site.http.post("/payments/9")
        redis_server.resume()

    assert (unknown.status_code, unknown.json()["detail"]) == (
        409,
        "it is not known whether this was paid",
    )
    assert unpaid.status_code in {503, 504}


@pytest.mark.parametrize(
    ("name", "tests"),
    [("testing_your_app", 2), ("testing_an_imported_app", 1), ("testing_asynchronously", 1)],
)
def test_testing_your_app(name: str, tests: int) -> None:
    command = (sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(EXAMPLES))
    flags = ("-p", "no:cacheprovider")
    ended = subprocess.run(
        (*command, *flags, str(EXAMPLES / f"{name}.py")),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert f"{tests} passed" in ended.stdout, ended.stdout + ended.stderr


async def demo_until(text: str, output: asyncio.StreamReader) -> str:
    """Read what the demo says until *text* was said."""
    said = ""
    while text not in said:
        line = await output.readline()
        assert line, said
        said += line.decode()
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_demo_serves_breaks_recovers_and_ends(number: signal.Signals) -> None:
    """The commands that the demo prints do what it says, and nothing stays when it ends."""
    async with asyncio.timeout(PATIENCE):
        demo = await asyncio.create_subprocess_exec(
            *DEMO, env=environment(), stdout=PIPE, stderr=STDOUT
        )
        assert demo.stdout is not None
        said = await demo_until("Ctrl-C", demo.stdout)
        url = said.split("open   ")[1].split("/\n")[0]
        redis = int(said.split("kill -9 ")[1].split()[0])
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
            site = Site(url, http)
            assert (await http.post("/hits/a")).json() == {"hits": 1}
            os.kill(redis, signal.SIGKILL)
            await site.until("/readyz", 503)
            demo.send_signal(signal.SIGUSR1)
            said = await demo_until("runs again, pid", demo.stdout)
            await site.until("/readyz", 200)
            assert (await http.post("/hits/a")).json() == {"hits": 2}
        demo.send_signal(number)
        await demo.stdout.read()

        assert await demo.wait() == 0
        again = int(said.split("runs again, pid ")[1].split()[0])
        with pytest.raises(ProcessLookupError):
            os.kill(again, 0)


async def test_demo_uses_the_server_of_redis_url(redis_url: str, redis_server: RedisServer) -> None:
    """With --redis-url it starts no server; the URL, which may hold a password, is not shown.

    What the shell says of Redis is not used.
    """
    demo = await asyncio.create_subprocess_exec(
        *DEMO,
        "--redis-url",
        redis_url,
        env=environment(REDIS_URL="redis://127.0.0.1:1", REDIS_NAME="x", REDIS_CACHE_URL="y"),
        stdout=PIPE,
        stderr=STDOUT,
    )
    assert demo.stdout is not None
    async with asyncio.timeout(PATIENCE):
        said = await demo_until("Ctrl-C", demo.stdout)
        async with httpx.AsyncClient(
            base_url=said.split("open   ")[1].split("/redis\n")[0]
        ) as http:
            await http.post("/hits/a")
        demo.terminate()
        await demo.stdout.read()

        assert await demo.wait() == 0
    assert redis_url not in said
    assert await redis_server.command("GET", "hits:a") == "1"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_snippets_are_parts_of_examples(document: Path) -> None:
    examples = [path.read_text() for path in EXAMPLES.rglob("*.py")]
    snippets = FENCE.findall(document.read_text())

    strangers = [each for each in snippets if not any(each in example for example in examples)]
    assert strangers == []


def test_every_example_is_served_by_a_test() -> None:
    here = Path(__file__)
    others = ("web/test_deploy.py", "console/test_console.py")
    tests = (here, *(here.parent / each for each in others))
    tested = "".join(path.read_text() for path in tests)

    untested = [path.stem for path in EXAMPLES.glob("*.py") if path.stem not in tested]
    assert untested == []


async def test_metrics_are_served_to_prometheus(redis_url: str) -> None:
    async with running("metrics", REDIS_URL=redis_url) as site:
        await site.http.post("/hits/a")
        page = await site.http.get("/metrics")

    assert 'redis_client_up{node="",redis="default"} 1.0' in page.text
    assert "redis_client_commands_total" in page.text


async def test_metrics_are_pushed_by_opentelemetry(redis_url: str) -> None:
    env = environment(REDIS_URL=redis_url, OTEL_METRIC_EXPORT_INTERVAL="200")
    async with (
        server_process("metrics_otel:app", directory=EXAMPLES, env=env) as process,
        httpx.AsyncClient(base_url=await process.url(), timeout=PATIENCE) as http,
    ):
        await http.post("/hits/a")
        await until(lambda: '"db.client.operation.duration"' in process.log, PATIENCE)


async def test_on_event(redis_server: RedisServer) -> None:
    async with running("on_event", REDIS_URL=redis_server.url) as site:
        await redis_server.restart()

        async def both() -> bool:
            return len((await site.http.get("/outages")).json()) == 2

        await eventually(both, PATIENCE)
        start, outage = (await site.http.get("/outages")).json()

    assert start < 5
    assert outage > 0


async def test_after_response(redis_url: str, redis_server: RedisServer) -> None:
    async with running("after_response", REDIS_URL=redis_url) as site:
        placed = [(await site.http.post("/orders/7")).json() for _ in range(2)]

        async def mailed() -> bool:
            return bool(await redis_server.command("XLEN", "mails") == 1)

        await eventually(mailed, PATIENCE)

    assert placed == [{"placed": 1}, {"placed": 2}]


async def test_events(redis_url: str) -> None:
    async with running("events", REDIS_URL=redis_url) as site:
        source = EventSource("/rooms/kitchen")
        following = asyncio.create_task(source.follow(site.http, "goodbye"))
        while not source.data:  # the response begins before the tail is entered
            await site.http.post("/rooms/kitchen", params={"text": "hello"})
        await site.http.post("/rooms/kitchen", params={"text": "goodbye"})
        await asyncio.wait_for(following, PATIENCE)

    assert set(source.data) == {"hello", "goodbye"}


async def test_cache_aside(redis_server: RedisServer) -> None:
    """The source answers without a cache; of two who make a report at once, one does."""
    async with running("cache_aside", REDIS_URL=redis_server.url) as site:
        first = await site.http.get("/articles/1")
        await redis_server.command("SET", "article:1", "kept")
        kept = await site.http.get("/articles/1")
        crowd = await asyncio.gather(*(site.http.get("/popular/2") for _ in range(20)))
        both = [site.http.post("/reports/monday") for _ in range(2)]
        statuses = {answer.status_code for answer in await asyncio.gather(*both)}
        again = await site.http.post("/reports/monday")
        await redis_server.kill()
        without = await site.http.get("/articles/1")

    assert {each.json() for each in crowd} == {"article 2"}
    assert (first.json(), kept.json(), without.json()) == ("article 1", "kept", "article 1")
    assert statuses == {200, 409}
    assert again.json() == {"articles": 10}


async def test_rate_limit(redis_server: RedisServer) -> None:
    async with running("rate_limit", REDIS_URL=redis_server.url) as site:
        key = {"api-key": "mine"}
        statuses = [(await site.http.get("/quotes", headers=key)).status_code for _ in range(25)]
        other = await site.http.get("/quotes", headers={"api-key": "other"})
        await redis_server.kill()
        uncounted = await site.http.get("/quotes", headers=key)

    # A new window may begin meanwhile, at most once.
    assert statuses[:10] == [200] * 10
    assert 429 in statuses
    assert other.status_code == uncounted.status_code == 200


async def test_jobs() -> None:
    """In an outage longer than grace no job is lost, and the browser hears of each."""
    durable: dict[str, str | int] = {**DURABLE, "appendfsync": "always"}
    async with (
        RedisServer(durable) as server,
        running("jobs", REDIS_URL=server.url, REDIS_OUTAGE__GRACE="0.1") as site,
    ):
        source = EventSource("/done")
        following = asyncio.create_task(source.follow(site.http, "never"))
        while not source.data:  # the response begins before the tail is entered
            await site.http.post("/jobs/hello")
        names = {f"job{number}" for number in range(20)}
        for name in names:
            await site.http.post(f"/jobs/{name}")
        await server.restart(1.0, crash=True)

        async def taken() -> bool:
            return (await site.http.post("/jobs/last")).status_code == 200

        await eventually(taken, PATIENCE)
        await until(lambda: {*names, "last"} <= set(source.data), PATIENCE)
        following.cancel()
        results = await server.command("HVALS", "results")

    assert set(results) == {"HELLO", "LAST", *(name.upper() for name in names)}


@pytest.mark.usefixtures("pipelining")
@needs("CLIENT TRACKING with RESP3", redis="7.0")
async def test_cached(redis_url: str, redis_server: RedisServer) -> None:
    """The responses of an outage say how old their values are, and only these."""
    async with running("cached", REDIS_URL=redis_url) as site:
        await site.http.put("/prices/tea", params={"price": "3"})
        await redis_server.command("HSET", "cart:ada", "tea", "1")

        async def cached() -> bool:
            await site.http.get("/prices/tea")
            await site.http.get("/carts/ada")
            stats = await redis_server.command("INFO", "stats")
            return bool(stats["tracking_total_keys"] == 2)

        await eventually(cached, PATIENCE)
        fresh = [await site.http.get(path) for path in ("/prices/tea", "/carts/ada")]
        await redis_server.kill()
        await asyncio.sleep(0.6)
        price, cart = [await site.http.get(path) for path in ("/prices/tea", "/carts/ada")]
        unknown = await site.http.get("/prices/coffee")

    assert all("cache-status" not in each.headers for each in fresh)
    assert [each.json() for each in fresh] == [
        {"price": "3"},
        {"items": {"tea": "1"}, "seconds_old": 0.0},
    ]
    assert price.json() == {"price": "3"}
    assert re.fullmatch(r'"redis"; hit; ttl=-[1-9]', price.headers["cache-status"])
    assert cart.json()["items"] == {"tea": "1"}
    assert cart.json()["seconds_old"] >= 0.5
    assert cart.headers["cache-status"] == price.headers["cache-status"]
    assert unknown.status_code == 503
