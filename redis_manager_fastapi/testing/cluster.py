"""A Redis Cluster of primaries and replicas, as real processes.

No command line tool is needed: the nodes are introduced, given slots and made
replicas by CLUSTER commands.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from redis.exceptions import RedisError

from redis_manager_fastapi.testing.binary import server_binary, server_version
from redis_manager_fastapi.testing.lifetime import Lifetime
from redis_manager_fastapi.testing.server import Directive, RedisServer, in_step

SLOTS = 16_384
_READY_TIMEOUT = 30.0
_TICK = 0.02
_NO_ELECTION = "cluster-replica-no-failover"
_FACTS = ("known_nodes", "state", "slots_pfail", "slots_fail")


class ClusterDeployment(Lifetime):
    """Primaries with their replicas; `async with` starts them and removes them.

    Attributes:
        primaries: The nodes that start as primaries, in the order of their slots.
        replicas: The nodes that start as replicas: the first replica of each
            primary, then the second of each.
        password: The nodes' password.

    Args:
        shards: How many primaries share the slots.
        replicas: How many replicas each has.
        node_timeout: Seconds of silence after which a node is called down.
        full_coverage: Whether all nodes refuse to serve when one slot is not served.
        elections: Whether a replica takes over by itself when its primary falls silent.
        password: The nodes' password.
        directives: Further lines for every node's redis.conf.
    """

    def __init__(
        self,
        *,
        shards: int = 3,
        replicas: int = 1,
        node_timeout: float = 0.5,
        full_coverage: bool = False,
        elections: bool = True,
        password: str | None = None,
        directives: Mapping[str, Directive] | None = None,
    ) -> None:
        self.password = password
        self._directives: dict[str, Directive] = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": int(node_timeout * 1000),
            "cluster-require-full-coverage": "yes" if full_coverage else "no",
            "cluster-replica-validity-factor": 0,
            "repl-diskless-sync": "yes",
            **(directives or {}),
        }
        if server_version(server_binary()).number >= (7,):
            self._directives["cluster-allow-replica-migration"] = "no"
        if password:
            self._directives["masterauth"] = password
        self.primaries = [self.new_node() for _ in range(shards)]
        self.replicas = [self.new_node() for _ in range(shards * replicas)]
        self._shards = shards
        self._elections = elections
        self._placed = {node.port for node in self.nodes}
        self._stack = AsyncExitStack()

    @property
    def nodes(self) -> list[RedisServer]:
        """Every node."""
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        """The `redis+cluster://` URL with every node in it."""
        return self.url_of(self.nodes)

    @property
    def members(self) -> dict[str, RedisServer]:
        """Every process, under the name of what it starts as."""
        primaries = {f"primary {number}": each for number, each in enumerate(self.primaries, 1)}
        replicas = {
            f"replica of primary {number % self._shards + 1}": each
            for number, each in enumerate(self.replicas)
        }
        return primaries | replicas

    @staticmethod
    def url_of(nodes: Iterable[RedisServer]) -> str:
        """Return the `redis+cluster://` URL with *nodes* in it."""
        return "redis+cluster://" + ",".join(f"{each.host}:{each.port}" for each in nodes)

    def new_node(self) -> RedisServer:
        """Make a node that is not started and knows nobody."""
        return RedisServer(self._directives, password=self.password)

    def slots_of(self, index: int) -> range:
        """The slots that the primary of that index starts with."""
        count = self._shards
        return range(SLOTS * index // count, SLOTS * (index + 1) // count)

    def replica_of(self, index: int) -> RedisServer:
        """The first replica of the primary of that index."""
        return self.replicas[index]

    async def add(self, node: RedisServer, *, replica_of: RedisServer | None = None) -> None:
        """Start another node and have it join, as a replica or without slots."""
        await self._stack.enter_async_context(node)
        known = self.primaries[0] if self.primaries[0].running else self._living()[0]
        await node.command("CLUSTER MEET", known.host, known.port)
        (self.replicas if replica_of else self.primaries).append(node)
        if replica_of is not None:
            await self._replicate(node, replica_of)
            self._placed.add(node.port)
        await self.agreed()

    async def failover(self, replica: RedisServer) -> None:
        """Have *replica* take over from its primary, which stays alive."""
        await replica.command("CLUSTER FAILOVER")
        await self.promoted(replica)

    async def promoted(self, replica: RedisServer, *, without: RedisServer | None = None) -> None:
        """Wait until *replica* is a primary by every living node but *without*, a frozen one."""
        async with asyncio.timeout(_READY_TIMEOUT):
            while True:
                asked = [node for node in self._living() if node is not without]
                views = [await primaries_by(node) for node in asked]
                if all(replica.port in view for view in views):
                    return
                await asyncio.sleep(_TICK)

    async def replicated(self) -> None:
        """Wait until every replica has what its primary has."""
        offsets = {
            node.port: (await node.command("INFO", "replication"))["master_repl_offset"]
            for node in self._living()
        }
        async with asyncio.timeout(_READY_TIMEOUT):
            for node in self._living():
                await _caught_up(node, offsets)

    async def start(self) -> None:
        """Start every node, give out the slots, and return once all nodes agree.

        No replica stands for election meanwhile, however slow the machine is.
        """
        for node in self.nodes:
            await self._stack.enter_async_context(node)
            await node.config_set(_NO_ELECTION, "yes")
        for index, node in enumerate(self.nodes):
            await node.command("CLUSTER SET-CONFIG-EPOCH", index + 1)
            await node.command("CLUSTER MEET", self.primaries[0].host, self.primaries[0].port)
        for index, node in enumerate(self.primaries):
            await node.command("CLUSTER ADDSLOTS", *self.slots_of(index))
        for index, node in enumerate(self.replicas):
            await self._replicate(node, self.primaries[index % len(self.primaries)])
        await self.agreed()
        for node in self.nodes if self._elections else ():
            await node.config_set(_NO_ELECTION, "no")

    async def agreed(self) -> None:
        """Wait until every node knows every other one, its role, and that all slots are served."""
        async with asyncio.timeout(_READY_TIMEOUT):
            for node in self._living():
                await self._knows_all(node)

    async def aclose(self) -> None:
        """Kill every node."""
        await self._stack.aclose()
        for node in self.nodes:
            await node.aclose()

    def _living(self) -> list[RedisServer]:
        return [node for node in self.nodes if node.running]

    async def _replicate(self, node: RedisServer, primary: RedisServer) -> None:
        name = await node_id(primary)
        async with asyncio.timeout(_READY_TIMEOUT):
            while True:
                try:
                    await node.command("CLUSTER REPLICATE", name)
                except RedisError:  # it has not heard of the primary yet
                    await asyncio.sleep(_TICK)
                else:
                    return

    async def _knows_all(self, node: RedisServer) -> None:
        expected = (str(len(self.nodes)), "ok", "0", "0")
        while True:
            info = await cluster_info(node)
            known = tuple(info[f"cluster_{fact}"] for fact in _FACTS)
            shown = {each[1] for entry in await slots_by(node) for each in entry[2:]}
            if known == expected and shown >= self._placed and await in_step(node):
                return
            await asyncio.sleep(_TICK)


async def node_id(node: RedisServer) -> str:
    """The name that a node has among the others."""
    return str(await node.command("CLUSTER", "MYID"))


async def cluster_info(node: RedisServer) -> dict[str, str]:
    """CLUSTER INFO as a dict."""
    text = await node.command("CLUSTER", "INFO")
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


async def slots_by(node: RedisServer) -> list[Any]:
    """CLUSTER SLOTS as the node sees it."""
    reply: list[Any] = await node.command("CLUSTER", "SLOTS")
    return reply


async def primaries_by(node: RedisServer) -> set[int]:
    """The ports of the primaries as the node sees them."""
    return {entry[2][1] for entry in await slots_by(node)}


async def _caught_up(node: RedisServer, offsets: dict[int, int]) -> None:
    """Wait until a replica is as far as its primary was."""
    while True:
        info = await node.command("INFO", "replication")
        if info["role"] == "master" or info["slave_repl_offset"] >= offsets[info["master_port"]]:
            return
        await asyncio.sleep(_TICK)


async def move_slot(slot: int, source: RedisServer, target: RedisServer) -> None:
    """Move a slot with its keys; meanwhile clients meet ASK, TRYAGAIN and, at its end, MOVED."""
    async with source.client() as old, target.client() as new:
        names = await node_id(source), await node_id(target)
        await begin_move(slot, old, new, names)
        while keys := await old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
            await migrate(old, target, keys)
        await end_move(slot, old, new, names)


async def begin_move(slot: int, old: Any, new: Any, names: tuple[str, str]) -> None:
    """Open *slot* on both sides; *names* are the node ids of source and target."""
    await new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
    await old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])


async def migrate(old: Any, target: RedisServer, keys: list[str]) -> None:
    """Move keys of an open slot."""
    await old.execute_command(
        "MIGRATE", target.host, target.port, "", 0, 5000, "REPLACE", "KEYS", *keys
    )


async def end_move(slot: int, old: Any, new: Any, names: tuple[str, str]) -> None:
    """Give *slot* to the target."""
    await new.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[1])
    await old.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[1])
