"""A server that speaks TLS itself, where there is one: the embedded server does not."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.ports import ReservedPort
from tests.kit.servers import CERTIFICATES
from tests.kit.serving import ROOT

FETCHED = ROOT / ".venvs" / "servers" / "tls" / "redis-server"
PROGRAM = shutil.which("redis-server") or (str(FETCHED) if FETCHED.exists() else None)
VALID, CA = CERTIFICATES / "valid.pem", CERTIFICATES / "ca.pem"


@asynccontextmanager
async def tls_server(
    certificate: Path = VALID, *, clients: str = "no"
) -> AsyncIterator[tuple[RedisServer, int]]:
    """A server with a plain port, and the port on which it speaks TLS; skips without a program.

    Args:
        certificate: Its certificate, with the key.
        clients: Whether clients have to have a certificate of the same authority (`yes`).
    """
    if PROGRAM is None:
        pytest.skip("no redis-server on PATH, and none fetched by scripts/tls-server")
    reserved = ReservedPort()
    directives: dict[str, str | int] = {
        "tls-port": reserved.port,
        "tls-cert-file": str(certificate),
        "tls-key-file": str(certificate),
        "tls-ca-cert-file": str(CA),
        "tls-auth-clients": clients,
    }
    server = RedisServer(directives, binary=Path(PROGRAM))
    try:
        await server.start()
    except RuntimeError as error:
        pytest.skip(f"{PROGRAM} speaks no TLS: {error}")
    else:
        yield server, reserved.port
    finally:
        await server.aclose()
        reserved.close()


async def present(server: RedisServer, certificate: Path, authority: Path = CA) -> None:
    """Have new connections see *certificate*, and clients be judged by *authority*."""
    files = {"cert": certificate, "key": certificate, "ca-cert": authority}
    settings = [word for name, file in files.items() for word in (f"tls-{name}-file", str(file))]
    await server.command("CONFIG", "SET", *settings)
