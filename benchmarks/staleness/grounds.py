"""The deployments that are broken: one server, one that Sentinels watch, and a Cluster.

Clients reach each of their servers over a proxy; the servers reach one another without.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from benchmarks.staleness.writing import FAILURES, ClusterWriter, SentinelWriter, Writer
from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment, primaries_by
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from redis_manager_fastapi.testing.server import in_step
from tests.kit.clusters import keys_in
from tests.kit.grounds import leading
from tests.kit.lanes import LinkProxy

WHOLE = 120.0  # seconds within which everything is as it was
_TICK = 0.05


class Ground(ABC):
    """A deployment behind proxies.

    Attributes:
        name: Its kind.
        writers: One for each key that is read.
        manager: What is measured.
    """

    name: str
    writers: Sequence[Writer]
    manager: RedisManager

    def __init__(self) -> None:
        self._proxies: dict[int, LinkProxy] = {}

    @property
    def cached(self) -> Any:
        """The client whose reads are checked."""
        return self.manager.redis.with_options(cache=3600.0, grace=0.2)

    def proxy(self, server: RedisServer) -> LinkProxy:
        """Return the proxy in front of a server."""
        return self._proxies[server.port]

    async def whole(self) -> None:
        """Wait until everything runs again and has its data.

        Servers drop who asks while they are told whom to follow.
        """
        async with asyncio.timeout(WHOLE):
            for server in self.servers:
                if not server.running:
                    await server.start()
                server.resume()
            while True:
                with suppress(*FAILURES):
                    await self._mended()
                    return
                await asyncio.sleep(_TICK)

    @property
    @abstractmethod
    def servers(self) -> list[RedisServer]:
        """Those that have the data."""

    @abstractmethod
    async def _mended(self) -> None:
        """Wait until each server has the data that it has to have."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager["Ground"]:
        """Start it, and a manager."""

    @asynccontextmanager
    async def _behind_proxies(self, servers: list[RedisServer]) -> AsyncIterator[dict[int, int]]:
        """Start the proxies; give the port of each by that of its server."""
        async with AsyncExitStack() as stack:
            for server in servers:
                proxy = LinkProxy(server.host, server.port)
                self._proxies[server.port] = await stack.enter_async_context(proxy)
            yield {port: proxy.port for port, proxy in self._proxies.items()}


class Alone(Ground):
    """One server that keeps nothing over a restart."""

    name = "one server"

    @property
    def servers(self) -> list[RedisServer]:
        """It alone."""
        return [each.server for each in self.writers]

    async def _mended(self) -> None:
        """Wait for nothing more."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Alone"]:
        """Start it, and a manager."""
        async with RedisServer() as server, self._behind_proxies([server]) as ports:
            self.writers = [Writer("counter", server)]
            async with RedisManager(url=f"redis://127.0.0.1:{ports[server.port]}") as self.manager:
                yield self


class Watched(Ground):
    """A primary, two replicas and three Sentinels.

    Attributes:
        deployment: Them.
    """

    name = "Sentinel"
    deployment: SentinelDeployment

    @property
    def servers(self) -> list[RedisServer]:
        """The primary and the replicas."""
        return self.deployment.servers

    async def _mended(self) -> None:
        """Wait until two servers follow the one that is named, also who was left, or is new."""
        while not await self._is_whole():  # noqa: ASYNC110 (another process does)
            await asyncio.sleep(_TICK)
        await self.deployment.ready()

    async def _is_whole(self) -> bool:
        primary = self.writers[0].server
        for server in self.deployment.servers:
            info = await server.command("INFO", "replication")
            follows = info["role"] == "slave" and info["master_port"] == primary.port
            if server is not primary and not (follows and await in_step(server)):
                return False
        return True

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Watched"]:
        """Start it, and a manager."""
        async with (
            SentinelDeployment() as self.deployment,
            self._behind_proxies(self.deployment.servers) as ports,
        ):
            self.writers = [SentinelWriter("counter", self.deployment)]
            url, reached = self.deployment.url, leading(ports)
            async with RedisManager(url=url, address_map=reached) as self.manager:
                yield self


class Sharded(Ground):
    """Three primaries, each with a replica, a key of each, and one whose slot is moved.

    Attributes:
        deployment: Them.
    """

    name = "Cluster"
    deployment: ClusterDeployment

    @property
    def moving(self) -> Writer:
        """Who writes the key whose slot is moved."""
        return self.writers[-1]

    def replica_of(self, primary: RedisServer) -> RedisServer:
        """Return the other server of a shard."""
        pairs = zip(self.deployment.primaries, self.deployment.replicas, strict=True)
        return next(b if a is primary else a for a, b in pairs if primary in (a, b))

    async def elsewhere(self, writer: Writer) -> RedisServer:
        """Return a primary that does not serve the writer's key."""
        ports = await primaries_by(writer.server) - {writer.server.port}
        port = random.choice(sorted(ports))  # noqa: S311 (a load)
        return next(each for each in self.deployment.nodes if each.port == port)

    @property
    def servers(self) -> list[RedisServer]:
        """All nodes."""
        return self.deployment.nodes

    async def _mended(self) -> None:
        """Wait until all nodes agree, and replicas have what their primaries have."""
        await self.deployment.agreed()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Sharded"]:
        """Start it, and a manager."""
        async with (
            ClusterDeployment() as self.deployment,
            self._behind_proxies(self.deployment.nodes) as ports,
        ):
            primaries, nodes = self.deployment.primaries, self.deployment.nodes
            slots = [self.deployment.slots_of(index) for index in range(len(primaries))]
            keys = [
                (keys_in(each, 1)[0], node) for each, node in zip(slots, primaries, strict=True)
            ]
            keys.append((keys_in(slots[0][:1], 1)[0], primaries[0]))
            self.writers = [ClusterWriter(key, node, nodes) for key, node in keys]
            url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports.values())
            async with RedisManager(url=url, address_map=leading(ports)) as self.manager:
                yield self
