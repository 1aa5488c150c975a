"""`doctor` and a server that speaks TLS itself: its port, its alerts and its silence."""

from collections.abc import AsyncIterator

import pytest_asyncio

from redis_manager_fastapi.cli.exits import Exit
from redis_manager_fastapi.testing import RedisServer
from tests.kit.command_line import run
from tests.kit.tls_server import CA as AUTHORITY
from tests.kit.tls_server import VALID, tls_server

CA, OWN = map(str, (AUTHORITY, VALID))


@pytest_asyncio.fixture
async def tls_port() -> AsyncIterator[tuple[RedisServer, int]]:
    """A server with a plain port and one for TLS, which wants a client's certificate."""
    async with tls_server(clients="yes") as served:
        yield served


async def test_all_is_well(tls_port: tuple[RedisServer, int]) -> None:
    await tls_port[0].config_set("tls-auth-clients", "no")
    url = f"rediss://127.0.0.1:{tls_port[1]}"
    ended = await run("doctor", "--json", REDIS_URL=url, REDIS_TLS__CA_FILE=CA)

    assert ended.code == Exit.OK, ended.out
    assert ended.step("tls")["said"].startswith("the server's certificate is valid")


async def test_a_client_certificate_is_wanted(tls_port: tuple[RedisServer, int]) -> None:
    url = f"rediss://127.0.0.1:{tls_port[1]}"
    ended = await run("doctor", "--json", REDIS_URL=url, REDIS_TLS__CA_FILE=CA)

    assert ended.failed == ["tls"], ended.out
    assert ended.step("tls")["said"] == "the server wants a client certificate"
    assert ended.code == Exit.TLS


async def test_a_client_certificate_is_for_servers_only(
    tls_port: tuple[RedisServer, int],
) -> None:
    own = {"REDIS_TLS__CERT_FILE": OWN, "REDIS_TLS__KEY_FILE": OWN, "REDIS_TLS__CA_FILE": CA}
    ended = await run("doctor", "--json", REDIS_URL=f"rediss://127.0.0.1:{tls_port[1]}", **own)

    assert ended.failed == ["tls"], ended.out
    assert ended.step("tls")["said"] == "the server refuses our client certificate"
    assert ended.code == Exit.TLS


async def test_plain_to_the_tls_port(tls_port: tuple[RedisServer, int]) -> None:
    ended = await run("doctor", "--json", REDIS_URL=f"redis://127.0.0.1:{tls_port[1]}")

    assert ended.failed == ["tls"], ended.out
    assert "start REDIS_URL with rediss://" in ended.document["first"]
    assert ended.code == Exit.TLS


async def test_tls_to_the_plain_port(tls_port: tuple[RedisServer, int]) -> None:
    url = f"rediss://127.0.0.1:{tls_port[0].port}"
    ended = await run("doctor", "--json", REDIS_URL=url, REDIS_TLS__CA_FILE=CA)

    assert ended.failed == ["tls"], ended.out
    assert ended.step("tls")["said"] == "the server does not speak TLS there"
    assert ended.code == Exit.TLS
