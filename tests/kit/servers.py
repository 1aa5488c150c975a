"""Which server the tests run on, what it does not have, and how some tests want it.

`REDIS_SERVER_BINARY` selects the server.  A test that an older one cannot pass
is skipped by the name of what is missing, never silently.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.binary import server_binary, server_version
from tests.kit.waiting import eventually

# Valkey began as Redis 7.2, and has what that has.
FORK = "7.2"

CERTIFICATES = Path(__file__).parent / "certificates"

MODULES = Path(__file__).parents[2] / ".venvs/servers/7.4-modules/redis-server"
"""A server with JSON and search, which `scripts/module-servers` fetches."""


def has(*, redis: str, valkey: str = FORK) -> bool:
    """Whether the server that the tests run on is *redis*, or *valkey*, or later."""
    version = server_version(server_binary())
    wanted = valkey if version.product == "valkey" else redis
    return version.number >= tuple(int(part) for part in wanted.split("."))


# Before Redis 6 the server looks `hz` times a second whether a blocking command is over.
PROMPT: dict[str, int] = {} if has(redis="6.0") else {"hz": 500}

DURABLE: dict[str, str | int] = {"appendonly": "yes", "appendfsync": "no", **PROMPT}
"""Written before each reply: what callers were told has run survives a kill of the process."""


def reason(what: str, *, redis: str, valkey: str = FORK) -> str:
    """Return the sentence that a skipped test gives."""
    other = "" if valkey == FORK else f" or Valkey {valkey}"
    return f"{what} needs Redis {redis}{other}, this is {server_version(server_binary())}"


def needs(what: str, *, redis: str, valkey: str = FORK) -> pytest.MarkDecorator:
    """Mark a test, or a parameter, that the server cannot run when it is older."""
    missing = not has(redis=redis, valkey=valkey)
    return pytest.mark.skipif(
        missing, reason=reason(what, redis=redis, valkey=valkey) if missing else ""
    )


def contexts_made(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """Return a list that each TLS context goes into which redis-py makes from now on."""
    made: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def make_and_note(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        made.append(make(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", make_and_note)
    return made


async def asked(server: RedisServer, *question: str) -> Any:
    """Ask a server whose role Sentinels may change: they have it cut its clients off then."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await server.command(*question)
            except RedisConnectionError:
                if not server.running:
                    raise


async def is_busy(server: RedisServer) -> bool:
    """Whether a script has run for longer than the server lets others wait."""
    try:
        await server.command("PING")
    except ResponseError as error:
        return str(error).startswith("BUSY")
    return False


@asynccontextmanager
async def unable_to_save(server: RedisServer) -> AsyncIterator[None]:
    """Within it the server's snapshots fail, and it says so."""
    await server.config_set("stop-writes-on-bgsave-error", "yes")
    await server.config_set("save", "3600 1")
    in_the_way = server.directory / "dump.rdb"
    in_the_way.unlink(missing_ok=True)
    in_the_way.mkdir()

    async def failed() -> bool:
        state = await server.command("INFO", "persistence")
        if state["rdb_last_bgsave_status"] != "err" and not state["rdb_bgsave_in_progress"]:
            await server.command("BGSAVE")
        return bool(state["rdb_last_bgsave_status"] == "err")

    await eventually(failed)
    try:
        yield
    finally:
        in_the_way.rmdir()
