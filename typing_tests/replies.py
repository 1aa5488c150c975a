"""The reply to each command of a client for `str`."""

import datetime
from typing import Any, assert_type

from redis_manager_fastapi import Redis


async def strings(r: Redis) -> None:
    assert_type(await r.get("k"), str | None)
    assert_type(await r.getdel("k"), str | None)
    assert_type(await r.getex("k", ex=10), str | None)
    assert_type(await r.getset("k", "v"), str | None)
    assert_type(await r.getrange("k", 0, 4), str)
    assert_type(await r.mget("a", "b"), list[str | None])
    assert_type(await r.mget(["a", "b"]), list[str | None])
    assert_type(await r.mset({"a": 1}), bool)
    assert_type(await r.append("k", "v"), int)
    assert_type(await r.incr("k"), int)
    assert_type(await r.incrbyfloat("k", 0.5), float)
    assert_type(await r.strlen("k"), int)
    assert_type(await r.echo("text"), str)


async def set_says_what_it_returns(r: Redis, keep: bool) -> None:
    assert_type(await r.set("k", "v"), bool | None)
    assert_type(await r.set("k", "v", ex=datetime.timedelta(seconds=1), nx=True), bool | None)
    assert_type(await r.set("k", "v", get=True), str | None)
    assert_type(await r.set("k", "v", get=keep), bool | str | None)


async def keys(r: Redis) -> None:
    assert_type(await r.exists("k"), int)
    assert_type(await r.delete("a", "b"), int)
    assert_type(await r.expire("k", 10), bool)
    assert_type(await r.ttl("k"), int)
    assert_type(await r.type("k"), str)
    assert_type(await r.keys("*"), list[str])
    assert_type(await r.randomkey(), str | None)
    assert_type(await r.dump("k"), bytes | None)
    assert_type(await r.scan(), tuple[int, list[str]])
    async for key in r.scan_iter(match="k*"):
        assert_type(key, str)


async def hashes(r: Redis, fields: dict[str, str], counts: dict[str, int]) -> None:
    assert_type(await r.hset("h", mapping=fields), int)
    assert_type(await r.hset("h", mapping=counts), int)
    assert_type(await r.hset("h", "field", "value"), int)
    assert_type(await r.hget("h", "f"), str | None)
    assert_type(await r.hgetall("h"), dict[str, str])
    assert_type(await r.hmget("h", ["a", "b"]), list[str | None])
    assert_type(await r.hkeys("h"), list[str])
    assert_type(await r.hexists("h", "f"), bool)
    assert_type(await r.hscan("h"), tuple[int, dict[str, str]])
    assert_type(await r.hscan("h", no_values=True), tuple[int, list[str]])
    async for field, value in r.hscan_iter("h"):
        assert_type((field, value), tuple[str, str])
    async for field in r.hscan_iter("h", no_values=True):
        assert_type(field, str)


async def lists(r: Redis, names: list[str]) -> None:
    assert_type(await r.rpush("l", *names), int)
    assert_type(await r.lpop("l"), str | None)
    assert_type(await r.lpop("l", 2), list[str] | None)
    assert_type(await r.rpop("l", count=2), list[str] | None)
    assert_type(await r.lrange("l", 0, -1), list[str])
    assert_type(await r.lindex("l", 0), str | None)
    assert_type(await r.lmove("a", "b"), str | None)
    assert_type(await r.lpos("l", "v"), int | None)
    assert_type(await r.lpos("l", "v", count=0), list[int])
    assert_type(await r.blpop("l", timeout=1), tuple[str, str] | None)
    assert_type(await r.brpop(names, timeout=1), tuple[str, str] | None)


async def sets(r: Redis, names: list[str]) -> None:
    assert_type(await r.smembers("s"), set[str])
    assert_type(await r.sinter("a", "b"), set[str])
    assert_type(await r.sunion(names), set[str])
    assert_type(await r.spop("s"), str | None)
    assert_type(await r.spop("s", 2), list[str])
    assert_type(await r.srandmember("s"), str | None)
    assert_type(await r.srandmember("s", 2), list[str])
    async for member in r.sscan_iter("s"):
        assert_type(member, str)


async def sorted_sets(r: Redis, scores: dict[str, float]) -> None:
    assert_type(await r.zadd("z", scores), int)
    assert_type(await r.zadd("z", {"a": 1}, incr=True), float | None)
    assert_type(await r.zrange("z", 0, -1), list[str])
    assert_type(await r.zrange("z", 0, -1, withscores=True), list[tuple[str, float]])
    assert_type(
        await r.zrange("z", 0, -1, withscores=True, score_cast_func=int),
        list[str] | list[tuple[str, Any]],
    )
    assert_type(await r.zrevrange("z", 0, 9, withscores=True), list[tuple[str, float]])
    assert_type(await r.zrangebyscore("z", "-inf", 4), list[str])
    assert_type(await r.zscore("z", "a"), float | None)
    assert_type(await r.zrank("z", "a"), int | None)
    assert_type(await r.zpopmin("z"), list[tuple[str, float]])
    assert_type(await r.bzpopmin("z"), tuple[str, str, float] | None)
    assert_type(await r.zmscore("z", ["a", "b"]), list[float | None])
    async for member, score in r.zscan_iter("z"):
        assert_type((member, score), tuple[str, float])


async def streams(r: Redis, entry: dict[str, str], positions: dict[str, str]) -> None:
    assert_type(await r.xadd("x", {"field": "value"}), str)
    assert_type(await r.xadd("x", entry, nomkstream=True), str | None)
    assert_type(await r.xrange("x"), list[tuple[str, dict[str, str]]])
    assert_type(await r.xread(positions, block=1000), list[list[Any]])
    assert_type(await r.xreadgroup("g", "c", {"x": ">"}), list[list[Any]])
    assert_type(await r.xack("x", "g", "1-1", "1-2"), int)
    assert_type(await r.xclaim("x", "g", "c", 0, ["1-1"], justid=True), list[str])


async def server_and_scripts(r: Redis) -> None:
    assert_type(await r.ping(), bool)
    assert_type(await r.info("memory"), dict[str, Any])
    assert_type(await r.dbsize(), int)
    assert_type(await r.time(), tuple[int, int])
    assert_type(await r.client_id(), int)
    assert_type(await r.eval("return 1", 0), Any)
    assert_type(await r.script_load("return 1"), str)
    assert_type(await r.publish("channel", "message"), int)
    assert_type(await r.geosearchstore("d", "g", member="a", radius=1, unit="km"), int)
    assert_type(await r.geopos("g", "a"), list[tuple[float, float] | None])
    assert_type(await r.pfcount("a", "b"), int)
