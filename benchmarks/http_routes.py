"""Requests per second through FastAPI under one uvicorn worker, and connections to Redis.

Each client's app runs in a process of its own; in each round, wrk asks every
app for its route without Redis, with one GET and with ten, one after another.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median

from benchmarks.plan import Plan, rotated
from benchmarks.processes import LeftOutError, served
from benchmarks.wrk import Load, load, require_wrk
from redis_manager_fastapi.testing.server import RedisServer

CLIENTS = {
    "ours": "redis_manager_fastapi",
    "redis_py": "redis-py",
    "sdk": "fastapi-redis-sdk",
    "bare": "bare protocol, hiredis",
}
ROUTES = ("none", "one", "ten")
CONNECTIONS = 16
CROWD = 500


@dataclass(slots=True)
class HTTPResults:
    """The samples of all apps.

    Attributes:
        loads: By client and route, one for each round.
        redis_connections: Most connections to Redis at once, under `CROWD` requests.
        crowd: What wrk counted then.
        left_out: What could not take part, and why.
    """

    loads: dict[tuple[str, str], list[Load]] = field(default_factory=dict)
    redis_connections: dict[str, int] = field(default_factory=dict)
    crowd: dict[str, Load] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def clients(self) -> list[str]:
        """The clients that took part."""
        return [client for client in CLIENTS if (client, "none") in self.loads]

    def rate(self, client: str, route: str) -> float:
        """Return the median of good answers per second."""
        return median(each.rate for each in self.loads[client, route])

    def share(self, client: str, route: str) -> float:
        """Return the median ratio to the same app's route without Redis in the same round."""
        pairs = zip(self.loads[client, route], self.loads[client, "none"], strict=True)
        return median(with_redis.rate / without.rate for with_redis, without in pairs)

    def failed(self, client: str, route: str) -> int:
        """Return how many requests failed, of all rounds."""
        return sum(each.failed for each in self.loads[client, route])

    def requests(self, client: str, route: str) -> int:
        """Return how many requests were answered, in all rounds."""
        return sum(each.requests for each in self.loads[client, route])


async def measure_http(plan: Plan, server: RedisServer) -> HTTPResults:
    """Measure every app."""
    results = HTTPResults()
    try:
        require_wrk()
    except LeftOutError as error:
        results.left_out["end to end"] = str(error)
        return results
    await _measure_rates(plan, server, results)
    for client in results.clients:
        plan.progress(f"connections of {CLIENTS[client]}")
        await _count_connections(client, plan, server, results)
    return results


async def _measure_rates(plan: Plan, server: RedisServer, results: HTTPResults) -> None:
    async with AsyncExitStack() as stack:
        ports: dict[str, int] = {}
        for client in CLIENTS:
            try:
                ports[client] = await stack.enter_async_context(served(client, server.url))
            except LeftOutError as error:
                results.left_out[client] = str(error)
        for port in ports.values():
            for route in ROUTES:
                await load(f"http://127.0.0.1:{port}/{route}", CONNECTIONS, 1)
        for number in range(plan.rounds):
            for client in rotated(list(ports), number):
                for route in ROUTES:
                    plan.progress(f"/{route}, {CLIENTS[client]}")
                    url = f"http://127.0.0.1:{ports[client]}/{route}"
                    counted = await load(url, CONNECTIONS, plan.http_seconds)
                    results.loads.setdefault((client, route), []).append(counted)


async def _count_connections(
    client: str, plan: Plan, server: RedisServer, results: HTTPResults
) -> None:
    """Count what only this app has open, once it serves a crowd."""
    async with server.client() as observer:
        before = int((await observer.info("clients"))["connected_clients"])
        most = 0
        async with served(client, server.url) as port:
            url = f"http://127.0.0.1:{port}/ten"
            running = asyncio.create_task(load(url, CROWD, plan.http_seconds))
            while not running.done():
                connected = int((await observer.info("clients"))["connected_clients"])
                most = max(most, connected - before)
                await asyncio.sleep(0.02)
            results.crowd[client] = await running
    results.redis_connections[client] = most


def steps(plan: Plan) -> int:
    """How many measurements the apps take."""
    return plan.rounds * len(CLIENTS) * len(ROUTES) + len(CLIENTS)
