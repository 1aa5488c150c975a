"""Who we are: refused, rotated, late; and where the server is, and whether it is the right one."""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from redis_manager_fastapi import (
    Event,
    PoolState,
    ProbeFailed,
    RedisAuthError,
    RedisConfigError,
    RedisManager,
    RedisPermissionError,
    RedisTLSError,
    RedisUnavailableError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.identity import Provider, Resolver
from tests.kit.invariants import QUICK, upheld
from tests.kit.managers import until_state
from tests.kit.servers import CERTIFICATES, has, needs
from tests.kit.trial import Trial
from tests.kit.waiting import until

# Of two authorities of their own, good until 2120 but for the one that expired in 2020.
ACL = needs("ACL", redis="6.0")
WRONG_PASSWORD = "WRONGPASS" if has(redis="6.0") else "refused the credentials"


async def cut_all(server: RedisServer) -> None:
    """Have the server close every connection but the one that asks."""
    await server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def auths(server: RedisServer) -> int:
    """How many AUTH the server has seen."""
    stats = await server.command("INFO", "commandstats")
    found = stats.get("cmdstat_auth", {"calls": 0})
    return int(found["calls"])


async def down_because(
    trial: Trial, reason: str, kind: type[RedisUnavailableError] = RedisUnavailableError
) -> None:
    """The pool is down for that reason, which callers are told."""
    await until_state(trial.manager, PoolState.DOWN)
    await until(lambda: reason in trial.manager.stats().reason)
    error = await trial.read()
    assert type(error) is kind
    assert reason in str(error)


@pytest.mark.parametrize(
    ("password", "code"),
    [(None, "NOAUTH"), ("old", WRONG_PASSWORD)],
    ids=["noauth", "wrongpass"],
)
async def test_refused_credentials(
    bystander: RedisServer,
    mode: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    password: str | None,
    code: str,
) -> None:
    """Row 18: 503 with the reason, one AUTH per step of the backoff, one log line a minute."""
    caplog.set_level(logging.WARNING, "redis_manager_fastapi")
    events: list[Event] = []
    async with (
        RedisServer(password=password) as server,
        upheld(server, bystander, listeners=[events.append], **mode) as trial,
    ):
        await server.config_set("requirepass", "new")
        server.password = "new"
        await cut_all(server)
        await down_because(trial, code, RedisAuthError)
        events.clear()
        before, admins = await auths(server), 1
        await until(lambda: len(events) >= 3)
        probes = len(events)
        attempts = await auths(server) - before - admins

        # How far apart the steps are is random. A probe may have begun before, or since.
        assert {type(event) for event in events} == {ProbeFailed}
        assert attempts <= probes + 1
        assert len(caplog.records) <= 2
        await server.command("CONFIG SET", "requirepass", password or "")
        server.password = password
        await trial.healed()


@ACL
async def test_forbidden_command(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 18: NOPERM fails that one command; the pool keeps serving."""
    async with upheld(redis_server, bystander, **mode) as trial:
        await redis_server.command("ACL", "SETUSER", "default", "-incrby")
        for _ in range(5):
            error = await trial.write()
            assert type(error) is RedisPermissionError
            assert isinstance(error, RedisAuthError)
            assert not error.maybe_executed
        for transaction in (False, True):
            pipeline: Any = trial.redis.pipeline(transaction=transaction)
            pipeline.execute_command("INCR", "first").execute_command("INCRBY", "second", 1)
            with pytest.raises(RedisPermissionError) as raised:
                await pipeline.execute()
            assert raised.value.maybe_executed is not transaction
        assert await trial.redis.get("first") == "1"
        await redis_server.command("ACL", "SETUSER", "default", "+incrby")

        assert await trial.write() is None
        assert trial.manager.stats().generation == 1


@ACL
async def test_rotation_with_an_overlap(
    bystander: RedisServer, mode: dict[str, Any], tmp_path: Path
) -> None:
    """Row 19: the file changes while both passwords are valid: no error at all."""
    file = tmp_path / "password"
    file.write_text("old")
    async with (
        RedisServer(password="old") as server,
        upheld(
            server,
            bystander,
            url=f"redis://{server.host}:{server.port}",
            password_file=file,
            **mode,
        ) as trial,
    ):
        await trial.warm(3)
        async with trial.traffic(100, "read"):
            await server.command("ACL", "SETUSER", "default", ">new")
            file.write_text("new")
            server.password = "new"
            await server.command("ACL", "SETUSER", "default", "<old")
            await cut_all(server)
            await asyncio.sleep(0.3)

        assert trial.errors() == {}


async def test_rotation_without_an_overlap(
    bystander: RedisServer, mode: dict[str, Any], tmp_path: Path
) -> None:
    """Row 19: the server changes first; recovery within R once the file follows."""
    file = tmp_path / "password"
    file.write_text("old")
    async with (
        RedisServer(password="old") as server,
        upheld(
            server,
            bystander,
            url=f"redis://{server.host}:{server.port}",
            password_file=file,
            **mode,
        ) as trial,
    ):
        await server.config_set("requirepass", "new")
        server.password = "new"
        await cut_all(server)
        await down_because(trial, WRONG_PASSWORD, RedisAuthError)
        file.write_text("new")

        await trial.healed(trial.now)


@pytest.mark.parametrize("fault", ["gone", "empty"])
async def test_password_file_that_cannot_be_read(
    bystander: RedisServer, mode: dict[str, Any], tmp_path: Path, fault: str
) -> None:
    """Row 20: 503 with the reason but not the file's name; service returns with the file."""
    file = tmp_path / "password"
    file.write_text("secret")
    async with RedisServer(password="secret") as server:
        place: dict[str, Any] = {"url": f"redis://{server.host}:{server.port}"}
        async with upheld(server, bystander, password_file=file, **place, **mode) as trial:
            file.unlink() if fault == "gone" else file.write_text("")
            await cut_all(server)
            await down_because(trial, "password file cannot be read", RedisAuthError)
            assert str(file) not in str(await trial.read())
            file.write_text("secret")
            await trial.healed(trial.now)

        manager = RedisManager(password_file=file, **place, startup={"policy": "fail"})
        file.unlink()
        with pytest.raises(RedisAuthError, match="password file cannot be read") as raised:
            await manager.open()
        assert type(raised.value.__cause__) is RedisConfigError


@ACL
async def test_user_who_may_not_ping(redis_server: RedisServer) -> None:
    """Row 18: the start fails with a reason that does not contain the password."""
    await redis_server.command("ACL", "SETUSER", "reader", "on", ">secret", "+@read", "~*")
    place = f"redis://reader:secret@{redis_server.host}:{redis_server.port}"
    manager = RedisManager(url=place, startup={"policy": "fail"})
    with pytest.raises(RedisPermissionError, match="ACL forbids"):
        await manager.open()


async def test_password_for_a_server_without_one(redis_server: RedisServer) -> None:
    """Row 18: the reason says what is wrong."""
    place = f"redis://:secret@{redis_server.host}:{redis_server.port}"
    manager = RedisManager(url=place, startup={"policy": "fail"})
    with pytest.raises(RedisAuthError, match="has no password"):
        await manager.open()


@pytest.mark.parametrize("fault", ["raises", "hangs", "is cancelled"])
async def test_credential_provider(
    bystander: RedisServer, mode: dict[str, Any], fault: str
) -> None:
    """Row 20: 503 within the limit; the next request is authenticated and on the right database."""
    provider = Provider("default", "secret")
    async with (
        RedisServer(password="secret") as server,
        upheld(
            server,
            bystander,
            url=f"redis://{server.host}:{server.port}/3",
            credential_provider=provider,
            **mode,
        ) as trial,
    ):
        provider.fault = fault
        await cut_all(server)
        began = trial.now
        if fault == "hangs":
            await down_because(trial, "no connection within")
        else:
            await down_because(trial, "credentials could not", RedisAuthError)
        assert await trial.net(began) <= 1.0
        provider.fault = ""
        await trial.healed(trial.now)

        await trial.redis.set("where", "three")
        async with server.client() as admin:
            await admin.select(3)
            assert await admin.get("where") == "three"


@pytest.fixture
def resolver(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Leads `redis.example` to this test's server."""
    resolver = Resolver()
    resolver.ports[6379] = redis_server.port
    resolver.install(monkeypatch)
    return resolver


@pytest.mark.parametrize("fault", ["does not resolve", "hangs"])
async def test_resolver(
    redis_server: RedisServer,
    bystander: RedisServer,
    resolver: Resolver,
    mode: dict[str, Any],
    fault: str,
) -> None:
    """Row 21: 503 with the reason, each attempt within T_connect."""
    url = "redis://redis.example:6379"
    async with upheld(redis_server, bystander, url=url, **mode) as trial:
        resolver.fault = fault
        await cut_all(redis_server)
        await down_because(trial, "no connection within" if fault == "hangs" else fault)
        resolver.fault = ""

        await trial.healed(trial.now)


async def test_changed_address(
    redis_server: RedisServer, bystander: RedisServer, resolver: Resolver, mode: dict[str, Any]
) -> None:
    """Row 21: the next connections go to the new address."""
    url = "redis://redis.example:6379"
    async with (
        RedisServer() as successor,
        upheld(successor, bystander, url=url, **mode) as trial,
    ):
        resolver.ports[6379] = successor.port
        await redis_server.kill()
        await until(lambda: trial.manager.stats().generation == 2)

        await trial.redis.set("where", "successor")
        assert await successor.command("GET", "where") == "successor"


@pytest.mark.parametrize(
    ("certificate", "ca", "reason"),
    [
        ("expired.pem", "ca.pem", "the server's certificate has expired"),
        ("valid.pem", "other-ca.pem", "signed by a CA that is not trusted"),
        ("wrong-name.pem", "ca.pem", "the server's certificate is for another name"),
    ],
    ids=["expired", "wrong-ca", "wrong-name"],
)
async def test_tls_refusal(
    redis_server: RedisServer, certificate: str, ca: str, reason: str
) -> None:
    """Row 22: the start fails with the reason."""
    async with FaultProxy(
        redis_server.host, redis_server.port, cert_file=CERTIFICATES / certificate
    ) as proxy:
        manager = RedisManager(
            url=proxy.url,
            tls={"ca_file": CERTIFICATES / ca},
            **{**QUICK, "startup": {"policy": "fail"}},
        )
        with pytest.raises(RedisUnavailableError, match=reason) as raised:
            await manager.open()

        assert type(raised.value) is RedisTLSError
        assert redis_server.host not in str(raised.value)


async def test_tls_rotated_file(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any], tmp_path: Path
) -> None:
    """Row 22: a new CA file is trusted from the next connect on."""
    trusted = tmp_path / "ca.pem"
    shutil.copy(CERTIFICATES / "ca.pem", trusted)
    async with FaultProxy(
        redis_server.host, redis_server.port, cert_file=CERTIFICATES / "valid.pem"
    ) as proxy:
        limits: dict[str, Any] = {
            "timeout": {"command": 2.0, "connect": 1.0},
            "tls": {"ca_file": trusted},
        }
        async with upheld(redis_server, bystander, proxy, **limits, **mode) as trial:
            shutil.copy(CERTIFICATES / "other-ca.pem", trusted)
            await proxy.reset()
            await down_because(trial, "the TLS handshake failed", RedisTLSError)
            shutil.copy(CERTIFICATES / "ca.pem", trusted)

            await trial.healed(trial.now)
