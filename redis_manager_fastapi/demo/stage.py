"""What can be done to the demo's Redis: a button for each, by what the topology has."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, NamedTuple

from redis.asyncio import Redis as Client
from redis.exceptions import RedisError

from redis_manager_fastapi.demo.load import KEY
from redis_manager_fastapi.demo.looks import (
    has_all,
    is_failed,
    is_primary,
    named_primary,
    owner_of,
    primary_is_missed,
    serves,
    set_clients,
    told_to_fail_over,
)
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import SLOTS, ClusterDeployment, move_slot
from redis_manager_fastapi.testing.proxy import FaultProxy
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from redis_manager_fastapi.testing.server import Directive

Redis = RedisServer | SentinelDeployment | ClusterDeployment

RESTORE = "restart"
"""The act that ends all others."""

_DURABLE: dict[str, Directive] = {"appendonly": "yes", "appendfsync": "always"}  # over kill -9
_LASTING = {"kill", "pause", "fill", "cut", "slow"}
_ROOM = 10_000
_SLOTS_MOVED = 50
_SLOW = 0.15
_MAKES_ROOM = 3.0
_TICK = 0.02

# Seconds within which others hear that a server is back, and a replica takes over.
_HEARD = 10.0
_TAKES_OVER = 5.0
_CATCHES_UP = 10.0


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
        doing: The name of the act that is being done; empty between acts.
        failure: Why the last act could not be done; empty if it was.
    """

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.acts: dict[str, Act] = {}
        self.broken: set[str] = set()
        self.doing = self.failure = ""
        self._proxy: FaultProxy | None = None
        self._task: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()
        self._fallen: list[RedisServer] = []  # killed or frozen, in this order
        self._tight: list[RedisServer] = []  # may take no more clients, whatever was answered
        self._back: list[RedisServer] = []  # may not know yet that another took its place
        self._behind: list[RedisServer] = []  # what Restore or a fail-over waits for
        self._full: RedisServer | None = None
        self._last_place: Client | None = None

    @classmethod
    def of(cls, kind: str) -> "Stage":
        """Make one of `standalone`, `sentinel` or `cluster`; nothing is started yet."""
        if kind == "sentinel":
            return cls(SentinelDeployment(directives=_DURABLE))
        if kind == "cluster":
            return cls(ClusterDeployment(directives=_DURABLE))
        return cls(RedisServer(_DURABLE))

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
        self._enough.set()
        if self._task is not None:
            await asyncio.wait({self._task})
        await self._leave()
        if self._proxy is not None:
            await self._proxy.aclose()
        await self.redis.aclose()

    def begin(self, name: str) -> bool:
        """Do what the button of that name says; return False if there is a `refusal`.

        Restore waits for nothing: it cuts short what is being done.
        """
        if self.refusal(name):
            return False
        before, self.doing, self.failure = self._task, name, ""
        if name == RESTORE:
            self._enough.set()
        self._task = asyncio.create_task(self._do(name, before))
        return True

    def refusal(self, name: str) -> str:
        """Why that cannot be done now; empty if it can."""
        reason = ""
        if self.doing and (name != RESTORE or self.doing == RESTORE):
            reason = "something else is being done"
        elif name == "fill" and "cut" in self.broken:
            reason = "the server is cut off"
        elif name == "fill" and not self._answering():
            reason = "no server answers"
        return f"{self.acts[name].label}: {reason}" if reason else ""

    async def do(self, name: str) -> None:
        """Do the same, and return when it is done."""
        self.begin(name)
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _do(self, name: str, before: asyncio.Task[None] | None) -> None:
        try:
            if before is not None:
                await asyncio.wait({before})
            self._enough.clear()
            await self.acts[name].run()
        except LookupError as error:
            self._note_failure(name, str(error))
        except (RedisError, OSError):
            self._note_failure(name, "the server does not answer")
        except RuntimeError as error:  # a server did not start
            self._note_failure(name, str(error).partition(";")[0])
        else:
            self.broken |= {name} & _LASTING
        finally:
            if self.doing == name:
                self.doing = ""

    def _note_failure(self, name: str, reason: str) -> None:
        self.failure = f"{self.acts[name].label}: {reason}"

    def alive(self) -> dict[str, bool]:
        """Return which processes run."""
        return {name: each.running for name, each in self.members.items()}

    def report(self) -> dict[str, Any]:
        """Return what is broken, as values that JSON has."""
        return {
            "members": {name: self._state(each) for name, each in self.members.items()},
            "broken": sorted(self.broken),
            "doing": self.doing,
            "failure": self.failure,
        }

    def _state(self, server: RedisServer) -> str:
        """What is wrong with a process, in words; empty if nothing is."""
        if not server.running:
            return "Down"
        if server in self._fallen:
            return "Frozen"
        if "cut" in self.broken:
            return "Cut off"
        if server is self._full:
            return "Full"
        if server in self._behind:
            return "Catching up"
        return "Slow" if "slow" in self.broken else ""

    def _set_acts(self) -> None:
        primary = "a primary" if len(self.members) > 1 else "the server"
        self.acts = {
            "kill": Act("Kill", f"kill -9 {primary}", self._kill),
            "restart": Act("Restore", "undo every fault", self.start_again),
            "outage_1": Act("1 s outage", f"{primary} killed", self._outage(1)),
            "outage_5": Act("5 s outage", f"{primary} killed", self._outage(5)),
            "pause": Act("Freeze", f"{primary} hangs", self._pause),
            "fill": Act("Fill it up", "maxclients is reached", self._fill),
        }
        if self._proxy is not None:
            self.acts["cut"] = Act("Cut the network", "packets get lost", self._cut)
            self.acts["slow"] = Act("Slow it down", f"{_SLOW * 1000:.0f} ms each way", self._slow)
        if isinstance(self.redis, SentinelDeployment):
            self.acts["failover"] = Act("Fail over", "a replica takes over", self._promote)
        if isinstance(self.redis, ClusterDeployment):
            self.acts["failover"] = Act("Fail over", "a replica takes over", self._fail_over)
            moves = f"{_SLOTS_MOVED} to another shard"
            self.acts["move"] = Act("Move slots", moves, self._move)

    # The acts.

    async def start_again(self) -> None:
        """Start what does not run, let what is frozen go on, and end every fault.

        What fell last comes back first: it has what the others, which fell before, lack.
        """
        everything = [*self._sentinels(), *reversed(self._fallen), *self.members.values()]
        for server in everything:
            if server.running:
                server.resume()
            else:
                await server.start()
            if server in self._fallen:
                self._fallen.remove(server)
                self._back.append(server)
                await self._heard_of(server)
        await self._make_room()
        if self._proxy is not None:  # only now: before, it would accept for a server that is away
            await self._proxy.pass_through()
        self.broken.clear()
        await self._catch_up()

    async def _heard_of(self, server: RedisServer) -> None:
        """Wait until the others know that it is back, so that nobody takes its place."""
        if isinstance(self.redis, RedisServer):
            return
        missed, judges = is_failed, self._answering()
        if isinstance(self.redis, SentinelDeployment):
            missed = primary_is_missed
            judges = [each for each in self.redis.sentinels if each.running]
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEARD):
                while any([await missed(server, by) for by in judges]):  # noqa: ASYNC110
                    await asyncio.sleep(_TICK)

    async def _catch_up(self) -> None:
        """Wait until each server could take over without loss, and a Cluster serves everywhere."""
        try:
            async with asyncio.timeout(_CATCHES_UP):
                while behind := await self._lagging():
                    if self._enough.is_set():  # Restore goes on with it
                        return
                    self._behind = behind
                    await asyncio.sleep(_TICK)
        except TimeoutError:
            late = ", ".join(name for name, each in self.members.items() if each in self._behind)
            raise LookupError(f"{late or 'a server'} has not caught up") from None
        finally:
            self._behind = []
        self._back.clear()

    async def _lagging(self) -> list[RedisServer]:
        servers = self._answering()
        if isinstance(self.redis, ClusterDeployment):
            return [each for each in servers if not await serves(each)]
        if isinstance(self.redis, SentinelDeployment):
            return await self._behind_primary(self.redis, servers)
        return []

    async def _behind_primary(
        self, redis: SentinelDeployment, servers: list[RedisServer]
    ) -> list[RedisServer]:
        primary = await named_primary(redis)
        if primary is self._full or not self._answers(primary):
            return []  # there is nothing to catch up with
        replicas = [each for each in servers if each is not primary]
        if not await is_primary(primary):
            return replicas
        for each in replicas:
            # The Sentinels would say so only after eight seconds.
            if each in self._back and await is_primary(each):
                await each.command("REPLICAOF", primary.host, primary.port, timeout=1.0)
        offset = (await primary.command("INFO", "replication", timeout=1.0))["master_repl_offset"]
        return [each for each in replicas if not await has_all(each, primary, int(offset))]

    async def _make_room(self) -> None:
        """Have what was filled take clients again; what refuses that is restarted."""
        while self._tight:
            server = self._tight[-1]
            if not await self._takes_clients(server):
                await server.restart()
            self._tight.pop()
        await self._leave()

    async def _takes_clients(self, server: RedisServer) -> bool:
        async with AsyncExitStack() as stack:
            client = self._last_place
            if client is None or server is not self._full:
                client = await stack.enter_async_context(server.client(timeout=1.0))
            with suppress(TimeoutError):
                async with asyncio.timeout(_MAKES_ROOM):
                    while not await set_clients(client, _ROOM):  # noqa: ASYNC110
                        await asyncio.sleep(_TICK)
                    return True
        return False

    async def _leave(self) -> None:
        """Give the last place of a full server back."""
        last, self._last_place, self._full = self._last_place, None, None
        if last is not None:
            await last.aclose()

    def _outage(self, seconds: float) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            await self._kill()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._enough.wait()
            await self.start_again()

        return act

    async def _kill(self) -> None:
        server = await self._primary()
        if self._proxy is not None:  # first: afterwards it would accept for a server that is gone
            await self._proxy.refuse(cut=True)
        await server.kill()
        self._fell(server)

    async def _pause(self) -> None:
        server = await self._primary()
        server.pause()
        self._fell(server)

    def _fell(self, server: RedisServer) -> None:
        self._fallen = [each for each in self._fallen if each is not server] + [server]

    async def _fill(self) -> None:
        if self._full is not None:
            return
        server = await self._primary()
        if not self._answers(server):
            raise LookupError("the server is frozen")
        # First: what times out may wait in the socket, and be done when the server goes on.
        self._tight.append(server)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(server.client(timeout=1.0))
            await client.config_set("maxclients", 1)
            await client.client_kill_filter(_type="normal", skipme=True)
            # Kept open: it has the last place, and gives the others back.
            stack.pop_all()
        self._full, self._last_place = server, client

    async def _cut(self) -> None:
        if self._proxy is not None:
            await self._proxy.black_hole()

    async def _slow(self) -> None:
        if self._proxy is not None:
            await self._proxy.delay(to_server=_SLOW, to_client=_SLOW)

    async def _promote(self) -> None:
        if not isinstance(self.redis, SentinelDeployment):
            return
        await self._catch_up()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CATCHES_UP):
                while not await told_to_fail_over(self.redis):  # noqa: ASYNC110
                    await asyncio.sleep(_TICK)
                return
        raise LookupError("the Sentinels know of no replica that could")

    async def _fail_over(self) -> None:
        primary = await self._primary()
        async with primary.client(timeout=1.0) as client:
            ports = {int(replica[1]) for replica in (await client.role())[2]}
        replica = next((each for each in self._answering() if each.port in ports), None)
        if replica is None:
            raise LookupError("this primary has no replica that runs")
        if isinstance(self.redis, ClusterDeployment):
            async with asyncio.timeout(_TAKES_OVER):
                await self.redis.failover(replica)

    async def _move(self) -> None:
        source = await self._primary()
        primaries = [each for each in self._answering() if await is_primary(each)]
        target = next((each for each in primaries if each is not source), None)
        if target is None:
            raise LookupError("no other primary runs")
        first = await self._slot(source)
        # The visitors' own slot last: whoever learns that it has moved looks at all of them.
        for slot in reversed(range(first, min(first + _SLOTS_MOVED, SLOTS))):
            if self._enough.is_set():
                return
            if await owner_of(source, slot) == source.port:
                await move_slot(slot, source, target)

    async def _primary(self) -> RedisServer:
        """The server to break: the primary, in a Cluster the one that counts the visits."""
        if isinstance(self.redis, RedisServer):
            servers = [self.redis]
        elif isinstance(self.redis, ClusterDeployment):
            servers = await self._counting()
        else:
            servers = [each for each in self._answering() if await is_primary(each)]
        for server in [*servers, *self._answering(), *self.members.values()]:
            if server.running and server not in self._sentinels():
                return server
        raise LookupError("no server runs")

    async def _counting(self) -> list[RedisServer]:
        """The primary of the visitors' key, as the first node sees it that knows one."""
        for server in self._answering():
            with suppress(RedisError, OSError):
                port = await owner_of(server, await self._slot(server))
                if port:
                    return [each for each in self.members.values() if each.port == port]
        return []

    async def _slot(self, server: RedisServer) -> int:
        return int(await server.command("CLUSTER", "KEYSLOT", KEY, timeout=1.0))

    def _answering(self) -> list[RedisServer]:
        """The servers that run and are not frozen, without Sentinels."""
        sentinels = self._sentinels()
        return [
            each for each in self.members.values() if self._answers(each) and each not in sentinels
        ]

    def _answers(self, server: RedisServer) -> bool:
        return server.running and server not in self._fallen

    def _sentinels(self) -> list[RedisServer]:
        return self.redis.sentinels if isinstance(self.redis, SentinelDeployment) else []
