"""Row 22: TLS that does not come about, in words that name the fix; and its files, rotated."""

import asyncio
import shutil
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from redis_manager_fastapi import (
    PoolState,
    RedisManager,
    RedisRegistry,
    RedisTLSError,
    RedisUnavailableError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.invariants import QUICK, upheld
from tests.kit.managers import until_state
from tests.kit.servers import CERTIFICATES, needs
from tests.kit.tls_relay import tls_relay
from tests.kit.waiting import until

# A handshake takes its time on a busy machine, whose reasons would otherwise be those of time.
FAIL: dict[str, Any] = {**QUICK, "timeout": {"connect": 5.0}, "startup": {"policy": "fail"}}
PATIENT: dict[str, Any] = {
    "timeout": {"command": 5.0, "connect": 2.0},
    "outage": {"grace": 5.0},
    "pool": {"acquire_timeout": 5.0},
}


async def refusal(url: str, **tls: Any) -> RedisUnavailableError:
    """Return what an opening ends with."""
    settings: dict[str, Any] = {"tls": tls, **FAIL}
    manager = RedisManager(url=url, **settings)
    with pytest.raises(RedisUnavailableError) as raised:
        await manager.open()
    assert "127.0.0.1" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    ("certificate", "ca", "words"),
    [
        ("expired.pem", "ca.pem", "certificate has expired"),
        ("valid.pem", "other-ca.pem", "not trusted here: set REDIS_TLS__CA_FILE"),
        ("wrong-name.pem", "ca.pem", "for another name: reach it by a name that it has"),
    ],
    ids=["expired", "unknown-ca", "wrong-name"],
)
async def test_a_certificate_that_is_refused(
    redis_server: RedisServer, certificate: str, ca: str, words: str
) -> None:
    """Row 22: the reason says what is wrong with it, and what to set."""
    proxy = FaultProxy(redis_server.host, redis_server.port, cert_file=CERTIFICATES / certificate)
    async with proxy:
        error = await refusal(proxy.url, ca_file=CERTIFICATES / ca)

        assert type(error) is RedisTLSError
        assert words in str(error)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_s_certificate_is_wanted(
    redis_server: RedisServer, version: ssl.TLSVersion
) -> None:
    """Row 22: without one, with one of another authority, and with the right one."""
    ca, other = CERTIFICATES / "ca.pem", CERTIFICATES / "valid.pem"
    authority = CERTIFICATES / "next-ca.pem"
    relay = tls_relay(redis_server, CERTIFICATES / "valid.pem", clients=authority)
    async with relay as (url, context):
        context.minimum_version = context.maximum_version = version
        without = await refusal(url, ca_file=ca)
        wrong = await refusal(url, ca_file=ca, cert_file=other, key_file=other)

        assert "REDIS_TLS__CERT_FILE" in str(without)
        assert "certificate" in str(without)
        assert "client certificate" in str(wrong)
        right = CERTIFICATES / "next.pem"
        async with RedisManager(
            url=url, tls={"ca_file": ca, "cert_file": right, "key_file": right}
        ) as manager:
            assert await manager.redis.ping()


async def test_a_key_that_is_another_s(redis_server: RedisServer) -> None:
    """Row 22: said by the setting's own name."""
    async with tls_relay(redis_server, CERTIFICATES / "valid.pem") as (url, _):
        error = await refusal(
            url,
            ca_file=CERTIFICATES / "ca.pem",
            cert_file=CERTIFICATES / "valid.pem",
            key_file=CERTIFICATES / "next.pem",
        )

        assert type(error) is RedisTLSError
        assert "REDIS_TLS__KEY_FILE is not the key" in str(error)


async def test_a_second_deployment_s_own_variables_are_named(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `REDIS_CACHE_*` configure is not mended by `REDIS_TLS__CA_FILE`."""
    proxy = FaultProxy(redis_server.host, redis_server.port, cert_file=CERTIFICATES / "valid.pem")
    async with proxy:
        monkeypatch.setenv("REDIS_CACHE_URL", proxy.url)
        monkeypatch.setenv("REDIS_CACHE_TLS__CA_FILE", str(CERTIFICATES / "other-ca.pem"))
        monkeypatch.setenv("REDIS_CACHE_STARTUP__POLICY", "fail")
        manager = RedisRegistry.from_env("cache")["cache"]
        with pytest.raises(RedisTLSError, match="set REDIS_CACHE_TLS__CA_FILE to that CA's"):
            await manager.open()
        with pytest.raises(TypeError, match="set REDIS_CACHE_CLUSTER__NODES"):
            _ = manager.cluster


async def test_a_file_that_goes(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any], tmp_path: Path
) -> None:
    """Row 22: down with the reason, but not the file's name, until it is back."""
    trusted = tmp_path / "ca.pem"
    shutil.copy(CERTIFICATES / "ca.pem", trusted)
    proxy = FaultProxy(redis_server.host, redis_server.port, cert_file=CERTIFICATES / "valid.pem")
    limits: dict[str, Any] = {"timeout": {"command": 2.0, "connect": 1.0}}
    async with (
        proxy,
        upheld(redis_server, bystander, proxy, tls={"ca_file": trusted}, **limits, **mode) as trial,
    ):
        trusted.unlink()
        await proxy.reset()
        await until_state(trial.manager, PoolState.DOWN)
        await until(lambda: "cannot be read" in trial.manager.stats().reason)
        assert str(tmp_path) not in trial.manager.stats().reason
        shutil.copy(CERTIFICATES / "ca.pem", trusted)

        await trial.healed(trial.now)


def newer_than(manager: RedisManager, generation: int) -> bool:
    return manager.stats().generation > generation


@needs("ACL", redis="6.0")
async def test_certificates_and_passwords_rotated_under_load(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any], tmp_path: Path
) -> None:
    """Rows 19, 22: authority, certificates and password, at 150 a second: no failed read."""
    old, new = CERTIFICATES / "valid.pem", CERTIFICATES / "next.pem"
    authorities = {old: CERTIFICATES / "ca.pem", new: CERTIFICATES / "next-ca.pem"}
    trusted, own, password = (tmp_path / name for name in ("ca.pem", "client.pem", "password"))
    both = "".join(each.read_text() for each in authorities.values())
    trusted.write_text(authorities[old].read_text())
    password.write_text("password-0")
    shutil.copy(new, own)
    await redis_server.command("ACL", "SETUSER", "app", "on", ">password-0", "~*", "&*", "+@all")
    place: dict[str, Any] = {
        "username": "app",
        "password_file": password,
        "tls": {"ca_file": trusted, "cert_file": own, "key_file": own},
        **PATIENT,
    }

    relay = tls_relay(redis_server, old, clients=authorities[new])
    async with (
        relay as (url, context),
        upheld(redis_server, bystander, url=url, **place, **mode) as trial,
    ):
        await trial.warm(3)
        async with trial.traffic(150, "read", "read_batch"):
            for number, certificate in enumerate((new, old, new), 1):
                # First trust the next authority, then be it, then forget the last one.
                trusted.write_text(both)
                context.load_cert_chain(certificate)
                shutil.copy(new, own.with_suffix(".new"))
                own.with_suffix(".new").replace(own)
                await redis_server.command("ACL", "SETUSER", "app", f">password-{number}")
                password.write_text(f"password-{number}")
                generation = trial.manager.stats().generation
                await redis_server.command("CLIENT", "KILL", "USER", "app")
                await until(partial(newer_than, trial.manager, generation), 10)
                trusted.write_text(authorities[certificate].read_text())
                await redis_server.command("ACL", "SETUSER", "app", f"<password-{number - 1}")
                await asyncio.sleep(1.0)  # a read goes out twice at most

        assert trial.errors() == {}
        assert trial.manager.is_ready
