"""Who we are and what is on the way, behind Sentinels and in a Cluster (rows 19 to 22, 25, 55)."""

import asyncio
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from redis_manager_fastapi import (
    Redis,
    RedisAuthError,
    RedisManager,
    RedisTLSError,
    RedisUnavailableError,
)
from redis_manager_fastapi.testing import FaultProxy
from tests.kit.doors import BANNERS, saying
from tests.kit.grounds import GROUNDS, Ground, leading
from tests.kit.identity import Provider, Resolver
from tests.kit.load import read, steady_load
from tests.kit.managers import opened
from tests.kit.servers import CERTIFICATES, needs
from tests.kit.tls_relay import tls_relay
from tests.kit.waiting import eventually, until

ACL = needs("ACL", redis="6.0")
SOON: dict[str, Any] = {
    "health": {"interval": 0.1, "timeout": 1.0, "backoff_cap": 0.2},
    "outage": {"grace": 0.3},
    "timeout": {"command": 5.0, "connect": 1.0},
}
PATIENT: dict[str, Any] = SOON | {
    "outage": {"grace": 10.0},
    "timeout": {"command": 10.0, "connect": 2.0},
    "pool": {"acquire_timeout": 10.0},
}
FAIL: dict[str, Any] = SOON | {"startup": {"policy": "fail"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=GROUNDS)
async def ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    """A deployment of each kind."""
    made: AbstractAsyncContextManager[Ground] = GROUNDS[request.param]()
    async with made as ground:
        yield ground


@pytest_asyncio.fixture
async def user(ground: Ground) -> AsyncIterator[str]:
    """A user `app` on every server, whose password this is."""
    rights = ("on", ">old", "~*", "&*", "+@all")
    await ground.tell_all("ACL", "SETUSER", "app", "reset", *rights)
    yield "old"
    await ground.tell_all("ACL", "DELUSER", "app")


async def cut(ground: Ground) -> None:
    """Have every server with data close its clients' connections."""
    await ground.tell_all("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def fill(manager: RedisManager, ground: Ground) -> None:
    """Give each key its own name."""
    for key in ground.keys:
        await manager.redis.set(key, key)


async def serves(manager: RedisManager, ground: Ground) -> None:
    """Every shard is served again, over shared connections and dedicated ones."""
    await until(lambda: manager.is_ready, 10)
    for key in ground.keys:
        assert await manager.redis.get(key) == key
        assert await manager.redis.with_options(dedicated=True).get(key) == key


async def refused(
    manager: RedisManager,
    ground: Ground,
    words: str,
    kind: type[RedisUnavailableError] = RedisUnavailableError,
) -> str:
    """Callers come to be told why, on every way there is; return what they are told."""
    said = ""

    async def told(redis: Redis) -> bool:
        nonlocal said
        with pytest.raises(RedisUnavailableError) as raised:
            await redis.get(ground.key)
        said = f"{said} {raised.value}"
        known = re.search(words, str(raised.value)) is not None
        assert type(raised.value) is kind or not known
        return known and not raised.value.maybe_executed

    for redis in (manager.redis, manager.redis.with_options(dedicated=True)):
        await eventually(partial(told, redis), 10)
    return said


@ACL
async def test_a_rotation_with_an_overlap(ground: Ground, user: str, tmp_path: Path) -> None:
    """Row 19: the file changes while both passwords are valid: no error at all."""
    file = tmp_path / "password"
    file.write_text(user)
    who: dict[str, Any] = {"username": "app", "password_file": file}
    async with opened(ground.url(), **who, **PATIENT) as manager:
        await fill(manager, ground)
        async with steady_load(manager.redis, ground.keys, read) as outcomes:
            await ground.tell_all("ACL", "SETUSER", "app", ">new")
            file.write_text("new")
            connects = manager.stats().connects
            await ground.tell_all("CLIENT", "KILL", "USER", "app")
            await until(lambda: manager.stats().connects >= connects + len(ground.keys), 10)
            await ground.tell_all("ACL", "SETUSER", "app", "<old")
            await until(lambda: manager.is_ready, 10)

        assert outcomes.failed == []
        await serves(manager, ground)


@ACL
async def test_a_rotation_without_an_overlap(ground: Ground, user: str, tmp_path: Path) -> None:
    """Row 19: the servers change first, and it heals once the file follows."""
    file = tmp_path / "password"
    file.write_text(user)
    who: dict[str, Any] = {"username": "app", "password_file": file}
    async with opened(ground.url(), **who, **SOON) as manager:
        await fill(manager, ground)
        await ground.tell_all("ACL", "SETUSER", "app", "resetpass", ">new")
        await ground.tell_all("CLIENT", "KILL", "USER", "app")
        await refused(manager, ground, "WRONGPASS", RedisAuthError)
        file.write_text("new")

        await serves(manager, ground)


@ACL
async def test_a_credential_provider(ground: Ground, user: str) -> None:
    """Row 20: whatever it does, callers are told; then all connections are its user's again."""
    provider = Provider("app", user)
    settings = SOON | {"credential_provider": provider, "client_name": "the-app"}
    async with opened(ground.url(), **settings) as manager:
        await fill(manager, ground)
        for fault in ("raises", "hangs", "is cancelled"):
            provider.fault = fault
            await ground.tell_all("CLIENT", "KILL", "USER", "app")
            if fault == "hangs":
                await refused(manager, ground, "no connection within")
            else:
                await refused(manager, ground, "credentials could not", RedisAuthError)
            provider.fault = ""
            await serves(manager, ground)

        database = "3" if ground.kind == "sentinel" else "0"
        for server in ground.servers:
            clients = await server.command("CLIENT LIST")
            ours = {(each["user"], each["db"]) for each in clients if each["name"] == "the-app"}
            assert ours == {("app", database)}


async def test_a_name_that_does_not_lead_there(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 21: told in time, at the start and later; a name that leads elsewhere is followed."""
    resolver = Resolver()
    resolver.install(monkeypatch)
    by_name: dict[str, Any] = {"address_map": leading({}, resolver.name)}
    resolver.fault = "does not resolve"
    manager = RedisManager(ground.url(host=resolver.name), **FAIL)
    with pytest.raises(RedisUnavailableError, match="the host name does not resolve"):
        await manager.open()
    resolver.fault = ""
    async with (
        FaultProxy(ground.server.host, ground.server.port) as new,
        opened(ground.url(), **by_name, **SOON) as manager,
    ):
        await fill(manager, ground)
        for fault, words in (("does not resolve", "does not"), ("hangs", "no connection within")):
            resolver.fault = fault
            await cut(ground)
            await refused(manager, ground, words)
            resolver.fault = ""
            await serves(manager, ground)

        resolver.ports[ground.server.port] = new.port
        await cut(ground)
        await serves(manager, ground)
        assert (await new.stats()).open > 0


@asynccontextmanager
async def encrypted(
    ground: Ground, certificate: str
) -> AsyncIterator[tuple[dict[str, Any], list[ssl.SSLContext]]]:
    """TLS before each server with data; the settings that lead there, and the relays' contexts."""
    async with AsyncExitStack() as stack:
        ports, contexts = dict[int, int](), list[ssl.SSLContext]()
        for server in ground.servers:
            relay = tls_relay(server, CERTIFICATES / certificate)
            url, context = await stack.enter_async_context(relay)
            ports[server.port] = int(url.rpartition(":")[2].partition("/")[0])
            contexts.append(context)
        url = ground.url(ports, scheme="rediss")
        settings: dict[str, Any] = {"url": url, "address_map": leading(ports)}
        if ground.kind == "sentinel":
            settings["sentinel"] = {"tls": False}
        yield settings, contexts


@pytest.mark.parametrize(
    ("certificate", "ca", "words"),
    [
        ("expired.pem", "ca.pem", "certificate has expired"),
        ("valid.pem", "other-ca.pem", "not trusted here: set REDIS_TLS__CA_FILE"),
        ("wrong-name.pem", "ca.pem", "for another name"),
    ],
    ids=["expired", "unknown-ca", "wrong-name"],
)
async def test_a_certificate_that_is_refused(
    ground: Ground, certificate: str, ca: str, words: str
) -> None:
    """Row 22: the start fails with the reason."""
    async with encrypted(ground, certificate) as (settings, _):
        manager = RedisManager(**settings, **FAIL, tls={"ca_file": CERTIFICATES / ca})
        with pytest.raises(RedisTLSError, match=words) as raised:
            await manager.open()

        assert "127.0.0.1" not in str(raised.value)


async def test_certificates_that_are_rotated(ground: Ground, tmp_path: Path) -> None:
    """Row 22: refused with the reason while ours lags behind, healed when it follows."""
    trusted = tmp_path / "ca.pem"
    shutil.copy(CERTIFICATES / "ca.pem", trusted)
    async with (
        encrypted(ground, "valid.pem") as (settings, contexts),
        opened(**settings, **SOON, tls={"ca_file": trusted}) as manager,
    ):
        await fill(manager, ground)
        for context in contexts:
            context.load_cert_chain(CERTIFICATES / "next.pem")
        await cut(ground)
        await refused(manager, ground, "not trusted here", RedisTLSError)
        shutil.copy(CERTIFICATES / "next-ca.pem", trusted)

        await serves(manager, ground)


async def test_connections_that_are_closed_when_idle(ground: Ground) -> None:
    """Row 25: by the server after a second, and by a balancer in between: no error."""
    proxy = FaultProxy(ground.server.host, ground.server.port)
    async with proxy:
        way: dict[str, Any] = {"address_map": leading({ground.server.port: proxy.port})}
        async with opened(ground.url(), **way, **PATIENT) as manager:
            await fill(manager, ground)
            await serves(manager, ground)
            await ground.tell_all("CONFIG", "SET", "timeout", "1")
            for idle in (2.1, 0.2, 0.2):
                await asyncio.sleep(idle)
                for key in ground.keys:
                    assert await manager.redis.set(key, key)
                    assert await manager.redis.get(key) == key
                    assert await manager.redis.with_options(dedicated=True).set(key, key)
                await proxy.reset()
            await ground.tell_all("CONFIG", "SET", "timeout", "0")
            await serves(manager, ground)


@pytest.mark.parametrize("banner", BANNERS, ids=lambda banner: repr(banner[:12]))
async def test_words_at_the_door(ground: Ground, banner: bytes) -> None:
    """Row 55: a primary's words reach callers in ours, and so do those of whom we ask for it."""
    words = BANNERS[banner]
    async with saying(banner, at_once=False, hang_up=False) as port:
        way = leading({ground.server.port: port})
        async with RedisManager(
            ground.url(), address_map=way, **{**SOON, "startup": {"policy": "degraded"}}
        ) as manager:
            said = await refused(manager, ground, words)
        seeds = dict.fromkeys((each.port for each in ground.seeds), port)
        nobody = RedisManager(ground.url(seeds), **FAIL)
        if "RESP3" not in words or ground.kind == "cluster":  # Sentinels are asked by RESP2
            with pytest.raises(RedisUnavailableError, match=words) as raised:
                await nobody.open()
            said += str(raised.value)

    assert "secret.internal" not in said
