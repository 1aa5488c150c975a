"""A Sentinel that says something else than the others: right, wrong, or set up by another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from redis_manager_fastapi.testing.sentinel import SERVICE, SentinelDeployment
from tests.kit.managers import opened, pool_of
from tests.kit.waiting import until


def bulks(*words: Any) -> bytes:
    packed = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in packed)


def topology_of(manager: RedisManager) -> Any:
    return pool_of(manager).dialer._topology


class LoneSentinel:
    """Names the primary that a test wants, at an epoch ahead of all others.

    Attributes:
        names: The primary.
        epoch: Its configuration epoch.
        replicas: The replicas that it lists.
        asked: How often it was asked.
        forbidden: Whether it refuses to list its replicas.
    """

    def __init__(self, names: Any, *, epoch: int = 100, replicas: tuple[Any, ...] = ()) -> None:
        self.names = names
        self.epoch = epoch
        self.replicas = replicas
        self.asked = 0
        self.forbidden = False
        self._subscribed: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                length = int((await reader.readline())[1:])
                words.append((await reader.readexactly(length + 2))[:-2].decode())
            writer.write(self._answer(words))
            if words[0] == "SUBSCRIBE":
                self._subscribed.append(writer)
        writer.close()

    def tell(self, service: str) -> None:
        """Announce that primary to who listens."""
        event = f"{service} 127.0.0.1 1 127.0.0.1 {self.names.port}"
        for writer in self._subscribed:
            writer.write(bulks("message", "+switch-master", event))

    def _answer(self, words: list[str]) -> bytes:
        if words[0] == "PING":
            return bulks("pong", "") if self._subscribed else b"+PONG\r\n"
        if words[0] == "SUBSCRIBE":
            return b"".join(bulks("subscribe", word, n) for n, word in enumerate(words[1:], 1))
        if words[1] == "GET-MASTER-ADDR-BY-NAME":
            self.asked += 1
            return bulks("127.0.0.1", self.names.port)
        if words[1] == "MASTER":
            return bulks("name", words[2], "config-epoch", self.epoch)
        if self.forbidden:
            return b"-NOPERM this user has no permissions to run 'sentinel|replicas'\r\n"
        known = {"flags": "slave", "master-link-status": "ok", "ip": "127.0.0.1"}
        listed = [{**known, "port": str(each.port)} for each in self.replicas]
        packed = (bulks(*(word for pair in fields.items() for word in pair)) for fields in listed)
        return b"*%d\r\n" % len(listed) + b"".join(packed)


class Stranger:
    """A server that no other Sentinel knows, and that does not belong to the deployment.

    Attributes:
        port: Where it listens.
        heard: What was sent to it.
    """

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(b"connected")
        while data := await reader.read(4096):
            self.heard.append(data)
            writer.write(b"+OK\r\n")
        writer.close()


@asynccontextmanager
async def listening() -> AsyncIterator[Stranger]:
    """A stranger at a port of its own."""
    stranger = Stranger()
    server = await asyncio.start_server(stranger.serve, "127.0.0.1", 0)
    stranger.port = server.sockets[0].getsockname()[1]
    try:
        yield stranger
    finally:
        server.close()


@asynccontextmanager
async def serving(*sentinels: LoneSentinel) -> AsyncIterator[str]:
    """The URL of these Sentinels alone."""
    async with AsyncExitStack() as stack:
        ports = []
        for each in sentinels:
            server = await asyncio.start_server(each.serve, "127.0.0.1", 0)
            stack.callback(server.close)
            ports.append(server.sockets[0].getsockname()[1])
        nodes = ",".join(f"127.0.0.1:{port}" for port in ports)
        yield f"redis+sentinel://{nodes}/0/{SERVICE}"


@asynccontextmanager
async def beside(
    deployment: SentinelDeployment, names: Any
) -> AsyncIterator[tuple[LoneSentinel, str]]:
    """One more Sentinel; it, and the URL of all of them."""
    lone = LoneSentinel(names)
    async with serving(lone) as url:
        scheme, rest = deployment.url.split("://")
        node = url.split("://")[1].split("/")[0]
        yield lone, f"{scheme}://{node},{rest}"


@pytest.mark.measures
@pytest.mark.parametrize("when", ["start", "news"])
async def test_a_lone_sentinel_that_names_a_stranger_is_not_believed(
    deployment: SentinelDeployment, when: str
) -> None:
    """The others have 0.3 s to answer as well: a hung one may cost no more."""
    primary = deployment.servers[0]
    async with (
        RedisServer() as stranger,
        beside(deployment, stranger if when == "start" else primary) as (lone, url),
        opened(url) as manager,
    ):
        await until(lambda: lone.asked >= 2)
        for number in range(50):
            if number == 10:
                lone.names = stranger
                lone.tell(deployment.service)
            if number == 20:
                await primary.command("CLIENT KILL", "TYPE", "normal")
            await manager.redis.incr("count")

        assert await stranger.command("EXISTS", "count") == 0
        assert await primary.command("GET", "count") == "50"


async def test_a_lone_sentinel_is_believed_when_its_server_goes_on_with_the_history(
    deployment: SentinelDeployment,
) -> None:
    """The others have not heard of the fail-over yet: it is theirs to hear later."""
    primary, replica = deployment.servers[:2]
    async with beside(deployment, primary) as (lone, url), opened(url) as manager:
        await manager.redis.set("key", "value")
        await until(lambda: lone.asked >= 2)
        await replica.command("REPLICAOF", "NO", "ONE")
        lone.names = replica
        lone.tell(deployment.service)
        await until(lambda: manager.stats().generation == 2)
        await manager.redis.set("where", "replica")

        assert await replica.command("GET", "where") == "replica"


@pytest.mark.usefixtures("pipelining")
@pytest.mark.parametrize("reads", ["primary", "replica"])
@pytest.mark.parametrize("when", ["start", "news"])
async def test_no_server_is_connected_to_that_one_sentinel_alone_knows(
    deployment: SentinelDeployment, when: str, reads: str
) -> None:
    """Neither as a primary nor as a replica, and nobody's credentials go there."""
    primary = deployment.servers[0]
    async with listening() as stranger, beside(deployment, primary) as (lone, url):
        if when == "start":
            lone.names, lone.replicas = stranger, (stranger,)
        async with opened(url, sentinel={"reads": reads}) as manager:
            await until(lambda: lone.asked >= 2)
            lone.names, lone.replicas = stranger, (stranger,)
            for _ in range(3):
                lone.tell(deployment.service)
                await primary.command("CLIENT KILL", "TYPE", "normal")
                await manager.redis.incr("count")
            asked = lone.asked
            await until(lambda: lone.asked > asked)

            assert not stranger.heard
            assert await primary.command("GET", "count") == "3"


async def test_a_start_does_not_take_the_word_of_the_first_sentinel_to_answer(
    deployment: SentinelDeployment,
) -> None:
    """The others are slower."""
    async with AsyncExitStack() as stack:
        nodes = []
        for each in deployment.sentinels:
            proxy = await stack.enter_async_context(FaultProxy(each.host, each.port))
            await proxy.delay(to_client=0.05)
            nodes.append(f"127.0.0.1:{proxy.port}")
        stranger = await stack.enter_async_context(listening())
        lone, url = await stack.enter_async_context(beside(deployment, stranger))
        url = url.split(",")[0] + f",{','.join(nodes)}/0/{deployment.service}"
        async with opened(url) as manager:
            assert await manager.redis.incr("count") == 1
            assert await deployment.servers[0].command("GET", "count") == "1"
        assert lone.asked
        assert not stranger.heard


async def test_a_server_that_was_known_is_believed_in_a_tie(
    deployment: SentinelDeployment,
) -> None:
    """Two against two: the one that goes on with the history wins, by what was known before."""
    primary, replica = deployment.servers[:2]
    liars = [LoneSentinel(primary, replicas=(replica,)) for _ in range(2)]
    honest = [LoneSentinel(primary, epoch=1, replicas=(replica,)) for _ in range(2)]
    async with listening() as stranger, serving(*liars, *honest) as url, opened(url) as manager:
        await manager.redis.set("key", "value")
        await until(lambda: all(each.asked >= 2 for each in (*liars, *honest)))
        for each in liars:
            each.names, each.epoch, each.replicas = stranger, 200, (stranger,)
            each.tell(SERVICE)
        await replica.command("REPLICAOF", "NO", "ONE")
        for each in honest:
            each.names, each.epoch, each.replicas = replica, 101, (primary,)
            each.tell(SERVICE)
        await until(lambda: manager.stats().generation == 2)
        await manager.redis.set("where", "replica")

        assert await replica.command("GET", "where") == "replica"
        assert not stranger.heard


async def test_a_sentinel_that_may_not_list_replicas_has_its_say(
    deployment: SentinelDeployment,
) -> None:
    primary, replica = deployment.servers[:2]
    lone = LoneSentinel(primary)
    lone.forbidden = True
    async with serving(lone) as url, opened(url) as manager:
        await manager.redis.set("key", "value")
        await until(lambda: lone.asked >= 2)
        await replica.command("REPLICAOF", "NO", "ONE")
        lone.names = replica
        lone.tell(SERVICE)
        await until(lambda: manager.stats().generation == 2)
        await manager.redis.set("where", "replica")

        assert await replica.command("GET", "where") == "replica"


async def test_news_that_is_not_believed_at_first_is_asked_about_again(
    deployment: SentinelDeployment,
) -> None:
    """The others say it later, and do not tell: their events were lost."""
    first, *others = (LoneSentinel(deployment.servers[0], epoch=1) for _ in range(3))
    async with (
        RedisServer() as restored,
        serving(first, *others) as url,
        opened(url) as manager,
    ):
        await manager.redis.set("key", "value")
        await until(lambda: all(each.asked >= 1 for each in (first, *others)))
        first.names, first.epoch = restored, 2
        asked = others[0].asked
        await until(lambda: len(topology_of(manager).heard) == 3)
        first.tell(SERVICE)
        await until(lambda: others[0].asked > asked)
        await asyncio.sleep(0.1)
        for each in others:
            each.names, each.epoch = restored, 2
        await until(lambda: manager.stats().generation == 2)
        await manager.redis.set("where", "restored")

        assert await restored.command("GET", "where") == "restored"


async def test_a_sentinel_that_tells_again_and_again_makes_no_herd(
    deployment: SentinelDeployment,
) -> None:
    """Nor are the others asked for ever about what none of them says."""
    primary = deployment.servers[0]
    first, *others = (LoneSentinel(primary, epoch=1) for _ in range(3))
    async with (
        listening() as stranger,
        serving(first, *others) as url,
        opened(url) as manager,
    ):
        await manager.redis.set("key", "value")
        await until(lambda: all(each.asked >= 2 for each in (first, *others)))
        first.names, first.epoch = stranger, 2
        asked = others[0].asked
        for _ in range(200):
            first.tell(SERVICE)
            await asyncio.sleep(0.005)

        assert 0 < others[0].asked - asked <= 10
        assert not stranger.heard


async def test_a_service_that_is_set_up_anew_elsewhere_is_followed(
    deployment: SentinelDeployment,
) -> None:
    """By SENTINEL REMOVE and MONITOR: epochs begin again at 0, and nothing fails over."""
    async with RedisServer() as another, opened(deployment.url) as manager:
        await manager.redis.set("key", "value")
        await deployment.failover()
        await deployment.elected(deployment.servers[0])
        await until(lambda: manager.stats().generation == 2)
        await until(lambda: len(topology_of(manager).heard) == 3)
        for each in deployment.sentinels:
            await each.command("SENTINEL", "REMOVE", SERVICE)
            await each.command("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", another.port, 2)
        await until(lambda: manager.stats().generation == 3)
        await manager.redis.set("where", "another")

        assert await another.command("GET", "where") == "another"


async def test_a_sentinel_that_cannot_be_heard_any_more_is_listened_to_afresh(
    deployment: SentinelDeployment,
) -> None:
    """Its connection dies unnoticed, as behind a NAT that forgets it, and with it the news."""
    primary, replica = deployment.servers[:2]
    lone = LoneSentinel(primary)
    async with serving(lone) as url:
        port = int(url.split("/")[2].rpartition(":")[2])
        async with FaultProxy("127.0.0.1", port) as proxy:
            url = f"redis+sentinel://127.0.0.1:{proxy.port}/0/{SERVICE}"
            async with opened(url) as manager:
                await manager.redis.set("key", "value")
                await until(lambda: bool(topology_of(manager).heard))
                await proxy.black_hole(new=False)
                await replica.command("REPLICAOF", "NO", "ONE")
                lone.names, lone.epoch = replica, 101
                lone.tell(SERVICE)
                await until(lambda: manager.stats().generation == 2)

                assert pool_of(manager).address[1] == replica.port


async def test_a_primary_that_answers_again_is_left_all_the_same_once_another_is_found(
    deployment: SentinelDeployment,
) -> None:
    """The new one was asked about before it was told of, so that no news comes any more."""
    for each in deployment.sentinels:
        await each.kill()  # they would make a replica of the new one again
    old, new = deployment.servers[:2]
    lone = LoneSentinel(old)
    async with FaultProxy(new.host, new.port) as slow, serving(lone) as url:
        await slow.delay(to_client=0.1)
        far: Any = {"timeout": {"connect": 5.0, "command": 10.0}, "outage": {"grace": 10.0}}
        async with opened(url, **far) as manager, manager.subscribe("news"):
            await until(lambda: bool(topology_of(manager).heard))
            await new.command("REPLICAOF", "NO", "ONE")
            old.pause()
            try:
                lone.names, lone.epoch = slow, 101
                await until(lambda: topology_of(manager)._followed.port == slow.port, 10)
            finally:
                old.resume()
            lone.tell(SERVICE)

            await until(lambda: pool_of(manager).address[1] == slow.port)
            await manager.redis.set("where", "new")
            assert await new.command("GET", "where") == "new"
