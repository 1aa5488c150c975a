"""Which client `with_options` returns, and what one for `bytes` answers."""

from typing import assert_type

from redis_manager_fastapi import Redis


class Mine(Redis):
    """A user's subclass of the client for `str`."""


async def replies_are_bytes(r: Redis[bytes], names: list[bytes]) -> None:
    assert_type(await r.get("k"), bytes | None)
    assert_type(await r.set(b"k", b"v", get=True), bytes | None)
    assert_type(await r.mget(names), list[bytes | None])
    assert_type(await r.hgetall("h"), dict[bytes, bytes])
    assert_type(await r.lpop("l", 2), list[bytes] | None)
    assert_type(await r.blpop("l"), tuple[bytes, bytes] | None)
    assert_type(await r.smembers("s"), set[bytes])
    assert_type(await r.zrange("z", 0, -1, withscores=True), list[tuple[bytes, float]])
    assert_type(await r.xrange("x"), list[tuple[bytes, dict[bytes, bytes]]])
    assert_type(await r.incr("k"), int)
    assert_type(await r.script_load("return 1"), str)
    async for key in r.scan_iter():
        assert_type(key, bytes)


async def options_choose_the_client(r: Redis, mine: Mine, decode: bool) -> None:
    raw = r.with_options(decode_responses=False)
    assert_type(raw, Redis[bytes])
    assert_type(raw.with_options(decode_responses=True), Redis)
    assert_type(raw.with_options(timeout=5), Redis[bytes])
    assert_type(r.with_options(timeout=5, dedicated=True), Redis)
    assert_type(raw.with_options(grace=0), Redis[bytes])
    assert_type(mine.with_options(timeout=5), Mine)
    assert_type(await r.with_options(decode_responses=decode).get("k"), str | bytes | None)


async def pinned_client_is_the_same(r: Redis, raw: Redis[bytes]) -> None:
    async with r.client() as pinned:
        assert_type(pinned, Redis)
        assert_type(await pinned.get("k"), str | None)
    async with raw.client() as pinned_raw:
        assert_type(await pinned_raw.get("k"), bytes | None)
