"""Writers that follow a key to whichever server serves it, and note what is true there.

They go straight to the servers, by redis-py alone: nothing of what is measured takes part.
A new primary is found within a tenth of a second, so a value that it ended may be older by that
than is measured.
"""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from typing import Any

from redis.exceptions import AskError, MovedError, RedisError

from benchmarks.staleness.truth import Truth, Value
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.sentinel import SentinelDeployment

PAUSE, PATIENCE, TICK = 0.005, 0.08, 0.01
FAILURES = (RedisError, OSError, TimeoutError)


class Writer:
    """Raises a number at a key every few milliseconds.

    Attributes:
        key: Where.
        server: The one that serves the key, as far as is known.
        left_at: When the one before it was the only one that was named, for the last time; inf
            once the new one has answered.
        truth: What the key was, and when.
        absent: Set to have no value there, for as long as it is set.
        over: Set to end it.
    """

    def __init__(self, key: str, server: RedisServer) -> None:
        self.key, self.server, self.left_at = key, server, inf
        self.truth = Truth(time.monotonic())
        self.absent = self.over = False
        self._number = 0

    async def run(self) -> None:
        """Write until it is over."""
        while not self.over:
            with suppress(*FAILURES):
                async with self.server.client(PATIENCE) as client:
                    await self._stay(self.server, client)
            if not self.over:
                await self._find()

    async def _find(self) -> None:
        """Look for the server that serves the key now."""
        await asyncio.sleep(TICK)

    async def _stay(self, server: RedisServer, client: Any) -> None:
        """Write to one server for as long as it is the right one."""
        value = await self._execute(client, "GET", self.key)
        if self.server is server:
            since = min(self.truth.settled_at, self.left_at)
            self.truth.settle(value, time.monotonic(), since)
            self.left_at = inf
        while self.server is server and not self.over:
            self._number += 1
            await self._write(client, None if self.absent else str(self._number))
            await asyncio.sleep(PAUSE)

    async def _execute(self, client: Any, *command: str) -> Any:
        return await client.execute_command(*command)

    async def _write(self, client: Any, value: Value) -> None:
        server, sent = self.server, time.monotonic()
        self.truth.may_be(value, sent)
        command = ("DEL", self.key) if value is None else ("SET", self.key, value)
        await self._execute(client, *command)
        if self.server is server:
            self.truth.settle(value, time.monotonic(), sent)


class SentinelWriter(Writer):
    """Writes to whom most Sentinels name, also while the one that they left goes on serving."""

    def __init__(self, key: str, deployment: SentinelDeployment) -> None:
        super().__init__(key, deployment.servers[0])
        self._deployment = deployment

    async def run(self) -> None:
        """Write, and ask the Sentinels all the time."""
        watching = [asyncio.create_task(self._watch()), asyncio.create_task(super().run())]
        await asyncio.gather(*watching)

    async def _watch(self) -> None:
        deployment = self._deployment
        servers = {each.port: each for each in deployment.servers}
        clients = [each.client(PATIENCE) for each in deployment.sentinels]
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", deployment.service)
        agreed_at = time.monotonic()
        while not self.over:
            asked = time.monotonic()
            answers = await asyncio.gather(
                *(each.execute_command(*question) for each in clients), return_exceptions=True
            )
            ports = [_port(each) for each in answers]
            if set(ports) == {self.server.port}:
                agreed_at = asked
            for port in set(ports) - {0, self.server.port}:
                if 2 * ports.count(port) > len(ports):
                    self.left_at = min(self.left_at, agreed_at)
                    self.server = servers[port]
            await asyncio.sleep(TICK)
        for client in clients:
            await client.aclose()


def _port(answer: Any) -> int:
    return 0 if isinstance(answer, BaseException) or not answer else int(answer[1])


class ClusterWriter(Writer):
    """Writes to whom the nodes redirect it."""

    def __init__(self, key: str, server: RedisServer, nodes: Iterable[RedisServer]) -> None:
        super().__init__(key, server)
        self._nodes = {each.port: each for each in nodes}

    async def _find(self) -> None:
        """Ask all nodes at once: who answers, or is named by another, serves the key."""
        while not self.over:
            asking = [asyncio.create_task(self._ask(each)) for each in self._nodes.values()]
            found = [port for answer in asyncio.as_completed(asking) if (port := await answer)]
            if found:
                self.server = self._nodes[found[0]]
                return
            await asyncio.sleep(TICK)

    async def _ask(self, node: RedisServer) -> int | None:
        """Return who serves the key by one node; None if that is the one that has failed."""
        try:
            async with node.client(PATIENCE) as client:
                await client.get(self.key)
        except MovedError as error:
            return None if error.port == self.server.port else error.port
        except AskError:
            return node.port
        except FAILURES:
            return None
        return node.port

    async def _stay(self, server: RedisServer, client: Any) -> None:
        try:
            await super()._stay(server, client)
        except MovedError as error:
            self.server = self._nodes[error.port]

    async def _execute(self, client: Any, *command: str) -> Any:
        """Execute at one node, or where a part of the slot is already while it moves."""
        try:
            return await super()._execute(client, *command)
        except MovedError:
            raise
        except AskError as error:
            async with self._nodes[error.port].client(PATIENCE) as other:
                await other.execute_command("ASKING")
                return await other.execute_command(*command)
