"""A Cluster behind TLS: certificates are checked on every node, and redirects stay encrypted."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from redis_manager_fastapi import RedisManager, RedisTLSError, RedisUnavailableError
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.testing import FaultProxy
from redis_manager_fastapi.testing.cluster import ClusterDeployment, move_slot, primaries_by
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.clusters import cluster_of, keys_in, shard_keys
from tests.kit.managers import opened
from tests.kit.servers import CERTIFICATES, contexts_made, needs
from tests.kit.waiting import eventually, until


@dataclass(frozen=True)
class Encrypted:
    """A Cluster whose nodes announce a TLS proxy each as their address.

    Attributes:
        deployment: The nodes.
        proxies: Theirs, in the primaries' order.
    """

    deployment: ClusterDeployment
    proxies: list[FaultProxy]

    @property
    def url(self) -> str:
        """By way of the first node."""
        return f"rediss+cluster://{self.proxies[0].host}:{self.proxies[0].port}"


@pytest_asyncio.fixture
async def encrypted() -> AsyncIterator[Encrypted]:
    """Three primaries without replicas."""
    async with AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(ClusterDeployment(replicas=0))
        proxies = []
        for node in deployment.primaries:
            proxy = FaultProxy(node.host, node.port, cert_file=CERTIFICATES / "valid.pem")
            proxies.append(await stack.enter_async_context(proxy))
            # The bus stays where it is: only what clients are told changes.
            await node.config_set("cluster-announce-bus-port", node.port + 10_000)
            await node.config_set("cluster-announce-port", proxy.port)
        announced = {proxy.port for proxy in proxies}
        for node in deployment.primaries:
            await until_told(node, announced)
        yield Encrypted(deployment, proxies)


async def until_told(node: RedisServer, ports: set[int]) -> None:
    """Wait until a node's view has the announced ports alone."""

    async def told() -> bool:
        return await primaries_by(node) == ports

    await eventually(told, timeout=20)


@needs("CONFIG SET cluster-announce-port", redis="7.0")
async def test_every_node_is_reached_by_tls(encrypted: Encrypted) -> None:
    async with opened(encrypted.url, tls={"ca_file": CERTIFICATES / "ca.pem"}) as manager:
        for keys in shard_keys(encrypted.deployment, 3):
            for key in keys:
                assert await manager.redis.set(key, key)
                assert await manager.redis.with_options(dedicated=True).get(key) == key

        nodes = cluster_of(manager).map.nodes
        assert {node.address.port for node in nodes} == {each.port for each in encrypted.proxies}


@needs("CONFIG SET cluster-announce-port", redis="7.0")
async def test_all_nodes_and_questions_share_a_tls_context(
    encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making one takes 35 ms of the event loop."""
    made = contexts_made(monkeypatch)
    async with opened(encrypted.url, tls={"ca_file": CERTIFICATES / "ca.pem"}) as manager:
        for (key,) in shard_keys(encrypted.deployment, 1):
            await manager.redis.with_options(dedicated=True).set(key, key)
        for proxy in encrypted.proxies:
            await proxy.reset()
        for (key,) in shard_keys(encrypted.deployment, 1):
            assert await manager.redis.get(key) == key

    assert len(made) == 1


@needs("CONFIG SET cluster-announce-port", redis="7.0")
async def test_a_redirect_is_followed_by_tls(encrypted: Encrypted) -> None:
    deployment = encrypted.deployment
    (key,) = keys_in(deployment.slots_of(0), 1)
    async with opened(encrypted.url, tls={"ca_file": CERTIFICATES / "ca.pem"}) as manager:
        await manager.redis.get(key)
        await move_slot(slot_of(key), *deployment.primaries[:2])

        assert await manager.redis.set(key, "there")
        assert await deployment.primaries[1].command("GET", key) == "there"


@needs("CONFIG SET cluster-announce-port", redis="7.0")
async def test_a_certificate_that_nobody_vouches_for_stops_the_start(encrypted: Encrypted) -> None:
    manager = RedisManager(
        url=encrypted.url,
        tls={"ca_file": CERTIFICATES / "other-ca.pem"},
        startup={"policy": "fail"},
    )
    with pytest.raises(RedisUnavailableError, match="the TLS handshake failed") as raised:
        await manager.open()

    assert type(raised.value) is RedisTLSError
    await until(lambda: not manager.is_ready)
