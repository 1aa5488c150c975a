"""What connects of one pool share."""

import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis_manager_fastapi import RedisSettings
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.dialer import DedicatedTLSConnection, Dialer
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from redis_manager_fastapi.topology.standalone import Standalone
from tests.kit.servers import CERTIFICATES


def context_of(connection: DedicatedConnection) -> ssl.SSLContext:
    assert isinstance(connection, DedicatedTLSConnection)
    context: ssl.SSLContext | None = connection.ssl_context.context
    assert context is not None
    return context


@asynccontextmanager
async def dialer(server: RedisServer, ca_file: Path) -> AsyncIterator[Dialer]:
    certificate = CERTIFICATES / "valid.pem"
    async with FaultProxy(server.host, server.port, cert_file=certificate) as proxy:
        url = f"rediss://{proxy.host}:{proxy.port}"
        settings = RedisSettings.model_validate(
            {"url": url, "tls": {"ca_file": ca_file}, "timeout": {"connect": 5}}
        )
        yield Dialer(Standalone(settings), settings, instance="default")


async def test_a_tls_context_is_made_once_for_as_long_as_its_files_stay(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    trusted = tmp_path / "ca.pem"
    shutil.copy(CERTIFICATES / "ca.pem", trusted)
    async with dialer(redis_server, trusted) as dial:
        first, second = await dial.dial(), await dial.dial()
        assert context_of(first) is context_of(second)
        trusted.write_text(trusted.read_text() + "\n")
        third = await dial.dial()
        await dial.revive(first)

        assert context_of(second) is not context_of(third)
        assert context_of(first) is context_of(third)
        for each in (first, second, third):
            each.abort()
