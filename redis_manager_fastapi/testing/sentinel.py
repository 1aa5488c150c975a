"""A primary, its replicas and the Sentinels that watch them, as real processes."""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from redis.exceptions import RedisError

from redis_manager_fastapi.testing.lifetime import Lifetime
from redis_manager_fastapi.testing.server import Directive, RedisServer, in_step

SERVICE = "mymaster"
_HELLO = "__sentinel__:hello"
_READY_TIMEOUT = 20.0
_TICK = 0.02


class SentinelDeployment(Lifetime):
    """One primary, replicas and Sentinels; `async with` starts them and removes them.

    Attributes:
        servers: The data servers; the first one starts as the primary.
        sentinels: The Sentinels.
        service: The name under which they know the primary.

    Args:
        replicas: How many replicas.
        sentinels: How many Sentinels; a majority of them decides.
        down_after: Seconds of silence after which a Sentinel calls a server down.
        password: The data servers' password.
        sentinel_password: The Sentinels' own password.
        directives: Further lines for every data server's redis.conf.
    """

    def __init__(
        self,
        *,
        replicas: int = 2,
        sentinels: int = 3,
        down_after: float = 0.5,
        password: str | None = None,
        sentinel_password: str | None = None,
        directives: Mapping[str, Directive] | None = None,
    ) -> None:
        self.service = SERVICE
        self.sentinels: list[RedisServer] = []
        self._names = [secrets.token_hex(20) for _ in range(sentinels)]
        self._down_after = down_after
        self._sentinel_password = sentinel_password
        given = directives or {}
        primary = RedisServer(_data(given, password), password=password)
        following = {**given, "replicaof": f"{primary.host} {primary.port}"}
        self.servers = [primary] + [
            RedisServer(_data(following, password), password=password) for _ in range(replicas)
        ]
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """The deployment's `redis+sentinel://` URL, without passwords."""
        nodes = ",".join(f"{each.host}:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{nodes}/0/{self.service}"

    @property
    def members(self) -> dict[str, RedisServer]:
        """Every process, under the name of what it starts as."""
        first, *others = self.servers
        replicas = {f"replica {number}": each for number, each in enumerate(others, 1)}
        sentinels = {f"sentinel {number}": each for number, each in enumerate(self.sentinels, 1)}
        return {"primary": first, **replicas, **sentinels}

    async def primary(self) -> RedisServer:
        """Return the server that most Sentinels name."""
        ports = [port for port in await self._named() if port]
        port = max(set(ports), key=ports.count)
        return next(each for each in self.servers if each.port == port)

    async def failover(self) -> None:
        """Have a Sentinel replace the primary, which stays alive."""
        await self._ask(self.sentinels[0], "SENTINEL", "FAILOVER", self.service)

    async def elected(self, old: RedisServer, timeout: float = _READY_TIMEOUT) -> RedisServer:
        """Wait until every Sentinel that runs names another primary than *old*; return it."""
        async with asyncio.timeout(timeout):
            while True:
                ports = set(await self._named())
                if len(ports) == 1 and ports.isdisjoint({old.port, None}):
                    return await self.primary()
                await asyncio.sleep(_TICK)

    async def settled(self, timeout: float = _READY_TIMEOUT) -> RedisServer:
        """Wait until every Sentinel that runs names the same primary and is at rest; return it.

        Two of them may replace a lost primary one after the other: each with the vote of one
        that had not heard of the first replacement yet.
        """
        async with asyncio.timeout(timeout):
            while len(set(await self._named())) > 1 or await self._at_work():  # noqa: ASYNC110
                await asyncio.sleep(_TICK)
        return await self.primary()

    async def start(self) -> None:
        """Start everything, and return once the Sentinels could fail over to any replica.

        Raises:
            TimeoutError: They do not come to know one another and the replicas, or a replica
                does not come to have what its primary has.
        """
        for server in self.servers:
            await self._stack.enter_async_context(server)
        # Before the Sentinels: one asks a replica that is not in step yet again after 10 s.
        async with asyncio.timeout(_READY_TIMEOUT):
            for replica in self.servers[1:]:
                while not await in_step(replica):  # noqa: ASYNC110 (another process does)
                    await asyncio.sleep(_TICK)
        for name in self._names:
            sentinel = RedisServer(
                self._directives(name), mode="sentinel", password=self._sentinel_password
            )
            self.sentinels.append(sentinel)
            await self._stack.enter_async_context(sentinel)
        async with asyncio.timeout(_READY_TIMEOUT):
            for sentinel in self.sentinels:
                while not await self._knows_all(sentinel):
                    await self._introduce()
                    await asyncio.sleep(_TICK)
                while not await self._could_promote(sentinel):  # noqa: ASYNC110 (another process does)
                    await asyncio.sleep(_TICK)

    async def ready(self) -> None:
        """Wait until the Sentinels know one another and the replicas."""
        async with asyncio.timeout(_READY_TIMEOUT):
            for sentinel in self.sentinels:
                while not await self._knows_all(sentinel):  # noqa: ASYNC110 (another process does)
                    await asyncio.sleep(_TICK)

    async def aclose(self) -> None:
        """Kill everything."""
        await self._stack.aclose()
        for server in self.servers:
            await server.aclose()

    def _directives(self, own_name: str) -> dict[str, Directive]:
        primary, name = self.servers[0], self.service
        quorum = len(self._names) // 2 + 1
        lines = [
            f"myid {own_name}",
            f"monitor {name} {primary.host} {primary.port} {quorum}",
            f"down-after-milliseconds {name} {int(self._down_after * 1000)}",
            f"failover-timeout {name} 2000",
            f"parallel-syncs {name} 2",
        ]
        if primary.password:
            lines.append(f"auth-pass {name} {primary.password}")
        if self._sentinel_password:
            lines.append(f"sentinel-pass {self._sentinel_password}")
        return {"sentinel": lines}

    async def _introduce(self) -> None:
        """Say at the primary who the Sentinels are, as each of them does every two seconds."""
        primary, service = self.servers[0], self.service
        async with primary.client() as client:
            for sentinel, name in zip(self.sentinels, self._names, strict=True):
                itself = f"{sentinel.host},{sentinel.port},{name},0"
                watched = f"{service},{primary.host},{primary.port},0"
                await client.publish(_HELLO, f"{itself},{watched}")

    async def _knows_all(self, sentinel: RedisServer) -> bool:
        """Whether the Sentinel knows the others and the replicas."""
        known = await self._view(sentinel)
        others, replicas = int(known["num-other-sentinels"]), int(known["num-slaves"])
        return (others, replicas) == (len(self._names) - 1, len(self.servers) - 1)

    async def _could_promote(self, sentinel: RedisServer) -> bool:
        """Whether the Sentinel has heard of each replica that it has what its primary has."""
        reply = await self._ask(sentinel, "SENTINEL", "SLAVES", self.service)
        known = [dict(zip(each[::2], each[1::2], strict=True)) for each in reply]
        return all(each["master-link-status"] == "ok" for each in known)

    async def _at_work(self) -> bool:
        """Whether a Sentinel that runs is replacing the primary."""
        views = [await self._view(each) for each in self.sentinels if each.running]
        return any("failover" in view["flags"] for view in views)

    async def _view(self, sentinel: RedisServer) -> dict[str, str]:
        """What the Sentinel knows of the service."""
        reply = await self._ask(sentinel, "SENTINEL", "MASTER", self.service)
        return dict(zip(reply[::2], reply[1::2], strict=True))

    async def _named(self) -> list[int | None]:
        """The port of the primary by each Sentinel that answers."""
        return [await self._port(each) for each in self.sentinels if each.running]

    async def _port(self, sentinel: RedisServer) -> int | None:
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
        try:
            reply = await self._ask(sentinel, *command)
        except (OSError, RedisError):
            return None
        return int(reply[1]) if reply else None

    @staticmethod
    async def _ask(sentinel: RedisServer, *command: Any) -> Any:
        return await sentinel.command(*command, timeout=1.0)


def _data(directives: Mapping[str, Directive], password: str | None) -> dict[str, Directive]:
    # repl-ping-replica-period: replicas count as connected at once, not after 10 s.
    common: dict[str, Directive] = {"repl-diskless-sync": "yes", "repl-ping-replica-period": 1}
    return {**common, **directives, **({"masterauth": password} if password else {})}
