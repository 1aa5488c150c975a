"""What happens to a deployment while it is read: to its network, its servers and its topology."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from benchmarks.staleness.grounds import Ground, Sharded, Watched
from benchmarks.staleness.reading import Readers
from benchmarks.staleness.writing import FAILURES
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import begin_move, end_move, migrate, node_id
from tests.kit.lanes import shared_ports, tracked_ports

CHANCE = random.Random()  # noqa: S311 (a load, no secret)
DIRECTIONS = ((True, True), (False, True), (True, False))
SILENT = ", its tracked connection silent"

Fault = Callable[[RedisServer], Awaitable[None]]


class Faults:
    """Faults in a random order, each at a random server that serves one of the keys.

    Those of servers and of the topology are made when everything is as it was before the last
    one, and every third of them behind a tracked connection that is silent; those of the network
    are made at any time.

    Attributes:
        unmade: Those that could not be made, or not to their end, and why.
    """

    def __init__(self, ground: Ground, readers: Iterable[Readers]) -> None:
        self.unmade: Counter[str] = Counter()
        self._ground, self._readers = ground, tuple(readers)
        self._network: dict[str, Fault] = {
            "connections reset": self._reset,
            "tracked connection killed": self._kill_tracked,
            "tracked connection silent": partial(self._silence, tracked=True),
            "shared connections silent": partial(self._silence, shared=True),
            "both silent": partial(self._silence, tracked=True, shared=True),
            "server unreachable": self._swallow,
        }
        self._server: dict[str, Fault] = {"killed, back soon": self._restart, "stopped": self._stop}
        if isinstance(ground, Watched):
            self._server |= _of_sentinels(ground)
        if isinstance(ground, Sharded):
            self._server |= _of_a_cluster(ground)

    async def run(self, seconds: float) -> None:
        """Break things for so long, and wait until they are whole again."""
        whole = asyncio.create_task(self._ground.whole())
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            await asyncio.sleep(CHANCE.uniform(0.5, 2.5))
            server = CHANCE.choice(self._ground.writers).server
            if whole.done() and CHANCE.random() < 0.5:
                whole.result()
                await self._make(self._server, server, silent=CHANCE.random() < 1 / 3)
                whole = asyncio.create_task(self._ground.whole())
            else:
                await self._make(self._network, server)
        await whole

    async def _make(
        self, faults: dict[str, Fault], server: RedisServer, *, silent: bool = False
    ) -> None:
        name, fault = CHANCE.choice(list(faults.items()))
        proxy = self._ground.proxy(server)
        for each in self._readers:
            each.breaks(name + SILENT * silent)
        if silent:
            await proxy.black_hole_on(tracked_ports(self._ground.manager, proxy.port))
        try:
            await fault(server)
        except FAILURES as error:  # such as a server that is just being replaced
            self.unmade[f"{name}: {error!r:.80}"] += 1
        await proxy.pass_through()

    async def _reset(self, server: RedisServer) -> None:
        await self._ground.proxy(server).reset()

    async def _kill_tracked(self, server: RedisServer) -> None:
        async with server.client() as client:
            for each in await client.client_list():
                if "t" in each["flags"]:
                    await client.client_kill_filter(_id=each["id"])

    async def _silence(
        self, server: RedisServer, *, tracked: bool = False, shared: bool = False
    ) -> None:
        """Swallow what passes on connections that are open, in one direction or both."""
        manager, proxy = self._ground.manager, self._ground.proxy(server)
        ports = tracked_ports(manager, proxy.port) if tracked else []
        ports += shared_ports(manager, proxy.port) if shared else []
        to_server, to_client = CHANCE.choice(DIRECTIONS)
        await proxy.black_hole_on(ports, to_server=to_server, to_client=to_client)
        await asyncio.sleep(CHANCE.uniform(0.1, 2.5))

    async def _swallow(self, server: RedisServer) -> None:
        """Swallow everything, on connections to come as well, in one direction or both."""
        to_server, to_client = CHANCE.choice(DIRECTIONS)
        await self._ground.proxy(server).black_hole(to_server=to_server, to_client=to_client)
        await asyncio.sleep(CHANCE.uniform(0.1, 2.5))

    async def _restart(self, server: RedisServer) -> None:
        """Kill it; what it had is gone, unless a replica takes over."""
        await server.restart(CHANCE.uniform(0, 0.5), crash=True)

    async def _stop(self, server: RedisServer) -> None:
        server.pause()
        await asyncio.sleep(CHANCE.uniform(0.1, 2.0))
        server.resume()


def _of_sentinels(ground: Watched) -> dict[str, Fault]:
    async def fail_over(server: RedisServer) -> None:
        """The old primary goes on serving until the Sentinels have it follow the new one."""
        await ground.deployment.failover()
        await ground.deployment.elected(server)

    async def replace_killed(server: RedisServer) -> None:
        await server.kill()
        await ground.deployment.elected(server)
        await server.start()

    async def replace_stopped(server: RedisServer) -> None:
        server.pause()
        await ground.deployment.elected(server)
        await asyncio.sleep(CHANCE.uniform(0, 1))
        server.resume()

    return {
        "SENTINEL FAILOVER": fail_over,
        "killed, fail-over": replace_killed,
        "stopped, fail-over": replace_stopped,
    }


def _of_a_cluster(ground: Sharded) -> dict[str, Fault]:
    async def fail_over(server: RedisServer) -> None:
        await ground.deployment.failover(ground.replica_of(server))

    async def replace_killed(server: RedisServer) -> None:
        await server.kill()
        await ground.deployment.promoted(ground.replica_of(server))
        await server.start()

    async def replace_stopped(server: RedisServer) -> None:
        server.pause()
        await ground.deployment.promoted(ground.replica_of(server), without=server)
        await asyncio.sleep(CHANCE.uniform(0, 1))
        server.resume()

    async def move_slot(_: RedisServer, *, made_meanwhile: bool = False) -> None:
        """Move it while its key is written and read, or made where the slot moves to."""
        writer, source = ground.moving, ground.moving.server
        target = await ground.elsewhere(writer)
        slot, names = slot_of(writer.key), (await node_id(source), await node_id(target))
        writer.absent = made_meanwhile
        async with source.client() as old, target.client() as new:
            await asyncio.sleep(CHANCE.uniform(0.1, 1))
            await begin_move(slot, old, new, names)
            writer.absent = False
            await asyncio.sleep(CHANCE.uniform(0, 2))
            await migrate(old, target, [writer.key])
            await asyncio.sleep(CHANCE.uniform(0, 1))
            await end_move(slot, old, new, names)

    return {
        "CLUSTER FAILOVER": fail_over,
        "killed, fail-over": replace_killed,
        "stopped, fail-over": replace_stopped,
        "slot moved": move_slot,
        "slot moved, its key made meanwhile": partial(move_slot, made_meanwhile=True),
    }
