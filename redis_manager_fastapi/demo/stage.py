"""What can be done to the demo's Redis: a button for each, by what the topology has."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from redis.asyncio import Redis as Client
from redis.exceptions import RedisError

from redis_manager_fastapi.demo.load import KEY
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import SLOTS, ClusterDeployment, move_slot
from redis_manager_fastapi.testing.proxy import FaultProxy
from redis_manager_fastapi.testing.sentinel import SentinelDeployment

Redis = RedisServer | SentinelDeployment | ClusterDeployment

_DURABLE = {"appendonly": "yes", "appendfsync": "always"}  # the counts survive kill -9
_LASTING = {"kill", "pause", "fill", "cut", "slow"}
_ROOM = 10_000
_SLOTS_MOVED = 50
_SLOW = 0.15


class Act(NamedTuple):
    """Something to do to Redis.

    Attributes:
        label: The button's.
        does: What it does, for who asks.
        run: Does it.
    """

    label: str
    does: str
    run: Callable[[], Awaitable[None]]


class Stage:
    """A Redis that can be broken, and everything that there is to break.

    Attributes:
        redis: The servers.
        acts: What can be done, by name.
        broken: The names of the acts whose fault lasts.
        failure: Why the last act could not be done; empty if it was.
    """

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.acts: dict[str, Act] = {}
        self.broken: set[str] = set()
        self.failure = ""
        self._proxy: FaultProxy | None = None
        self._busy = asyncio.Lock()
        self._last_place: Client | None = None

    @classmethod
    def of(cls, kind: str) -> "Stage":
        """Make one of `standalone`, `sentinel` or `cluster`; nothing is started yet."""
        if kind == "sentinel":
            return cls(SentinelDeployment())
        return cls(ClusterDeployment() if kind == "cluster" else RedisServer(_DURABLE))

    @property
    def url(self) -> str:
        """Where the app finds Redis."""
        if self._proxy is not None:
            return self._proxy.url
        return self.redis.url

    @property
    def members(self) -> dict[str, RedisServer]:
        """Every process, under the name of what it starts as."""
        if isinstance(self.redis, RedisServer):
            return {"server": self.redis}
        return self.redis.members

    async def __aenter__(self) -> "Stage":
        await self.redis.__aenter__()
        if isinstance(self.redis, RedisServer):
            self._proxy = FaultProxy(self.redis.host, self.redis.port)
            await self._proxy.start()
        self._set_acts()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._make_room()
        if self._proxy is not None:
            await self._proxy.aclose()
        await self.redis.aclose()

    async def do(self, name: str) -> None:
        """Do what the button of that name says, one after another."""
        async with self._busy:
            self.failure = ""
            self.broken.add(name)
            try:
                await self.acts[name].run()
            except LookupError as error:
                self._note_failure(name, str(error))
            except (RedisError, OSError, TimeoutError):
                self._note_failure(name, "the server does not answer")
            if name not in _LASTING:
                self.broken.discard(name)

    def _note_failure(self, name: str, reason: str) -> None:
        self.failure = f"{self.acts[name].label}: {reason}"
        self.broken.discard(name)

    def alive(self) -> dict[str, bool]:
        """Return which processes run."""
        return {name: each.running for name, each in self.members.items()}

    def report(self) -> dict[str, Any]:
        """Return what is broken, as values that JSON has."""
        return {"alive": self.alive(), "broken": sorted(self.broken), "failure": self.failure}

    def _set_acts(self) -> None:
        primary = "a primary" if len(self.members) > 1 else "the server"
        self.acts = {
            "kill": Act("Kill", f"kill -9 {primary}", self._kill),
            "restart": Act("Restore", "undo every fault", self.start_again),
            "outage_1": Act("1 s outage", f"{primary} killed", self._outage(1)),
            "outage_5": Act("5 s outage", f"{primary} killed", self._outage(5)),
            "pause": Act("Freeze", f"{primary} hangs", self._pause),
            "fill": Act("Fill to maxclients", "nobody gets in", self._fill),
        }
        if self._proxy is not None:
            self.acts["cut"] = Act("Cut the network", "packets get lost", self._cut)
            self.acts["slow"] = Act("Slow it down", f"{_SLOW * 1000:.0f} ms each way", self._slow)
        if isinstance(self.redis, SentinelDeployment):
            self.acts["failover"] = Act("Fail over", "a replica takes over", self.redis.failover)
        if isinstance(self.redis, ClusterDeployment):
            self.acts["failover"] = Act("Fail over", "a replica takes over", self._fail_over)
            moves = f"{_SLOTS_MOVED} to another shard"
            self.acts["move"] = Act("Move slots", moves, self._move)

    # The acts.

    async def start_again(self) -> None:
        """Start what does not run, let what is frozen go on, and end every fault."""
        if self._proxy is not None:
            await self._proxy.pass_through()
        for server in self.members.values():
            if server.running:
                server.resume()
            else:
                await server.start()
        await self._make_room()
        self.broken.clear()

    async def _make_room(self) -> None:
        last, self._last_place = self._last_place, None
        if last is not None:
            with suppress(RedisError, OSError):
                await last.config_set("maxclients", _ROOM)
            await last.aclose()

    def _outage(self, seconds: float) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            await self._kill()
            await asyncio.sleep(seconds)
            await self.start_again()

        return act

    async def _kill(self) -> None:
        await (await self._primary()).kill()
        if self._proxy is not None:
            await self._proxy.refuse(cut=True)  # as the server's own port would

    async def _pause(self) -> None:
        (await self._primary()).pause()

    async def _fill(self) -> None:
        if self._last_place is not None:
            return
        # Kept open: it has the last place, and gives the others back.
        self._last_place = (await self._primary()).client(timeout=1.0)
        await self._last_place.config_set("maxclients", 1)
        await self._last_place.client_kill_filter(_type="normal", skipme=True)

    async def _cut(self) -> None:
        if self._proxy is not None:
            await self._proxy.black_hole()

    async def _slow(self) -> None:
        if self._proxy is not None:
            await self._proxy.delay(to_server=_SLOW, to_client=_SLOW)

    async def _fail_over(self) -> None:
        primary = await self._primary()
        async with primary.client() as client:
            ports = {int(replica[1]) for replica in (await client.role())[2]}
        replica = next((each for each in self._living() if each.port in ports), None)
        if replica is None:
            raise LookupError("this primary has no replica that runs")
        if isinstance(self.redis, ClusterDeployment):
            await self.redis.failover(replica)

    async def _move(self) -> None:
        source = await self._primary()
        primaries = [each for each in self._living() if await _is_primary(each)]
        target = next((each for each in primaries if each is not source), None)
        if target is None:
            raise LookupError("no other primary runs")
        first = await self._slot(source)
        for slot in range(first, min(first + _SLOTS_MOVED, SLOTS)):
            if await _owner(source, slot) == source.port:
                await move_slot(slot, source, target)

    async def _primary(self) -> RedisServer:
        """The server to break: the primary, in a Cluster the one that counts the visits."""
        port = 0
        for server in self._living():
            with suppress(RedisError, OSError, TimeoutError):
                if not isinstance(self.redis, ClusterDeployment):
                    if await _is_primary(server):
                        return server
                elif port := await _owner(server, await self._slot(server)):
                    break
        servers = self.members.values()
        return next((each for each in servers if each.port == port), next(iter(servers)))

    async def _slot(self, server: RedisServer) -> int:
        return int(await server.command("CLUSTER", "KEYSLOT", KEY, timeout=1.0))

    def _living(self) -> list[RedisServer]:
        servers = self.members.items()
        return [each for name, each in servers if each.running and "sentinel" not in name]


async def _is_primary(server: RedisServer) -> bool:
    try:
        role = await server.command("ROLE", timeout=1.0)
    except (RedisError, OSError, TimeoutError):
        return False
    return bool(role[0] == "master")


async def _owner(server: RedisServer, slot: int) -> int:
    """The port of the primary that has *slot*, as *server* sees it; 0 if none has."""
    slots = await server.command("CLUSTER", "SLOTS", timeout=1.0)
    return next((port for a, b, (_, port, *_), *_ in slots if a <= slot <= b), 0)
