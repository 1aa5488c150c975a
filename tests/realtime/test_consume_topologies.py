"""Consumers of Clusters and of Sentinels' primaries (rows 35, 37 and 48)."""

import asyncio
from typing import Any

import pytest

from redis_manager_fastapi import Event, GroupRemade, RedisManager
from redis_manager_fastapi.realtime.items import StreamEntry
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.clusters import shard_keys
from tests.kit.consuming import GROUP, STREAM, consumed, listening, numbers
from tests.kit.managers import opened
from tests.kit.waiting import until


class Background:
    """Consumes in a task, until the test has seen enough."""

    def __init__(self, manager: RedisManager, *streams: str, **options: Any) -> None:
        self.entries: list[StreamEntry] = []
        self.task = asyncio.create_task(self._run(manager, streams, options))

    async def _run(self, manager: RedisManager, streams: Any, options: Any) -> None:
        async with manager.consume(*streams, group=GROUP, **options) as entries:
            async for entry in entries:
                self.entries.append(entry)

    def seen(self, stream: str) -> set[int]:
        return set(numbers([each for each in self.entries if each.stream == stream]))

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_a_cluster_with_streams_in_every_shard() -> None:
    async with (
        ClusterDeployment(replicas=0, elections=False) as deployment,
        opened(deployment.url) as manager,
    ):
        await manager.redis.xadd(b"\xff", {"n": 0})
        assert numbers(await consumed(manager, 1, "\udcff")) == [0]
        streams = [keys[0] for keys in shard_keys(deployment, 1)]
        for stream in streams:
            for number in range(20):
                await manager.redis.xadd(stream, {"n": number})
        options: Any = {"max_deliveries": 1, "dead_letter": "dead", "claim_after": 0.2}
        found = await consumed(manager, 60, *streams, **options)
        assert {each.stream for each in found} == set(streams)
        for stream in streams:
            assert (await manager.redis.xpending(stream, GROUP))["pending"] == 0
            await manager.redis.xadd(stream, {"n": 99})
            await _raise_once(manager, stream, options)
        await until(lambda: manager.stats().leased == 0)
        assert await manager.redis.xlen("dead") == 3


async def test_a_lost_shard_of_dead_letters_holds_up_no_stream() -> None:
    async with (
        ClusterDeployment(replicas=0, elections=False) as deployment,
        RedisManager(url=deployment.url) as manager,
    ):
        stream, dead = (keys[0] for keys in shard_keys(deployment, 1)[:2])
        options: Any = {"max_deliveries": 1, "dead_letter": dead, "claim_after": 0.2}
        seen: list[int] = []

        @manager.consumer(stream, group=GROUP, concurrency=2, **options)
        async def handle(entry: StreamEntry) -> None:
            seen.append(int(entry.fields["n"]))
            if entry.fields["n"] == "0":
                raise KeyError(stream)

        await manager.redis.xadd(dead, {"n": "old"})
        await deployment.primaries[1].kill()
        for number in range(3):
            await manager.redis.xadd(stream, {"n": number})
        await until(lambda: len(seen) == 3)
        await asyncio.sleep(0.5)  # what waits to be moved is not claimed meanwhile
        assert (await manager.redis.xpending(stream, GROUP))["pending"] == 1
        await deployment.primaries[1].start()
        await until(lambda: listening(manager).consumers[0].dead_lettered == 1, 10)
        assert seen == [0, 1, 2]
        assert [fields["n"] for _, fields in await manager.redis.xrange(dead)][-1:] == ["0"]


async def _raise_once(manager: RedisManager, stream: str, options: Any) -> None:
    async def consume() -> None:
        async with manager.consume(stream, group=GROUP, **options) as entries:
            await anext(entries)
            raise KeyError(stream)

    with pytest.raises(KeyError):
        await consume()


async def test_a_lost_shard_holds_up_no_other() -> None:
    async with ClusterDeployment() as deployment, RedisManager(url=deployment.url) as manager:
        lost, kept, _ = (keys[0] for keys in shard_keys(deployment, 1))
        consumer = Background(manager, lost, kept, batch=5)
        for stream in (lost, kept):
            await manager.redis.xadd(stream, {"n": 0})
        await until(lambda: len(consumer.entries) == 2)
        await deployment.replicated()
        for node in (deployment.replica_of(0), deployment.primaries[0]):
            await node.kill()
        for number in range(1, 30):
            await manager.redis.xadd(kept, {"n": number})
        await until(lambda: consumer.seen(kept) == set(range(30)), 3.0)
        for _ in range(20):  # past grace
            await asyncio.sleep(0.15)
            await manager.redis.xadd(kept, {"n": 30})
        await until(lambda: 30 in consumer.seen(kept), 1.0)
        await deployment.primaries[1].command("CLIENT", "KILL", "TYPE", "normal")
        await manager.redis.xadd(kept, {"n": 31})
        await until(lambda: 31 in consumer.seen(kept), 3.0)
        assert not consumer.task.done()
        await consumer.end()


async def test_a_cluster_fails_over() -> None:
    """Row 37."""
    async with ClusterDeployment() as deployment, RedisManager(url=deployment.url) as manager:
        stream = shard_keys(deployment, 1)[0][0]
        consumer = Background(manager, stream, batch=5)
        for number in range(20):
            await manager.redis.xadd(stream, {"n": number})
        await until(lambda: len(consumer.entries) == 20)
        await deployment.replicated()
        await deployment.primaries[0].kill()
        await deployment.promoted(deployment.replica_of(0))
        await manager.wait_ready(10)
        for number in range(20, 40):
            await manager.redis.xadd(stream, {"n": number})
        await until(lambda: consumer.seen(stream) == set(range(40)))
        assert not consumer.task.done()
        await consumer.end()
        assert (await manager.redis.xpending(stream, GROUP))["pending"] == 0


async def test_sentinels_elect_another_primary() -> None:
    """Row 35."""
    async with SentinelDeployment() as deployment, RedisManager(url=deployment.url) as manager:
        consumer = Background(manager, STREAM, batch=5)
        for number in range(20):
            await manager.redis.xadd(STREAM, {"n": number})
        assert await manager.redis.wait(2, 5000) == 2
        await until(lambda: len(consumer.entries) == 20)
        old = deployment.servers[0]
        await old.kill()
        await deployment.elected(old)
        await manager.wait_ready(10)
        for number in range(20, 40):
            await manager.redis.xadd(STREAM, {"n": number})
        await until(lambda: consumer.seen(STREAM) == set(range(40)))
        assert not consumer.task.done()
        await consumer.end()
        assert (await manager.redis.xpending(STREAM, GROUP))["pending"] == 0


async def test_a_new_primary_that_never_had_the_group() -> None:
    """Row 48: it has the entries that are there again, and the new ones."""
    events: list[Event] = []
    async with (
        SentinelDeployment() as deployment,
        RedisManager(url=deployment.url, listeners=[events.append]) as manager,
    ):
        await manager.redis.xadd(STREAM, {"n": 0})
        assert await manager.redis.wait(2, 5000) == 2
        consumer = Background(manager, STREAM)
        await until(lambda: len(consumer.entries) == 1)
        await manager.redis.wait(2, 5000)
        old, *replicas = deployment.servers
        # As if the fail-over had come before the group.
        for replica in replicas:
            await replica.command("CONFIG", "SET", "replica-read-only", "no")
            await replica.command("XGROUP", "DESTROY", STREAM, GROUP)
        await old.kill()
        await deployment.elected(old)
        await manager.wait_ready(10)
        await manager.redis.xadd(STREAM, {"n": 1})
        await until(lambda: consumer.seen(STREAM) == {0, 1})
        await consumer.end()
    assert [each.stream for each in events if isinstance(each, GroupRemade)] == [STREAM]
