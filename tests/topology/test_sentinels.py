"""The Sentinels themselves: down, hung, back again, with credentials and TLS of their own."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from redis_manager_fastapi import (
    PoolState,
    RedisAuthError,
    RedisManager,
    RedisTLSError,
    RedisUnavailableError,
)
from redis_manager_fastapi.testing.proxy import FaultProxy
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.managers import opened, until_state
from tests.kit.servers import CERTIFICATES, contexts_made, needs
from tests.kit.waiting import until

SLACK = 0.05


async def test_without_any_sentinel_the_known_primary_still_serves(
    deployment: SentinelDeployment,
) -> None:
    async with opened(deployment.url) as manager:
        for sentinel in deployment.sentinels:
            await sentinel.kill()
        await manager.redis.set("key", "value")
        await deployment.servers[0].restart()

        assert await manager.redis.get("key") is None
        assert manager.stats().generation >= 2


async def test_frozen_sentinels_delay_a_reconnect_by_no_more_than_their_patience(
    deployment: SentinelDeployment,
) -> None:
    async with opened(deployment.url) as manager:
        for sentinel in deployment.sentinels:
            sentinel.pause()
        clock = asyncio.get_running_loop().time
        started = clock()
        await deployment.servers[0].command("CLIENT KILL", "TYPE", "normal")
        await until(lambda: manager.stats().generation == 2)

        assert clock() - started <= 0.3 + 4 * SLACK


@pytest.mark.parametrize("frozen", [1, 2])
async def test_a_frozen_sentinel_adds_no_more_than_300_ms_to_the_start(
    deployment: SentinelDeployment, frozen: int
) -> None:
    for sentinel in deployment.sentinels[:frozen]:
        sentinel.pause()
    clock = asyncio.get_running_loop().time
    started = clock()

    async with opened(deployment.url):
        assert clock() - started <= 0.3 + 4 * SLACK


async def test_a_start_without_sentinels_says_so(deployment: SentinelDeployment) -> None:
    for sentinel in deployment.sentinels:
        await sentinel.kill()

    with pytest.raises(RedisUnavailableError, match="no Sentinel names a primary"):
        async with RedisManager(url=deployment.url, startup={"policy": "fail"}):
            pass


async def test_an_unknown_service_says_so(deployment: SentinelDeployment) -> None:
    url = deployment.url.replace(deployment.service, "other")

    with pytest.raises(RedisUnavailableError, match="they do not know the service 'other'"):
        async with RedisManager(url=url, startup={"policy": "fail"}):
            pass


async def test_a_sentinel_that_was_restarted_is_listened_to_again(
    deployment: SentinelDeployment,
) -> None:
    old = deployment.servers[0]

    async with opened(deployment.url, outage={"grace": 10}, timeout={"command": 10}) as manager:
        await manager.redis.set("key", "value")
        for sentinel in deployment.sentinels:
            await sentinel.restart()
        await deployment.ready()
        await deployment.failover()
        await deployment.elected(old)
        await until(lambda: manager.stats().generation == 2)
        await until_state(manager, PoolState.READY)
        await manager.redis.set("key", "other")


async def test_why_sentinels_cannot_be_asked_is_told(deployment: SentinelDeployment) -> None:
    sentinel = deployment.sentinels[0]
    trusted: Any = {"ca_file": CERTIFICATES / "ca.pem"}
    proxy = FaultProxy(sentinel.host, sentinel.port, cert_file=CERTIFICATES / "expired.pem")
    async with proxy:
        expired = f"rediss+sentinel://{proxy.host}:{proxy.port}/0/{deployment.service}"
        with pytest.raises(RedisTLSError, match=r"primary: the TLS handshake failed: .* expired"):
            await RedisManager(url=expired, tls=trusted, startup={"policy": "fail"}).open()
    no_sentinel = deployment.servers[0]
    other = f"redis+sentinel://{no_sentinel.host}:{no_sentinel.port}/0/{deployment.service}"
    with pytest.raises(RedisUnavailableError, match="what answers there is no Sentinel"):
        await RedisManager(url=other, startup={"policy": "fail"}).open()


@needs("sentinel-pass", redis="6.2")
async def test_sentinels_have_a_password_of_their_own() -> None:
    deployment = SentinelDeployment(password="data-secret", sentinel_password="sentinel-secret")
    sentinel = {"password": "sentinel-secret"}

    async with deployment:
        wrong = RedisManager(url=deployment.url, password="x", startup={"policy": "fail"})
        with pytest.raises(
            RedisAuthError, match=r"no Sentinel names a primary: .*none is set"
        ) as caught:
            await wrong.open()
        assert "set REDIS_SENTINEL__PASSWORD, and" in str(caught.value)
        settings: dict[str, Any] = {"password": "data-secret", "sentinel": sentinel}
        async with opened(deployment.url, **settings) as manager:
            assert await manager.redis.set("key", "value")


async def test_sentinels_have_tls_of_their_own(deployment: SentinelDeployment) -> None:
    certificate = CERTIFICATES / "valid.pem"
    sentinel = deployment.sentinels[0]
    async with FaultProxy(sentinel.host, sentinel.port, cert_file=certificate) as proxy:
        url = f"redis+sentinel://{proxy.host}:{proxy.port}/0/{deployment.service}"
        trusted = {"ca_file": CERTIFICATES / "ca.pem"}
        settings: dict[str, Any] = {"sentinel": {"tls": True}, "tls": trusted}

        async with opened(url, **settings) as manager:
            assert await manager.redis.set("key", "value")


@pytest.mark.usefixtures("pipelining")
async def test_sentinels_and_the_primary_share_a_tls_context(
    deployment: SentinelDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making one takes 35 ms of the event loop."""
    made = contexts_made(monkeypatch)
    certificate = CERTIFICATES / "localhost.pem"
    async with AsyncExitStack() as stack:
        ports = {}
        for server in (*deployment.sentinels, *deployment.servers):
            proxy = FaultProxy(server.host, server.port, cert_file=certificate)
            ports[server.port] = (await stack.enter_async_context(proxy)).port
        nodes = ",".join(f"127.0.0.1:{ports[each.port]}" for each in deployment.sentinels)
        url = f"rediss+sentinel://{nodes}/0/{deployment.service}"
        tls = {"tls": {"verify": "none"}, "sentinel": {"reads": "replica"}}
        address_map: Any = lambda address: (address.host, ports[address.port])  # noqa: E731
        async with opened(url, address_map=address_map, **tls) as manager:
            await manager.redis.set("key", "value")
            await until(lambda: manager.stats().replica is not None)
            await manager.redis.get("key")

    assert len(made) == 1
