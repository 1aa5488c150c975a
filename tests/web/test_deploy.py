"""The set-ups of docs/deploy.md that can run here: several workers, tokens, and their names."""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from redis_manager_fastapi import RedisSettings
from redis_manager_fastapi.settings.layers import canonical
from redis_manager_fastapi.settings.sources import setting_paths
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.ports import ReservedPort
from tests.kit.servers import needs
from tests.kit.serving import PATIENCE, environment
from tests.kit.waiting import eventually

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "deploy.md").read_text()
WORKERS = 2

UVICORN = ("-m", "uvicorn", "minimal:app", "--workers", str(WORKERS), "--port")
GUNICORN = (
    *("-m", "gunicorn", "minimal:app", "--workers", str(WORKERS)),
    *("--worker-class", "uvicorn_worker.UvicornWorker", "--graceful-timeout", "20", "--bind"),
)
SERVERS = {
    "uvicorn": (*UVICORN, "{port}", "--timeout-graceful-shutdown", "10"),
    "gunicorn": (*GUNICORN, "127.0.0.1:{port}"),
    "gunicorn --preload": (*GUNICORN, "127.0.0.1:{port}", "--preload"),
}


@asynccontextmanager
async def serving(
    arguments: tuple[str, ...], url: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    """Serve an example on the Redis at *url*."""
    reserved = ReservedPort()
    port = reserved.port
    reserved.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(each.format(port=port) for each in arguments),
        cwd=EXAMPLES,
        env=environment(REDIS_URL=url, REDIS_CLIENT_NAME="worker"),
        stdout=PIPE,
        stderr=STDOUT,
    )
    place = f"http://127.0.0.1:{port}"
    # A connection for each request: another worker may take it.
    limits = httpx.Limits(max_keepalive_connections=0)
    try:
        async with httpx.AsyncClient(base_url=place, timeout=PATIENCE, limits=limits) as http:
            yield process, http
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def connected(redis: RedisServer) -> int:
    """How many connections the workers have."""
    clients = await redis.command("CLIENT LIST")
    return sum(each["name"] == "worker" for each in clients)


async def ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.usefixtures("pipelining")
@pytest.mark.parametrize("name", SERVERS)
async def test_each_worker_has_its_own_connections_and_heals_them(
    redis_server: RedisServer, name: str
) -> None:
    """All serve, all come back after a crash of Redis, and all end on SIGTERM."""
    async with serving(SERVERS[name], redis_server.url) as (process, http):
        await eventually(lambda: ready(http), PATIENCE)

        async def all_are_connected() -> bool:
            return await connected(redis_server) == WORKERS

        await eventually(all_are_connected, PATIENCE)
        hits = [(await http.post("/hits/a")).json()["hits"] for _ in range(10)]
        await redis_server.restart(crash=True)
        again = [(await http.post("/hits/b")).status_code for _ in range(10)]
        await eventually(all_are_connected, PATIENCE)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()

        assert hits == list(range(1, 11))
        assert set(again) == {200}
        assert process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in output.decode()
        assert await connected(redis_server) == 0


@needs("ACL", redis="6.0")
async def test_a_token_is_asked_for_at_each_connect(redis_server: RedisServer) -> None:
    await redis_server.command("ACL", "SETUSER", "app", "on", ">token-of-app", "~*", "+@all")
    await redis_server.command("ACL", "SETUSER", "default", "resetpass", ">closed")
    redis_server.password = "closed"
    arguments = ("-m", "uvicorn", "iam_token:app", "--port", "{port}")
    place = f"redis://{redis_server.host}:{redis_server.port}"
    async with serving(arguments, place) as (_, http):
        await eventually(lambda: ready(http), PATIENCE)
        first = (await http.post("/hits/a")).json()
        await redis_server.command("CLIENT", "KILL", "USER", "app")
        second = (await http.post("/hits/a")).json()

    assert [first, second] == [{"hits": 1}, {"hits": 2}]


def test_the_page_names_settings_that_exist() -> None:
    known = {canonical("REDIS_", path) for path in setting_paths(RedisSettings)}
    named = set(re.findall(r"\bREDIS_[A-Z_]+[A-Z]\b", PAGE))

    assert named - known <= {"REDIS_CACHE_SERVICE_HOST", "REDIS_CACHE_PORT"}


def test_the_page_starts_workers_as_the_tests_do() -> None:
    assert "uvicorn app:app --workers 4 --timeout-graceful-shutdown 10" in PAGE
    assert "--worker-class uvicorn_worker.UvicornWorker --graceful-timeout 20" in PAGE


def test_the_page_s_reasons_are_those_that_are_given() -> None:
    words = (ROOT / "redis_manager_fastapi" / "topology" / "failures.py").read_text()
    joined = re.sub(r'"\s+"', "", words)
    reasons = re.findall(r"^\| `(the server[^`]+)`", PAGE, re.MULTILINE)

    assert len(reasons) == 5
    assert [reason for reason in reasons if reason not in joined] == []
