"""Row 22 with a server that speaks TLS itself, instead of something in front of it."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager, RedisTLSError, RedisUnavailableError
from redis_manager_fastapi.testing import RedisServer
from tests.kit.invariants import upheld
from tests.kit.servers import CERTIFICATES
from tests.kit.tls_server import CA, VALID, present, tls_server
from tests.kit.waiting import until

NEXT, NEXT_CA = CERTIFICATES / "next.pem", CERTIFICATES / "next-ca.pem"
FAIL: dict[str, Any] = {"timeout": {"connect": 5.0}, "startup": {"policy": "fail"}}
PATIENT: dict[str, Any] = {
    "timeout": {"command": 5.0, "connect": 2.0},
    "outage": {"grace": 5.0},
    "pool": {"acquire_timeout": 5.0},
}


def at(port: int) -> str:
    """The URL of a server's TLS port."""
    return f"rediss://127.0.0.1:{port}/0"


async def refusal(port: int, **tls: Any) -> RedisUnavailableError:
    """Return what an opening ends with."""
    manager = RedisManager(at(port), tls=tls, **FAIL)  # type: ignore[arg-type]
    with pytest.raises(RedisUnavailableError) as raised:
        await manager.open()
    return raised.value


async def test_certificates_that_are_refused() -> None:
    """Row 22: expired, for another name, of an unknown CA: the reason, and what to set."""
    async with tls_server() as (server, port):
        unknown = await refusal(port, ca_file=CERTIFICATES / "other-ca.pem")
        await present(server, CERTIFICATES / "expired.pem")
        expired = await refusal(port, ca_file=CA)
        await present(server, CERTIFICATES / "wrong-name.pem")
        wrong = await refusal(port, ca_file=CA)

    assert {type(error) for error in (unknown, expired, wrong)} == {RedisTLSError}
    assert "not trusted here: set REDIS_TLS__CA_FILE" in str(unknown)
    assert "certificate has expired" in str(expired)
    assert "for another name: reach it by a name that it has" in str(wrong)


async def test_a_client_s_certificate_is_wanted() -> None:
    """Row 22: none, one that is no client's, and the right one, which a server trusts by CA."""
    async with tls_server(clients="yes") as (server, port):
        without = await refusal(port, ca_file=CA)
        wrong = await refusal(port, ca_file=CA, cert_file=VALID, key_file=VALID)
        await present(server, VALID, NEXT_CA)
        own: Any = {"ca_file": CA, "cert_file": NEXT, "key_file": NEXT}
        async with RedisManager(at(port), tls=own, **FAIL) as manager:
            assert await manager.redis.ping()

    assert "client certificate" in str(without)
    assert "client certificate" in str(wrong)


async def test_certificates_that_are_rotated_under_load(
    bystander: RedisServer, mode: dict[str, Any], tmp_path: Path
) -> None:
    """Row 22: the server presents another CA's certificate, at 150 a second: no failed read."""
    trusted = tmp_path / "ca.pem"
    shutil.copy(CA, trusted)
    async with (
        tls_server() as (server, port),
        upheld(
            server, bystander, url=at(port), tls={"ca_file": trusted}, **PATIENT, **mode
        ) as trial,
    ):
        await trial.warm(3)
        async with trial.traffic(150, "read", "read_batch"):
            for certificate, authority in ((NEXT, NEXT_CA), (VALID, CA)):
                # First trust the next authority too, then be cut off, then forget the last one.
                trusted.write_text(CA.read_text() + NEXT_CA.read_text())
                await present(server, certificate, authority)
                generation = trial.manager.stats().generation
                await server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await until(lambda last=generation: trial.manager.stats().generation > last, 10)
                shutil.copy(authority, trusted)
                await asyncio.sleep(0.5)

        assert trial.errors() == {}
