"""The faults, by their row: what happens to the server or to the path, and for how long."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio

from redis_manager_fastapi.testing import FaultProxy, RedisServer

PASSWORD = "secret"  # noqa: S105 (of a server that lives for seconds)
KILL = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a fault happens."""

    server: RedisServer
    proxy: FaultProxy
    client: redis.asyncio.Redis


@dataclass(frozen=True, slots=True)
class Row:
    """A fault.

    Attributes:
        number: Its row in the fault list.
        title: What happens.
        make: Makes it, and returns when it is over.
        rate: Calls per second meanwhile.
        directives: What the server is started with.
    """

    number: str
    title: str
    make: Callable[[Stage], Awaitable[None]]
    rate: float = 100.0
    directives: Mapping[str, Any] = field(default_factory=dict)


async def _down(stage: Stage, seconds: float) -> None:
    await stage.proxy.refuse()
    await stage.server.kill()
    await asyncio.sleep(seconds)
    await stage.server.start()
    await stage.proxy.pass_through()


async def _kill(stage: Stage) -> None:
    await _down(stage, 3.0)


async def _restart(stage: Stage) -> None:
    await _down(stage, 1.0)


async def _stop(stage: Stage) -> None:
    stage.server.pause()
    await asyncio.sleep(3.0)
    stage.server.resume()


async def _black_hole(stage: Stage) -> None:
    await stage.proxy.black_hole()
    await asyncio.sleep(3.0)
    await stage.proxy.pass_through()


async def _replies_lost(stage: Stage) -> None:
    await stage.proxy.black_hole(to_server=False)
    await asyncio.sleep(3.0)
    await stage.proxy.pass_through()


async def _resets(stage: Stage) -> None:
    random_ = random.Random(9)  # noqa: S311 (a schedule)
    for _ in range(10):
        await stage.proxy.reset_at(random_.randrange(200), once=True)
        await asyncio.sleep(0.2)
    await stage.proxy.pass_through()


async def _half_close(stage: Stage) -> None:
    await stage.proxy.half_close()


async def _drip(stage: Stage) -> None:
    await stage.proxy.drip(direction="to_client")
    await asyncio.sleep(2.0)
    await stage.proxy.pass_through()


async def _large_write(stage: Stage) -> None:
    stage.server.pause()
    writing = asyncio.ensure_future(stage.client.set("big", b"x" * 16_000_000))
    await asyncio.sleep(3.0)
    stage.server.resume()
    await asyncio.gather(writing, return_exceptions=True)


async def _maxclients(stage: Stage) -> None:
    async with stage.server.client() as admin:
        await admin.config_set("maxclients", 1)
        await admin.execute_command(*KILL)
        await asyncio.sleep(1.0)
        await admin.config_set("maxclients", 1000)


async def _out_of_memory(stage: Stage) -> None:
    await stage.server.config_set("maxmemory", 1)
    await asyncio.sleep(1.0)
    await stage.server.config_set("maxmemory", 0)


async def _demote(stage: Stage) -> None:
    async with stage.server.client() as admin:
        await admin.execute_command("REPLICAOF", "127.0.0.1", 1)
        await asyncio.sleep(1.0)
        await admin.execute_command("REPLICAOF", "NO", "ONE")


async def _busy(stage: Stage) -> None:
    await stage.server.config_set("lua-time-limit", 50)
    async with stage.server.client() as admin:
        looping = asyncio.ensure_future(admin.execute_command("EVAL", "while true do end", 0))
        await asyncio.sleep(1.5)
        await stage.server.command("SCRIPT", "KILL")
        await asyncio.gather(looping, return_exceptions=True)


async def _wrong_password(stage: Stage) -> None:
    async with stage.server.client() as admin:
        await admin.config_set("requirepass", "another")
        await admin.execute_command(*KILL)
        await asyncio.sleep(1.0)
        await admin.config_set("requirepass", PASSWORD)


async def _client_kill(stage: Stage) -> None:
    async with stage.server.client() as admin:
        for _ in range(5):
            await admin.execute_command(*KILL)
            await asyncio.sleep(0.2)


async def _pause(stage: Stage) -> None:
    await stage.server.command("CLIENT", "PAUSE", 3000, "ALL")
    await asyncio.sleep(3.0)


async def _idle(stage: Stage) -> None:
    await stage.server.config_set("timeout", 1)
    await asyncio.sleep(8.0)


async def _stall(stage: Stage) -> None:
    time.sleep(3.0)  # noqa: ASYNC251 (the fault)


_DURABLE = {"appendonly": "yes", "appendfsync": "no"}

ROWS = [
    Row("3, 4", "kill -9 under load, 3 s down", _kill, directives=_DURABLE),
    Row("5", "restart of 1 s under load", _restart, directives=_DURABLE),
    Row("6", "SIGSTOP for 3 s", _stop),
    Row("7", "black hole for 3 s", _black_hole),
    Row("8", "replies lost for 3 s", _replies_lost),
    Row("9", "10 resets at random bytes in 2 s", _resets),
    Row("10", "half-close by the server", _half_close),
    Row("11", "1 byte per 100 ms for 2 s", _drip),
    Row("13", "16 MB write to a stopped server, 3 s", _large_write),
    Row("14", "maxclients reached for 1 s", _maxclients),
    Row("15", "out of memory for 1 s", _out_of_memory),
    Row("16", "demoted to replica for 1 s", _demote),
    Row("17", "busy script for 1.5 s", _busy),
    Row("18", "password refused for 1 s", _wrong_password),
    Row("23", "CLIENT KILL, 5 times in 1 s", _client_kill),
    Row("24", "CLIENT PAUSE for 3 s", _pause),
    Row("25", "server timeout 1, a call every 2 s", _idle, rate=0.5),
    Row("33", "event loop stalled for 3 s", _stall),
]
