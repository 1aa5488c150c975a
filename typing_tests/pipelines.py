"""Pipelines: their commands return the pipeline."""

from typing import Any, assert_type

from redis_manager_fastapi import Redis, RedisCluster
from redis_manager_fastapi.client.cluster.pipeline import ClusterPipeline
from redis_manager_fastapi.client.pipeline import Pipeline


async def commands_chain(r: Redis) -> None:
    async with r.pipeline() as p:
        assert_type(p, Pipeline)
        assert_type(p.set("k", "v"), Pipeline)
        assert_type(p.set("k", "v").get("k").hgetall("h").zrange("z", 0, -1), Pipeline)
        assert_type(await p.incr("k").expire("k", 10).execute(), list[Any])
    hits, name = await r.pipeline(transaction=False).incr("hits").get("name").execute()
    assert_type((hits, name), tuple[Any, Any])


async def under_watch_a_command_answers(r: Redis) -> None:
    async with r.pipeline() as p:
        await p.watch("k")
        value: str | None = await p.get("k")
        p.multi()
        p.set("k", (value or "") + "x")
        await p.execute()


async def move(p: Pipeline) -> None:
    await p.watch("from")
    p.multi()
    p.rename("from", "to")


async def move_in_cluster(p: ClusterPipeline) -> None:
    p.set("{k}to", "v")


async def transactions_take_a_function(r: Redis, cluster: RedisCluster) -> None:
    await r.transaction(move, "from")
    await r.transaction(lambda p: p.set("k", "v").get("k"), "k", value_from_callable=True)
    await cluster.transaction(move_in_cluster, "{k}from")


async def cluster_pipelines_chain(r: RedisCluster) -> None:
    async with r.pipeline() as p:
        assert_type(p, ClusterPipeline)
        assert_type(p.set("k", "v").get("k"), ClusterPipeline)
        assert_type(await p.hset("h", mapping={"a": 1}).execute(), list[Any])
