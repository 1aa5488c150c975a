"""`scripts/causes`: what keeps a reply away, made again and again, and what the error says of it.

Each fault is made on a connection of its own, for a command that shares it and for one that
has it to itself in turn, and as a timeout and as a lost reply in turn.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from redis_manager_fastapi import (
    Cause,
    CommandTimeoutError,
    RedisManager,
    ReplyLostError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer

HEALTH: Any = {"interval": 0.1, "timeout": 0.15, "backoff_base": 0.02, "backoff_cap": 0.1}
SHORT, LONG, CONNECT = 0.45, 1.2, 0.3
LARGE = 8_000_000

Blamed = CommandTimeoutError | ReplyLostError
"""The errors that name a cause."""


@dataclass(frozen=True)
class Scene:
    """Where a fault is made.

    Attributes:
        server: The server.
        proxy: The network before it.
        manager: What suffers.
        number: How often the fault was made before.
    """

    server: RedisServer
    proxy: FaultProxy
    manager: RedisManager
    number: int

    @property
    def client(self) -> Any:
        """A client whose time is shorter, or longer, than a probe takes, on either connection."""
        dedicated = bool(self.number // 2 % 2)
        return self.manager.redis.with_options(
            timeout=LONG if self.number % 2 else SHORT, dedicated=dedicated
        )

    async def write(self) -> Blamed:
        """Write, in vain; return what the caller is told."""
        return await told(self.client.set("key", "value"))


async def told(command: Any) -> Blamed:
    """Return the error that a command ends with."""
    try:
        reply = await command
    except (CommandTimeoutError, ReplyLostError) as error:
        return error
    raise AssertionError(f"answered: {reply!r:.80}")


async def stopped(scene: Scene) -> Blamed:
    """The server is stopped."""
    scene.server.pause()
    try:
        return await scene.write()
    finally:
        scene.server.resume()


async def busy(scene: Scene) -> Blamed:
    """The server is busy with another caller's slow command."""
    admin = scene.server.client()
    asleep = asyncio.create_task(admin.execute_command("DEBUG", "SLEEP", str(LONG + 0.3)))
    await asyncio.sleep(0.05)
    try:
        return await scene.write()
    finally:
        await asleep
        await admin.aclose()


async def black_hole(scene: Scene) -> Blamed:
    """Nothing passes: neither bytes nor acknowledgements, on old and on new connections."""
    await scene.proxy.unplug()
    return await scene.write()


async def one_way(scene: Scene) -> Blamed:
    """What is written arrives, but no reply does, and no connection is made."""
    await scene.proxy.black_hole(to_server=False, new=False)
    await scene.proxy.unplug(existing=False)
    return await scene.write()


async def blocked(scene: Scene) -> Blamed:
    """This process blocks its event loop, twice, before a reply from far away has come."""
    await scene.proxy.delay(to_client=2 * LONG)
    command = asyncio.ensure_future(scene.write())
    await asyncio.sleep(0)
    block_the_loop(LONG + 0.1)
    await asyncio.sleep(0.01)
    block_the_loop(0.3)
    return await command


def block_the_loop(seconds: float) -> None:
    """Do what a route must not do."""
    time.sleep(seconds)


async def queued(scene: Scene) -> Blamed:
    """More commands than fit into the connection, over a slow network."""
    await scene.proxy.delay(to_client=0.15)
    client = scene.manager.redis.with_options(timeout=SHORT)
    commands = [asyncio.ensure_future(client.incr("counter")) for _ in range(40)]
    try:
        return await told(commands[-1])
    finally:
        await asyncio.gather(*commands, return_exceptions=True)


async def large_reply(scene: Scene) -> Blamed:
    """A reply of 8 MB at 5 MB/s."""
    await scene.server.command("SETRANGE", "large", str(LARGE), "x")
    await scene.proxy.drip(50_000, 0.01, direction="to_client")
    client = scene.manager.redis.with_options(timeout=SHORT, dedicated=bool(scene.number // 2 % 2))
    return await told(client.get("large"))


async def killed(scene: Scene) -> Blamed:
    """The connection is reset, or closed by the server, with a command in flight."""
    await scene.proxy.delay(to_client=LONG)
    command = asyncio.ensure_future(scene.write())
    await asyncio.sleep(0.05)
    if scene.number % 2:
        await scene.proxy.reset()
    else:
        await scene.proxy.half_close()
    return await command


async def paused(scene: Scene) -> Blamed:
    """The server answers everybody but those who write."""
    await scene.server.command("CLIENT", "PAUSE", str(int((LONG + 0.2) * 1000)), "WRITE")
    try:
        return await scene.write()
    finally:
        await scene.server.command("CLIENT", "UNPAUSE")


async def garbled(scene: Scene) -> Blamed:
    """What comes is no reply."""
    await scene.proxy.delay(to_client=LONG)
    command = asyncio.ensure_future(scene.write())
    await asyncio.sleep(0.05)
    await scene.proxy.inject(b"?\r\n")
    return await command


Fault = Callable[[Scene], Awaitable[Blamed]]

FAULTS: dict[str, tuple[Fault, Cause, dict[str, Any]]] = {
    "server stopped": (stopped, Cause.SERVER_SILENT, {}),
    "server busy": (busy, Cause.SERVER_SILENT, {}),
    "black hole": (black_hole, Cause.NETWORK_SILENT, {}),
    "one-way black hole": (one_way, Cause.NETWORK_SILENT, {}),
    "loop blocked": (blocked, Cause.LOOP_BLOCKED, {}),
    "queued": (queued, Cause.QUEUED, {"pipelining": {"max_in_flight": 2, "enabled": True}}),
    "large reply": (large_reply, Cause.LARGE_REPLY, {}),
    "killed": (killed, Cause.CONNECTION_LOST, {}),
    "writes paused": (paused, Cause.COMMAND_SLOW, {}),
    "garbled": (garbled, Cause.BAD_REPLY, {}),
}


async def suffer(server: RedisServer, proxy: FaultProxy, name: str, number: int) -> Blamed:
    """Make a fault for a fresh manager; return what its caller was told."""
    fault, _, settings = FAULTS[name]
    defaults: dict[str, Any] = {"pipelining": {"enabled": True}}
    async with RedisManager(
        url=proxy.url,
        health=HEALTH,
        timeout={"command": LONG, "connect": CONNECT},
        **{**defaults, **settings},
    ) as manager:
        scene = Scene(server, proxy, manager, number)
        await scene.client.set("key", "value")
        try:
            return await fault(scene)
        finally:
            await proxy.pass_through()


async def measure(names: list[str], times: int) -> bool:
    """Make each fault so many times; print how often its cause was named, and return whether."""
    good = True
    async with RedisServer() as server, FaultProxy(server.host, server.port) as proxy:
        for name in names:
            expected, said, stacks = FAULTS[name][1], Counter[str](), 0
            for number in range(times):
                error = await suffer(server, proxy, name, number)
                said[f"{error.cause} ({type(error).__name__})"] += 1
                stacks += "block_the_loop" in getattr(error, "blocked_at", "")
            right = sum(n for cause, n in said.items() if cause.startswith(f"{expected} "))
            good = good and right >= 0.95 * times
            rest = f", {stacks} stacks seen" if stacks else ""
            sys.stdout.write(f"{name:20}{right:4} of {times} right: {dict(said)}{rest}\n")
            sys.stdout.flush()
    return good


def main() -> None:
    """Measure what the command line asks for; fail where a cause is named right too seldom."""
    logging.disable()
    parser = argparse.ArgumentParser(prog="scripts/causes", description=__doc__)
    parser.add_argument("times", type=int, nargs="?", default=50, help="default: 50")
    parser.add_argument("--only", choices=FAULTS, action="append", help="that fault alone")
    arguments = parser.parse_args()
    sys.exit(not asyncio.run(measure(arguments.only or list(FAULTS), arguments.times)))


if __name__ == "__main__":
    main()
