"""The same in a Cluster: one span for each call, however many nodes it goes to."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import redis.exceptions
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import ReadableSpan

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing.cluster import ClusterDeployment, move_slot
from redis_manager_fastapi.tracing import instrument
from tests.kit.clusters import shard_keys
from tests.kit.spans import Recorder, attributes, instrumented

EXPECTED = [
    *("SET", "GET", "SET", "GET"),
    *("pipeline", "pipeline", "WATCH", "pipeline"),
    *("DBSIZE", "KEYS", "EVAL", "PUBLISH", "BLPOP", "MGET", "GET"),
]


async def commands(manager: RedisManager, keys: list[str], other: str) -> None:
    """Execute commands of every kind."""
    r = manager.cluster
    await r.set(keys[0], "1")
    await r.get(keys[0])
    await r.with_options(decode_responses=False).set(other, "1")
    assert await r.with_options(decode_responses=False).get(other) == b"1"
    assert await r.pipeline().get(keys[0]).get(other).set(keys[1], 1).execute() == ["1", "1", True]
    assert await r.pipeline(transaction=True).get(keys[0]).execute() == ["1"]
    async with r.pipeline(transaction=True) as pipe:
        await pipe.watch(keys[0])
        pipe.multi()
        pipe.set(keys[0], "2")
        assert await pipe.execute() == [True]
    assert await r.dbsize(target_nodes="primaries") == 3
    assert len(await r.keys(target_nodes="primaries")) == 3
    assert await r.eval("return 1", 1, keys[0]) == 1
    await r.publish("channel", "message")
    assert await r.blpop([keys[2]], timeout=0.05) is None
    assert await r.mget_nonatomic([keys[0]]) == ["2"]
    node: Any = r.get_node_from_key(keys[0])
    assert await r.on(node).get(keys[0]) == "2"


def one_client(manager: RedisManager, recorder: Recorder) -> None:
    RedisInstrumentor().instrument_client(manager.cluster, tracer_provider=recorder.provider)


def our_own(manager: RedisManager, recorder: Recorder) -> None:
    instrument(manager, recorder.provider)


def classes(_: RedisManager, recorder: Recorder) -> AbstractContextManager[None]:
    return instrumented(recorder)


def short(span: ReadableSpan) -> str:
    """Return the command; of a pipeline's span only that it is one."""
    batch = span.name.startswith(("PIPELINE", "MULTI"))
    return "pipeline" if batch or "db.redis.pipeline_length" in attributes(span) else span.name


@pytest.fixture
async def cluster() -> Any:
    async with ClusterDeployment(replicas=0) as deployment:
        yield deployment


async def test_every_command_is_one_span(cluster: ClusterDeployment) -> None:
    begins: list[Callable[..., AbstractContextManager[None] | None]]
    begins = [classes, our_own, one_client]
    keys, others, *_ = shard_keys(cluster)
    for begin in begins:
        recorder = Recorder()
        async with RedisManager(url=cluster.url) as manager:
            with begin(manager, recorder) or nullcontext():
                await commands(manager, keys, others[0])

        # What was set on one client does not reach a node's pipeline, nor its client.
        unseen = {"WATCH", "GET"} if begin is one_client else set[str]()
        names = [short(span) for span in recorder.commands()]
        if not unseen:
            assert names == EXPECTED
        else:
            assert [name for name in names if name != "GET"] == [
                name for name in EXPECTED if name not in unseen
            ]


async def test_span_has_the_node_that_answered(cluster: ClusterDeployment) -> None:
    recorder = Recorder()
    async with RedisManager(url=cluster.url) as manager:
        instrument(manager, recorder.provider)
        r = manager.cluster
        await r.set("key", 1)
        slot = r.keyslot("key")
        [owner] = [i for i in range(3) if slot in cluster.slots_of(i)]
        source, target = cluster.primaries[owner], cluster.primaries[(owner + 1) % 3]
        await move_slot(slot, source, target)
        await r.get("key")
        await r.get("key")
        with pytest.raises(redis.exceptions.ResponseError):
            await r.pipeline().lpush("key", 1).execute()

    spans = recorder.commands()
    ports = [attributes(span).get("server.port") for span in spans]
    assert ports == [source.port, target.port, target.port, None]
    assert attributes(spans[3])["db.response.status_code"] == "WRONGTYPE"
