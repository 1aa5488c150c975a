"""Deployments that faults are made on, one after the other, whatever their topology."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.clusters import keys_in

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ground:
    """A deployment that tests leave as they found it.

    Attributes:
        kind: `sentinel` or `cluster`.
        seeds: The servers that its URL names.
        servers: The servers that have the data.
        server: The primary of `key`.
        key: Belongs to that server.
        spared: A key of each other shard.
        path: The end of its URL.
    """

    kind: str
    seeds: list[RedisServer]
    servers: list[RedisServer]
    server: RedisServer
    key: str
    spared: tuple[str, ...] = ()
    path: str = ""

    @property
    def keys(self) -> list[str]:
        """A key of each shard."""
        return [self.key, *self.spared]

    def url(
        self, ports: Mapping[int, int] | None = None, *, host: str = LOOPBACK, scheme: str = "redis"
    ) -> str:
        """Return its URL, with each port in *ports* replaced by the one it leads to."""
        seeds = ((ports or {}).get(each.port, each.port) for each in self.seeds)
        return f"{scheme}+{self.kind}://{','.join(f'{host}:{port}' for port in seeds)}{self.path}"

    async def tell_all(self, *command: Any) -> None:
        """Send *command* to every server that has data."""
        for server in self.servers:
            await server.command(*command)


def leading(ports: Mapping[int, int], host: str = LOOPBACK) -> Callable[[Any], tuple[str, int]]:
    """Return an `address_map` by which an announced port in *ports* is another one of *host*."""
    return lambda address: (host, ports.get(address[1], address[1]))


@asynccontextmanager
async def behind_a_sentinel() -> AsyncIterator[Ground]:
    """A primary and the one Sentinel that watches it; what it has is in database 3."""
    async with SentinelDeployment(replicas=0, sentinels=1, down_after=60) as deployment:
        servers = deployment.servers
        path = f"/3/{deployment.service}"
        yield Ground("sentinel", deployment.sentinels, servers, servers[0], "key", path=path)


@asynccontextmanager
async def in_a_cluster() -> AsyncIterator[Ground]:
    """Two primaries without replicas, neither of which ever takes the other for dead."""
    async with ClusterDeployment(shards=2, replicas=0, node_timeout=60) as deployment:
        primaries = deployment.primaries
        key, spared = (keys_in(deployment.slots_of(index), 1)[0] for index in (0, 1))
        yield Ground("cluster", primaries, primaries, primaries[0], key, (spared,))


GROUNDS = {"sentinel": behind_a_sentinel, "cluster": in_a_cluster}
