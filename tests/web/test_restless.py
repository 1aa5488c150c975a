"""Workers that ask again at once, for ever, through outages and the end of the app (row 57)."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.restless import WORK
from tests.kit.serving import PATIENCE, ROOT, ServerProcess, environment, server_process
from tests.kit.waiting import eventually

DRAIN = 1.0
SLACK = 2.5  # uvicorn looks every 0.1 s; the app's last half second; the interpreter's own end
LONGEST = 0.05
ALL = {work.__name__ for work in WORK}
LASTING = {"listen"}  # done when somebody publishes, and else for ever at it
TAKEN = {"tail", "consume", "blpop"}  # done when there is something to take

pytestmark = [pytest.mark.measures, pytest.mark.timeout(90)]


@asynccontextmanager
async def restless(
    url: str, *arguments: str, **variables: str
) -> AsyncIterator[tuple[ServerProcess, httpx.AsyncClient]]:
    env = environment(REDIS_URL=url, REDIS_SHUTDOWN__DRAIN=str(DRAIN), **variables)
    app = "tests.kit.restless:app"
    async with (
        server_process(app, *arguments, directory=ROOT, env=env) as server,
        httpx.AsyncClient(base_url=await server.url(), timeout=PATIENCE) as http,
    ):
        yield server, http


async def answers(http: httpx.AsyncClient, path: str, status: int) -> bool:
    return (await http.get(path)).status_code == status


class Seen:
    """What the workers have said so far, since they were forgotten."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.done: set[str] = set()
        self.refused: set[str] = set()

    async def forget(self) -> None:
        """Begin anew."""
        await self._http.get("/worked")
        self.done, self.refused = set(), set()

    async def look(self) -> "Seen":
        """Ask them; the app is alive meanwhile."""
        assert (await self._http.get("/livez")).status_code == 200
        told = (await self._http.get("/worked")).json()
        self.done |= set(told["done"])
        self.refused |= set(told["refused"])
        assert told["stall"] < LONGEST
        return self

    async def all_done(self, but: set[str]) -> bool:
        """Whether each was done at least once."""
        return (await self.look()).done >= ALL - but

    async def all_refused(self, but: set[str]) -> bool:
        """Whether each was refused at least once."""
        return (await self.look()).refused >= ALL - but


async def sigterm(server: ServerProcess, *, times: int = 1) -> None:
    """The process ends, and its loop was never held up for long, also at the very end."""
    began = time.monotonic()
    for _ in range(times):
        server.signal(signal.SIGTERM)
    code = await server.ended()
    took = time.monotonic() - began

    assert code == -signal.SIGTERM
    assert took < DRAIN + SLACK
    assert "served" in server.log
    found = re.search(r"longest stall: ([\d.]+)", server.log)
    assert found
    assert float(found[1]) < LONGEST


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_kill_and_a_restart(redis_url: str, redis_server: RedisServer, loop: str) -> None:
    """Before Redis is there, while it is away, and at the end, when nobody cancels them (row 3)."""
    async with restless(redis_url, "--loop", loop) as (server, http):
        seen = Seen(http)
        await eventually(lambda: seen.all_done(LASTING | TAKEN), PATIENCE)
        await redis_server.kill()
        await eventually(lambda: answers(http, "/readyz", 503), PATIENCE)
        await seen.forget()
        # What listens rides through an outage, and is refused only when it begins in one.
        await eventually(lambda: seen.all_refused(LASTING | TAKEN), PATIENCE)
        await redis_server.start()
        await eventually(lambda: answers(http, "/readyz", 200), PATIENCE)
        await seen.forget()
        await redis_server.command("XADD", "{key}stream", "*", "field", "value")
        await eventually(lambda: seen.all_done(LASTING | {"blpop"}), PATIENCE)
        await sigterm(server)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_full_queue(redis_url: str, redis_server: RedisServer, loop: str) -> None:
    """Dedicated connections are exhausted, and so is the queue for them (row 26)."""
    few = {"REDIS_POOL__MAX_CONNECTIONS": "2", "REDIS_POOL__MAX_WAITING": "3"}
    async with restless(redis_url, "--loop", loop, CROWD="50", **few) as (server, http):
        seen = Seen(http)
        for _ in range(20):
            await seen.look()
            await asyncio.sleep(0.05)
        assert seen.refused == {"blpop"}
        assert await answers(http, "/readyz", 200)
        await redis_server.command("RPUSH", "key", *range(20))
        await eventually(lambda: is_done(seen, "blpop"), PATIENCE)
        await sigterm(server)


async def is_done(seen: Seen, work: str) -> bool:
    return work in (await seen.look()).done


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_sigterm_twice_while_redis_hangs(
    redis_url: str, redis_server: RedisServer, loop: str
) -> None:
    """Nobody who waits holds up the end (row 31)."""
    async with restless(redis_url, "--loop", loop) as (server, http):
        seen = Seen(http)
        await eventually(lambda: seen.all_done(LASTING | TAKEN), PATIENCE)
        redis_server.pause()
        await asyncio.sleep(0.2)
        await seen.look()
        await sigterm(server, times=2)
        redis_server.resume()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_primary_of_a_cluster_is_killed(loop: str) -> None:
    """Its replica takes over; the other shards are untouched meanwhile (row 37)."""
    async with (
        ClusterDeployment() as deployment,
        restless(deployment.url, "--loop", loop) as (server, http),
    ):
        seen = Seen(http)
        await eventually(lambda: seen.all_done(LASTING | TAKEN), PATIENCE)
        await deployment.replicated()
        await seen.forget()
        await deployment.primaries[2].kill()  # it has the slot of "key"
        await eventually(lambda: was_refused(seen, {"get", "watch", "pipeline"}), PATIENCE)
        assert "elsewhere" not in seen.refused
        await deployment.promoted(deployment.replica_of(2))
        await eventually(lambda: answers(http, "/readyz", 200), PATIENCE)
        await seen.forget()
        await eventually(lambda: seen.all_done(LASTING | TAKEN), PATIENCE)
        await sigterm(server)


async def was_refused(seen: Seen, some: set[str]) -> bool:
    return (await seen.look()).refused >= some


async def test_a_shutdown_without_any_outage(redis_url: str) -> None:
    async with restless(redis_url) as (server, http):
        seen = Seen(http)
        await eventually(lambda: seen.all_done(LASTING | TAKEN), PATIENCE)
        await sigterm(server)


async def test_a_shutdown_of_a_cluster_without_any_outage() -> None:
    async with (
        ClusterDeployment(shards=3, replicas=0) as deployment,
        restless(deployment.url) as (server, http),
    ):
        seen = Seen(http)
        await eventually(lambda: seen.all_done(LASTING | TAKEN), PATIENCE)
        await sigterm(server)
