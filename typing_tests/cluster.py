"""The client of a Cluster."""

from typing import Any, assert_type

from redis_manager_fastapi import Redis, RedisCluster


async def replies(r: RedisCluster, raw: RedisCluster[bytes]) -> None:
    assert_type(await r.get("k"), str | None)
    assert_type(await r.set("k", "v"), bool | None)
    assert_type(await r.hgetall("h"), dict[str, str])
    assert_type(await r.mget("{a}1", "{a}2"), list[str | None])
    assert_type(await r.zrange("z", 0, -1, withscores=True), list[tuple[str, float]])
    assert_type(await r.delete("a", "b"), int)
    assert_type(await r.cluster_keyslot("k"), int)
    assert_type(await raw.get("k"), bytes | None)
    assert_type(await raw.lrange("l", 0, -1), list[bytes])
    async for key in r.scan_iter():
        assert_type(key, str)


async def options_choose_the_client(r: RedisCluster) -> None:
    assert_type(r.with_options(decode_responses=False), RedisCluster[bytes])
    assert_type(r.with_options(timeout=1), RedisCluster)
    assert_type(r.with_options(grace=0), RedisCluster)
    assert_type(
        r.with_options(decode_responses=False).with_options(decode_responses=True), RedisCluster
    )


async def one_node(r: RedisCluster, raw: RedisCluster[bytes], node: Any) -> None:
    assert_type(r.on(node), Redis)
    assert_type(await raw.on(node).get("k"), bytes | None)
