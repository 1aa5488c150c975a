"""A stream that is deleted, trimmed, restored or cut short under those who follow it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.realtime.items import Gap
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import assert_at_rest, opened
from tests.kit.servers import has, needs
from tests.kit.tails import END, add, had, rest, stats_of, take, values
from tests.kit.waiting import until

COUNTS = has(redis="7.0")


@pytest.fixture
async def manager(redis_url: str) -> AsyncIterator[RedisManager]:
    async with RedisManager(url=redis_url) as manager:
        yield manager
        assert_at_rest(manager)


async def resumed(manager: RedisManager, cursor: str) -> list[str]:
    """What a listener gets that comes back with *cursor*, up to now."""
    async with manager.tail("s", after=cursor) as tail:
        await add(manager, "s", END)
        return values(await rest(tail))


async def copy_of(manager: RedisManager) -> bytes:
    copy = await manager.redis.with_options(decode_responses=False).dump("s")
    assert isinstance(copy, bytes)
    return copy


async def last_id(manager: RedisManager) -> str:
    [(id_, _)] = await manager.redis.xrevrange("s", count=1)
    return str(id_)


async def a_millisecond_after(manager: RedisManager, id_: str) -> None:
    """Wait until the server gives out IDs that are higher by their time."""
    while True:
        seconds, microseconds = await manager.redis.time()
        if seconds * 1000 + microseconds // 1000 > int(id_.split("-")[0]):
            return


async def restore(manager: RedisManager, copy: bytes) -> None:
    await manager.redis.restore("s", 0, copy, replace=True)


# Coming back with a cursor.


async def test_nothing_happened_meanwhile(manager: RedisManager) -> None:
    cursor = await had(manager, "s", 3)
    await add(manager, "s", "a", "b")
    assert await resumed(manager, cursor) == ["a", "b"]


async def test_entries_were_trimmed_that_it_had_not_read(manager: RedisManager) -> None:
    cursor = await had(manager, "s", 3)
    await add(manager, "s", "a", "b", "c")
    await manager.redis.xtrim("s", maxlen=1, approximate=False)
    assert await resumed(manager, cursor) == ["gap", "c"]


async def test_only_entries_were_trimmed_that_it_had_read(manager: RedisManager) -> None:
    cursor = await had(manager, "s", 3)
    await add(manager, "s", "a")
    await manager.redis.xtrim("s", maxlen=2, approximate=False)
    assert await resumed(manager, cursor) == ["a"]


async def test_all_were_trimmed_and_none_followed(manager: RedisManager) -> None:
    cursor = await had(manager, "s", 3)
    await manager.redis.xtrim("s", maxlen=0, approximate=False)
    async with manager.tail("s", after=cursor) as tail:
        reading = asyncio.create_task(rest(tail))
        await until(lambda: tail._number is not None)
        await add(manager, "s", "a", END)
        assert values(await reading) == ["a"]


async def test_its_entry_was_deleted(manager: RedisManager) -> None:
    cursor = await had(manager, "s", 3)
    await add(manager, "s", "a")
    await manager.redis.xdel("s", cursor.partition(".")[0])
    assert await resumed(manager, cursor) == (["a"] if COUNTS else ["gap", "a"])


async def test_the_stream_was_made_again(manager: RedisManager) -> None:
    cursor = await had(manager, "s", 3)
    await manager.redis.delete("s")
    await add(manager, "s", "a", "b")
    assert await resumed(manager, cursor) == ["gap", "a", "b"]


async def test_the_stream_was_made_again_with_lower_ids(manager: RedisManager) -> None:
    cursor = await had(manager, "s", 3)
    await manager.redis.delete("s")
    await add(manager, "s", "a", id="1-1")
    await add(manager, "s", "b", id="1-2")
    async with manager.tail("s", after=cursor) as tail:
        assert values(await take(tail, 3)) == ["gap", "a", "b"]
        await add(manager, "s", "c", END)
        assert values(await rest(tail)) == ["c"]


async def test_the_stream_was_made_again_with_the_same_id(manager: RedisManager) -> None:
    cursor = await had(manager, "s", 3)
    await manager.redis.delete("s")
    await add(manager, "s", "other", id=cursor.partition(".")[0])
    await add(manager, "s", "a")
    assert await resumed(manager, cursor) == ["gap", "other", "a"]


async def test_the_stream_is_gone(manager: RedisManager) -> None:
    cursor = await had(manager, "s", 3)
    await manager.redis.delete("s")
    async with manager.tail("s", after=cursor) as tail:
        assert values(await take(tail, 1)) == ["gap"]
        await add(manager, "s", "a", END)
        assert values(await rest(tail)) == ["a"]


async def test_an_older_copy_was_restored(manager: RedisManager) -> None:
    await had(manager, "s", 3)
    copy = await copy_of(manager)
    cursor = await had(manager, "s", 3)
    await restore(manager, copy)
    async with manager.tail("s", after=cursor) as tail:
        assert values(await take(tail, 1)) == ["gap"]
        await add(manager, "s", "a", END)
        assert values(await rest(tail)) == ["a"]


async def test_an_older_copy_was_restored_and_went_on(manager: RedisManager) -> None:
    await had(manager, "s", 3)
    copy = await copy_of(manager)
    cursor = await had(manager, "s", 3)
    await restore(manager, copy)
    await a_millisecond_after(manager, cursor)
    await add(manager, "s", "a", "b")
    assert await resumed(manager, cursor) == ["gap", "a", "b"]


async def test_the_gap_has_a_cursor_after_which_it_is_not_told_again(
    manager: RedisManager,
) -> None:
    cursor = await had(manager, "s", 3)
    await manager.redis.delete("s")
    await a_millisecond_after(manager, cursor)
    await add(manager, "s", "a", "b")
    async with manager.tail("s", after=cursor) as tail:
        (gap,) = await take(tail, 1)
    assert isinstance(gap, Gap)
    assert await resumed(manager, gap.cursor) == ["a", "b"]


@pytest.mark.parametrize("ids", [("6-0", "6-1"), ("6-0", "6-2"), ("6-1", "7-0")])
async def test_it_was_made_again_within_the_milliseconds_of_what_was_read(
    ids: tuple[str, ...], manager: RedisManager
) -> None:
    """Its IDs do not say so; that no entry was ever removed from it does."""
    async with manager.tail("s") as tail:
        for id_ in ("5-9", "6-0", "6-1"):
            await add(manager, "s", f"old {id_}", id=id_)
        cursor = (await take(tail, 3))[-1].cursor
    await manager.redis.delete("s")
    for id_ in ids:
        await add(manager, "s", id_, id=id_)
    assert await resumed(manager, cursor) == [
        "gap",
        *(ids if COUNTS or ids[0] > "6-0" else ids[1:]),
    ]


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        "1",
        "-",
        "1-1.",
        "$",
        "0-0\n",
        "1-1.short",
        "٣-٣",
        "9" * 40 + "-1",
        "\0",
        "a" * 99,
    ],
)
async def test_what_is_no_cursor_gives_one_gap_and_goes_on_from_now(
    cursor: str, manager: RedisManager
) -> None:
    await had(manager, "s", 3)
    assert await resumed(manager, cursor) == ["gap"]


async def test_a_cursor_of_another_stream(manager: RedisManager) -> None:
    cursor = await had(manager, "other", 1)
    await add(manager, "s", "a")
    assert (await resumed(manager, cursor))[0] == "gap"


# Listening meanwhile.

Change = Callable[[RedisManager], Awaitable[object]]


async def delete(manager: RedisManager) -> None:
    await manager.redis.delete("s")


async def flush(manager: RedisManager) -> None:
    await manager.redis.flushall()


async def expire(manager: RedisManager) -> None:
    await manager.redis.pexpire("s", 1)


@pytest.mark.parametrize("change", [delete, flush, expire])
async def test_it_is_told_at_once_that_the_stream_is_gone(
    change: Change, manager: RedisManager
) -> None:
    async with manager.tail("s") as tail:
        await add(manager, "s", "a", "b")
        assert values(await take(tail, 2)) == ["a", "b"]
        await change(manager)
        assert values(await take(tail, 1)) == ["gap"]
        await add(manager, "s", "c", END)
        assert values(await rest(tail)) == ["c"]


@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize("after", [1, 3])
async def test_the_stream_is_made_again_at_once(
    before: int, after: int, manager: RedisManager
) -> None:
    async with manager.tail("s") as tail:
        await add(manager, "s", *range(before))
        await take(tail, before)
        await a_millisecond_after(manager, await last_id(manager))
        async with manager.redis.pipeline(transaction=True) as pipeline:
            pipeline.delete("s")
            for number in range(after):
                pipeline.xadd("s", {"n": f"new {number}"})
            await pipeline.execute()
        items = await take(tail, after + 1)
        await add(manager, "s", END)
        items += await rest(tail)

    assert sorted(values(items)) == ["gap", *(f"new {number}" for number in range(after))]


async def test_an_older_copy_is_restored(manager: RedisManager) -> None:
    async with manager.tail("s") as tail:
        await add(manager, "s", "a", "b")
        copy = await copy_of(manager)
        await add(manager, "s", "c", "d")
        await take(tail, 4)
        await restore(manager, copy)
        assert values(await take(tail, 1)) == ["gap"]
        await add(manager, "s", "e", END)
        assert values(await rest(tail)) == ["e"]


@pytest.mark.parametrize("reused", ["c", "d", ""])
async def test_an_older_copy_is_restored_and_goes_on_at_once(
    reused: str, manager: RedisManager
) -> None:
    """With the ID of what was lost, if that was within the same millisecond, or a later one."""
    async with manager.tail("s") as tail:
        await add(manager, "s", "a", "b")
        copy = await copy_of(manager)
        lost = dict(zip("cd", await add(manager, "s", "c", "d"), strict=True))
        await take(tail, 4)
        await a_millisecond_after(manager, lost["d"])
        await restore(manager, copy)
        await add(manager, "s", "e", id=lost.get(reused, "*"))
        items = await take(tail, 2 if COUNTS or reused else 1)
        await add(manager, "s", END)
        items += await rest(tail)

    both = ["e", "gap"]
    assert sorted(values(items)) in ((both,) if COUNTS or reused else (both, ["e"]))


async def test_what_was_read_may_be_trimmed_and_deleted(manager: RedisManager) -> None:
    """As in a queue whose workers delete what they have done, over several checks."""
    async with manager.tail("s") as tail:
        feed = next(iter(manager._tails._feeds.values()))
        for number in range(6):
            added = await add(manager, "s", number, number)
            assert values(await take(tail, 2)) == [str(number)] * 2
            await (
                manager.redis.xdel("s", *added)
                if number % 2
                else manager.redis.xtrim("s", maxlen=0, approximate=False)
            )
            checks = feed.checks
            await until(lambda checks=checks: feed.checks > checks)
        assert stats_of(manager).gaps == 0


async def test_a_stream_that_keeps_one_entry(manager: RedisManager) -> None:
    async with manager.tail("s") as tail:
        feed = next(iter(manager._tails._feeds.values()))
        for number in range(6):
            await add(manager, "s", number, maxlen=1, approximate=False)
            checks = feed.checks
            await until(lambda checks=checks: feed.checks > checks)
        await add(manager, "s", END)
        found = values(await rest(tail))

    gaps = found.count("gap")
    assert [each for each in found if each != "gap"] == ["0", "1", "2", "3", "4", "5"]
    assert gaps == 0 if COUNTS else gaps <= 1


@needs("counting what was added", redis="7.0")
async def test_entries_are_trimmed_before_they_are_read(manager: RedisManager) -> None:
    async with manager.tail("s") as tail:
        await add(manager, "s", "a")
        await take(tail, 1)
        async with manager.redis.pipeline(transaction=True) as pipeline:
            for number in range(4):
                pipeline.xadd("s", {"n": number}, maxlen=1, approximate=False)
            await pipeline.execute()
        items = await take(tail, 2)

    gaps = [item for item in items if isinstance(item, Gap)]
    assert sorted(values(items)) == ["3", "gap"]
    assert gaps[0].dropped == 3


async def test_the_server_loses_the_last_entries(redis_server: RedisServer) -> None:
    async with (
        opened(redis_server.url, outage={"grace": 5.0}) as manager,
        manager.tail("s") as tail,
    ):
        await add(manager, "s", "a", "b")
        await redis_server.command("SAVE")
        await add(manager, "s", "c", "d")
        await take(tail, 4)
        await redis_server.kill()
        await redis_server.start()
        assert values(await take(tail, 1)) == ["gap"]
        await add(manager, "s", "e", END)
        assert values(await rest(tail)) == ["e"]


async def test_the_server_loses_the_last_entries_and_gets_others(
    redis_server: RedisServer,
) -> None:
    async with opened(redis_server.url, outage={"grace": 5.0}) as manager:
        async with manager.tail("s") as tail:
            await add(manager, "s", "a", "b")
            await redis_server.command("SAVE")
            await add(manager, "s", "c", "d")
            cursor = (await take(tail, 4))[-1].cursor
        await redis_server.kill()
        await redis_server.start()
        await add(manager, "s", "e", "f")
        assert await resumed(manager, cursor) == ["gap", "e", "f"]
