"""What `consume` acknowledges, and what it leaves pending, over a server that is well."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import (
    EntryDeadLettered,
    Event,
    GroupRemade,
    PoolClosedError,
    RedisManager,
    RedisNotStartedError,
    RedisPermissionError,
    StreamEntry,
)
from redis_manager_fastapi.realtime.consumers.group import entries_in
from redis_manager_fastapi.testing import RedisServer
from tests.kit.consuming import (
    GROUP,
    SOON,
    STREAM,
    add,
    consumed,
    listening,
    members,
    numbers,
    pending,
)
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import eventually, until

WAYS: list[Any] = [
    pytest.param({"protocol": 2}, id="RESP2"),
    pytest.param({"protocol": 3}, id="RESP3", marks=needs("RESP3", redis="6.0")),
    pytest.param({"pipelining": {"enabled": False}}, id="not shared"),
    pytest.param({"decode_responses": False}, id="bytes"),
    pytest.param({"db": 3}, id="database 3"),
]


class BodyError(Exception):
    pass


async def raise_in_body(manager: RedisManager, **options: Any) -> None:
    """Have the body of the first entry raise."""

    async def consume() -> None:
        async with manager.consume(STREAM, group=GROUP, **options) as entries:
            async for _ in entries:
                raise BodyError

    with pytest.raises(BodyError):
        await consume()


@pytest.mark.parametrize("settings", WAYS)
async def test_each_entry_comes_once_and_is_acknowledged(
    redis_server: RedisServer, settings: dict[str, Any]
) -> None:
    async with opened(redis_server.url, **settings) as manager:
        for number in range(250):
            await manager.redis.xadd(STREAM, {"n": number})
        found = await consumed(manager, 250)
        left = await manager.redis.xpending(STREAM, GROUP)
        names = await manager.redis.xinfo_consumers(STREAM, GROUP)

    assert numbers(found) == list(range(250))
    assert {(entry.stream, entry.delivered) for entry in found} == {(STREAM, 1)}
    assert left["pending"] == 0
    assert names == []


@pytest.mark.parametrize("settings", WAYS)
async def test_an_entry_whose_body_raises_comes_again(
    redis_server: RedisServer, settings: dict[str, Any]
) -> None:
    async with opened(redis_server.url, **settings) as manager:
        await manager.redis.xadd(STREAM, {"n": 1})
        await raise_in_body(manager)
        again = await consumed(manager, 1, claim_after=SOON)
        left = await manager.redis.xpending(STREAM, GROUP)

    assert numbers(again) == [1]
    assert again[0].delivered == 2
    assert left["pending"] == 0


async def test_what_was_not_looked_at_is_handed_back(redis_server: RedisServer) -> None:
    """Others need not wait for `claim_after`, and it does not count as delivered."""
    await add(redis_server, range(10))

    async with opened(redis_server.url) as manager:
        async with manager.consume(STREAM, group=GROUP) as entries:
            first = await anext(entries)
        rest = await consumed(manager, 9)

    assert numbers([first, *rest]) == list(range(10))
    assert {entry.delivered for entry in rest} == {1}
    assert await pending(redis_server) == []


async def test_a_break_leaves_its_entry_pending(redis_server: RedisServer) -> None:
    await add(redis_server, range(2))

    async with opened(redis_server.url) as manager:
        async with manager.consume(STREAM, group=GROUP, batch=1) as entries:
            async for entry in entries:
                if entry.fields["n"] == "1":
                    break
        [(entry_id, name, times)] = await pending(redis_server)
        names = await members(redis_server)

    assert (entry_id, times) == (entry.id, 1)
    assert names == [name]


async def test_a_consumer_ends_without_waiting_for_an_entry(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as manager:
        waiting = asyncio.create_task(consumed(manager, 1))
        await eventually(lambda: _has_group(redis_server))
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        took = asyncio.get_running_loop().time() - began
        assert await members(redis_server) == []

    assert took < 1.0


async def _has_group(server: RedisServer) -> bool:
    try:
        return bool(await server.command("XINFO", "GROUPS", STREAM))
    except ResponseError:
        return False


async def test_a_cancelled_wait_loses_nothing(redis_server: RedisServer) -> None:
    async with (
        opened(redis_server.url) as manager,
        manager.consume(STREAM, group=GROUP) as entries,
    ):
        for number in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005):
                    await anext(entries)
            await add(redis_server, [number])
            assert numbers([await anext(entries)]) == [number]


async def test_several_streams(redis_server: RedisServer) -> None:
    for stream in ("a", "b", "c"):
        await add(redis_server, range(50), stream)

    async with opened(redis_server.url) as manager:
        found = await consumed(manager, 150, "a", "b", "c")
        assert await consumed(manager, 1, "a", "b", until=Gone()) == []

    for stream in ("a", "b", "c"):
        assert numbers([each for each in found if each.stream == stream]) == list(range(50))
        assert await pending(redis_server, stream) == []


class Gone:
    """A request whose client has gone."""

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.disconnect"}


async def test_a_slow_body_is_acknowledged_before_the_next_is_through(
    redis_server: RedisServer,
) -> None:
    await add(redis_server, range(2))

    async with (
        opened(redis_server.url) as manager,
        manager.consume(STREAM, group=GROUP) as entries,
    ):
        await anext(entries)
        await anext(entries)
        await eventually(lambda: _pending_are(redis_server, 1), 1.0)


async def _pending_are(server: RedisServer, many: int) -> bool:
    return len(await pending(server)) == many


async def test_what_is_in_hand_for_long_is_not_claimed(redis_server: RedisServer) -> None:
    """`claim_after` is about signs of life, not about how long a body may take."""
    await add(redis_server, range(3))
    others: list[StreamEntry] = []

    async def other(manager: RedisManager) -> None:
        async with manager.consume(STREAM, group=GROUP, claim_after=SOON) as entries:
            async for entry in entries:
                others.append(entry)  # noqa: PERF401 (it is cancelled)

    async with opened(redis_server.url) as manager:
        async with manager.consume(STREAM, group=GROUP, claim_after=SOON) as entries:
            await anext(entries)
            task = asyncio.create_task(other(manager))
            await asyncio.sleep(5 * SOON)
            found = [await anext(entries), await anext(entries)]
        task.cancel()
        await asyncio.wait([task])

    assert numbers(found) == [1, 2]
    assert others == []


async def test_a_dead_consumers_entries_are_claimed(redis_server: RedisServer) -> None:
    await add(redis_server, range(3))
    await redis_server.command("XGROUP", "CREATE", STREAM, GROUP, "0")
    for _ in range(2):
        await redis_server.command("XREADGROUP", "GROUP", GROUP, "dead", "STREAMS", STREAM, ">")
        await redis_server.command("XREADGROUP", "GROUP", GROUP, "dead", "STREAMS", STREAM, "0")

    async with opened(redis_server.url) as manager:
        found = await consumed(manager, 3, claim_after=SOON)

    assert numbers(found) == [0, 1, 2]
    assert {entry.delivered for entry in found} == {4}
    assert await pending(redis_server) == []


@pytest.mark.parametrize("times", [2, b"2"])
def test_a_read_that_claims_says_how_often_an_entry_came(times: Any) -> None:
    """As Redis 8.4 documents its reply: what is claimed first, then what is new."""
    claimed, new = [b"1-0", [b"n", b"0"], 300, times], [b"2-0", [b"n", b"1"]]

    found = entries_in({b"orders": [claimed, new]})

    assert found == entries_in([[b"orders", [claimed, new]]])
    assert found == [
        StreamEntry("orders", "1-0", {"n": "0"}, 3),
        StreamEntry("orders", "2-0", {"n": "1"}),
    ]


@needs("XREADGROUP CLAIM", redis="8.4", valkey="99.0")
async def test_a_read_claims_where_the_server_can(redis_server: RedisServer) -> None:
    await add(redis_server, range(3))
    await redis_server.command("XGROUP", "CREATE", STREAM, GROUP, "0")
    async with opened(redis_server.url) as manager:
        async with manager.consume(STREAM, group=GROUP, claim_after=SOON, batch=1) as entries:
            first = await anext(entries)
            await redis_server.command(
                "XREADGROUP", "GROUP", GROUP, "dead", "COUNT", 2, "STREAMS", STREAM, ">"
            )
            found = [await anext(entries), await anext(entries)]
        calls = await redis_server.command("INFO", "commandstats")

    assert numbers([first, *found]) == [0, 1, 2]
    assert {entry.delivered for entry in found} == {2}
    assert calls["cmdstat_xautoclaim"]["calls"] <= 2


async def test_many_entries_of_a_dead_consumer_do_not_hold_up_new_ones(
    redis_server: RedisServer,
) -> None:
    await add(redis_server, range(1000))
    await redis_server.command("XGROUP", "CREATE", STREAM, GROUP, "0")
    command = ("XREADGROUP", "GROUP", GROUP, "dead", "COUNT", 1000, "STREAMS", STREAM, ">")
    await redis_server.command(*command)
    await asyncio.sleep(SOON)
    await add(redis_server, [1000])

    async with opened(redis_server.url) as manager:
        found = numbers(await consumed(manager, 1001, claim_after=SOON, batch=10))

    assert sorted(found) == list(range(1001))
    assert found.index(1000) < 50


async def test_a_deleted_entry_is_acknowledged_away(redis_server: RedisServer) -> None:
    await add(redis_server, range(3))
    await redis_server.command("XGROUP", "CREATE", STREAM, GROUP, "0")
    command = ("XREADGROUP", "GROUP", GROUP, "dead", "STREAMS", STREAM, ">")
    ((_, rows),) = await redis_server.command(*command)
    await redis_server.command("XDEL", STREAM, rows[1][0])

    async with opened(redis_server.url) as manager:
        found = await consumed(manager, 2, claim_after=SOON)
        assert numbers(found) == [0, 2]
        await eventually(lambda: _pending_are(redis_server, 0))


async def test_a_consumer_that_comes_back_under_its_name_gets_its_own(
    redis_server: RedisServer,
) -> None:
    await add(redis_server, range(3))
    await redis_server.command("XGROUP", "CREATE", STREAM, GROUP, "0")
    command = ("XREADGROUP", "GROUP", GROUP, "me", "COUNT", 2, "STREAMS", STREAM, ">")
    ((_, rows),) = await redis_server.command(*command)
    await redis_server.command("XDEL", STREAM, rows[0][0])

    async with opened(redis_server.url) as manager:
        found = await consumed(manager, 2, consumer="me")

    assert [(int(each.fields["n"]), each.delivered) for each in found] == [(1, 2), (2, 1)]
    assert await pending(redis_server) == []


async def test_deliveries_are_known_of_a_batch_of_any_size(redis_server: RedisServer) -> None:
    """The server lists what is pending by the thousand."""
    await add(redis_server, range(1100))
    await redis_server.command("XGROUP", "CREATE", STREAM, GROUP, "0")
    command = ("XREADGROUP", "GROUP", GROUP, "me", "COUNT", 1100, "STREAMS", STREAM, ">")
    await redis_server.command(*command)

    async with opened(redis_server.url) as manager:
        found = await consumed(manager, 1100, consumer="me", batch=1100)

    assert {entry.delivered for entry in found} == {2}


async def test_an_entry_that_is_always_raised_for_is_moved(redis_server: RedisServer) -> None:
    """Row 50; what a body cannot read goes where it can be looked at, byte for byte."""
    events: list[Event] = []
    async with RedisManager(url=redis_server.url, listeners=[events.append]) as manager:
        raw: Any = manager.redis
        for number in range(5):
            await raw.xadd(STREAM, {"n": number, b"raw": b"\xff\x00" if number == 2 else b""})
        seen: list[int] = []
        while len(set(seen)) < 5 or not any(isinstance(each, EntryDeadLettered) for each in events):
            try:
                await _until_two_raises(manager, seen, events)
            except BodyError:
                continue
        letters = await raw.with_options(decode_responses=False).xrange("dead")

    assert seen.count(2) == 3
    assert sorted(set(seen)) == list(range(5))
    [(_, fields)] = letters
    assert fields[b"raw"] == b"\xff\x00"
    assert fields[b"dead_letter.reason"] == b"BodyError: two"
    assert (fields[b"dead_letter.stream"], fields[b"dead_letter.deliveries"]) == (
        STREAM.encode(),
        b"3",
    )
    [event] = [each for each in events if isinstance(each, EntryDeadLettered)]
    assert event.id.encode() == fields[b"dead_letter.id"]
    assert await pending(redis_server) == []


async def test_any_reason_is_told(redis_server: RedisServer) -> None:
    """Half a surrogate pair has no bytes; JSON in an entry may hold one, and so may an error."""
    await add(redis_server, range(2))
    async with opened(redis_server.url) as manager:
        options: Any = {"max_deliveries": 1, "dead_letter": "dead", "claim_after": SOON}
        with suppress(BodyError):
            async with manager.consume(STREAM, group=GROUP, **options) as entries:
                await anext(entries)
                raise BodyError("who is \ud800?")
        found = await consumed(manager, 1, **options)
        letters = await manager.redis.xrange("dead")

    assert numbers(found) == [1]
    assert [fields["dead_letter.reason"] for _, fields in letters] == [r"BodyError: who is \ud800?"]


async def test_what_breaks_a_read_is_raised(redis_server: RedisServer) -> None:
    """Nobody waits for a loop that has ended, whatever ended it."""

    async def broken(*args: Any, **options: Any) -> Any:
        raise BodyError("what came makes no sense")

    async with (
        opened(redis_server.url) as manager,
        manager.consume(STREAM, group=GROUP) as entries,
    ):
        entries._entered().group.read = broken  # type: ignore[method-assign]
        with pytest.raises(BodyError):
            async with asyncio.timeout(5):
                await anext(entries)


async def _until_two_raises(manager: RedisManager, seen: list[int], events: list[Event]) -> None:
    options: Any = {"claim_after": SOON, "max_deliveries": 3, "dead_letter": "dead"}
    async with manager.consume(STREAM, group=GROUP, **options) as entries:
        async for entry in entries:
            seen.append(int(entry.fields["n"]))
            if seen[-1] == 2:
                raise BodyError("two")


async def test_an_entry_that_kills_its_consumers_is_moved(redis_server: RedisServer) -> None:
    await add(redis_server, range(1))
    await redis_server.command("XGROUP", "CREATE", STREAM, GROUP, "0")
    for after in (">", "0", "0"):
        command = ("XREADGROUP", "GROUP", GROUP, "dead", "STREAMS", STREAM, after)
        await redis_server.command(*command)

    async with opened(redis_server.url) as manager:
        options: Any = {"claim_after": SOON, "max_deliveries": 3, "dead_letter": "dead"}
        async with manager.consume(STREAM, group=GROUP, **options) as entries:
            waiting = asyncio.ensure_future(anext(entries))
            await eventually(lambda: _length_is(redis_server, "dead", 1))
            waiting.cancel()
            await asyncio.wait([waiting])
        assert await pending(redis_server) == []


async def _length_is(server: RedisServer, stream: str, length: int) -> bool:
    return bool(await server.command("XLEN", stream) == length)


async def test_without_a_dead_letter_stream_it_is_given_up(redis_server: RedisServer) -> None:
    events: list[Event] = []
    await add(redis_server, range(1))
    async with RedisManager(url=redis_server.url, listeners=[events.append]) as manager:
        await raise_in_body(manager, max_deliveries=1)
        assert await pending(redis_server) == []

    [event] = [each for each in events if isinstance(each, EntryDeadLettered)]
    assert (event.dead_letter, event.deliveries) == ("", 1)


FLUSH, DESTROY = ("FLUSHALL",), ("XGROUP", "DESTROY", STREAM, GROUP)


async def _lose(server: RedisServer, loss: tuple[str, ...], numbers: range) -> None:
    """Lose the group, and add entries in the same moment."""
    async with server.client() as client, client.pipeline(transaction=True) as pipeline:
        pipeline.execute_command(*loss)
        for number in numbers:
            pipeline.xadd(STREAM, {"n": number})
        await pipeline.execute()


@pytest.mark.parametrize("loss", [FLUSH, DESTROY], ids=["flushed", "destroyed"])
@pytest.mark.parametrize("start", ["0", "$"])
async def test_a_lost_group_is_made_again(
    redis_server: RedisServer, loss: tuple[str, ...], start: Any
) -> None:
    """Row 48: nothing that was acknowledged comes again, and nothing new is missed."""
    events: list[Event] = []
    await add(redis_server, range(100))
    async with (
        RedisManager(url=redis_server.url, listeners=[events.append]) as manager,
        manager.consume(STREAM, group=GROUP, start=start) as entries,
    ):
        waiting = asyncio.ensure_future(anext(entries))
        await eventually(lambda: _has_group(redis_server))
        await add(redis_server, range(100, 110))
        found = [await waiting]
        while numbers(found)[-1] < 109:
            found.append(await anext(entries))
        waiting = asyncio.ensure_future(anext(entries))
        await asyncio.sleep(0.3)
        await _lose(redis_server, loss, range(110, 120))
        found.append(await waiting)
        while numbers(found)[-1] < 119:
            found.append(await anext(entries))

    assert numbers(found) == list(range(0 if start == "0" else 100, 120))
    remade = [each for each in events if isinstance(each, GroupRemade)]
    assert [(each.stream, each.group) for each in remade] == [(STREAM, GROUP)]


async def test_what_is_in_hand_stays_pending_in_a_group_made_again(
    redis_server: RedisServer,
) -> None:
    manager = RedisManager(url=redis_server.url)
    seen: list[int] = []
    through = asyncio.Event()

    @manager.consumer(STREAM, group=GROUP, concurrency=2)
    async def handle(entry: StreamEntry) -> None:
        seen.append(int(entry.fields["n"]))
        if entry.fields["n"] == "0":
            await through.wait()

    await add(redis_server, [0])
    async with manager:
        await until(lambda: seen == [0])
        await _lose(redis_server, DESTROY, range(1, 2))
        await until(lambda: seen == [0, 1])
        await eventually(lambda: _pending_are(redis_server, 1))
        through.set()
        await eventually(lambda: _pending_are(redis_server, 0))
    assert seen == [0, 1]


async def first(manager: RedisManager, stream: str) -> StreamEntry:
    async with manager.consume(stream, group=GROUP) as entries:
        return await anext(entries)


async def test_what_the_server_will_never_allow_is_raised(redis_server: RedisServer) -> None:
    await redis_server.command("SET", "text", "text")
    async with opened(redis_server.url) as manager:
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await first(manager, "text")


@needs("ACL", redis="6.0")
async def test_what_an_acl_forbids_is_raised(redis_server: RedisServer) -> None:
    rules = ("on", ">secret", "~*", "+@all", "-xreadgroup")
    await redis_server.command("ACL", "SETUSER", "limited", *rules)
    url = redis_server.url.replace("redis://", "redis://limited:secret@")
    async with opened(url) as manager:
        with pytest.raises(RedisPermissionError):
            await first(manager, STREAM)


@needs("ACL", redis="6.0")
async def test_without_scripts_only_the_name_stays(redis_server: RedisServer) -> None:
    rules = ("on", ">secret", "~*", "+@all", "-@scripting")
    await redis_server.command("ACL", "SETUSER", "limited", *rules)
    await add(redis_server, range(1))
    url = redis_server.url.replace("redis://", "redis://limited:secret@")
    async with opened(url) as manager:
        assert numbers(await consumed(manager, 1)) == [0]
    assert await pending(redis_server) == []
    assert len(await members(redis_server)) == 1


async def test_the_manager_ends_the_iteration(redis_server: RedisServer) -> None:
    await add(redis_server, range(10))
    through: list[StreamEntry] = []
    entered = asyncio.Event()

    async def consume(manager: RedisManager) -> None:
        async with manager.consume(STREAM, group=GROUP) as entries:
            async for entry in entries:
                entered.set()
                await asyncio.sleep(0.2)
                through.append(entry)

    async with opened(redis_server.url) as manager:
        task = asyncio.create_task(consume(manager))
        await entered.wait()
    assert task.done()
    assert task.result() is None
    assert numbers(through) == [0]

    with pytest.raises(PoolClosedError):
        await consume(manager)
    assert [times for _, _, times in await pending(redis_server)] == [0] * 9
    async with manager:
        rest = await consumed(manager, 9)
    assert numbers(rest) == list(range(1, 10))


async def test_a_name_of_a_dead_consumer_does_not_stay(redis_server: RedisServer) -> None:
    await redis_server.command("XADD", STREAM, "*", "n", 0)
    await redis_server.command("XGROUP", "CREATE", STREAM, GROUP, "0")
    for name in ("rm:host:1:dead", "somebody"):
        await add(redis_server, range(1))
        command = ("XREADGROUP", "GROUP", GROUP, name, "COUNT", 1, "STREAMS", STREAM, ">")
        ((_, ((entry_id, _),)),) = await redis_server.command(*command)
        await redis_server.command("XACK", STREAM, GROUP, entry_id)
    async with opened(redis_server.url) as manager:
        async with manager.consume(STREAM, group=GROUP, claim_after=0.02) as entries:
            await anext(entries)
            waiting = asyncio.ensure_future(anext(entries))

            async def is_gone() -> bool:
                return "rm:host:1:dead" not in await members(redis_server)

            await eventually(is_gone)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert await members(redis_server) == ["somebody"]


async def test_stats_tell_what_the_server_knows(redis_server: RedisServer) -> None:
    await add(redis_server, range(10))
    async with (
        opened(redis_server.url) as manager,
        manager.consume(STREAM, group=GROUP, batch=4) as entries,
    ):
        await anext(entries)
        await anext(entries)
        manager.stats()
        await until(lambda: listening(manager).consumers[0].pending is not None)
        [stats] = listening(manager).consumers

    assert (stats.stream, stats.group) == (STREAM, GROUP)
    assert (stats.in_hand, stats.handled, stats.failed) == (3, 1, 0)
    assert stats.pending in (3, 4)
    assert stats.lag in (6, None)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"streams": ()}, TypeError, "needs the key of a stream"),
        ({"streams": (["a"],)}, TypeError, "a stream must be a str"),
        ({"streams": ("a", "a")}, ValueError, "may be given once"),
        ({"group": ""}, ValueError, "group must not be empty"),
        ({"consumer": 5}, TypeError, "consumer must be a str"),
        ({"streams": ("a\ud800",)}, ValueError, "a stream cannot be sent"),
        ({"start": "now"}, ValueError, "start must be '0' or"),
        ({"batch": 0}, ValueError, "batch must be a whole number above 0"),
        ({"batch": True}, ValueError, "batch must be a whole number above 0"),
        ({"claim_after": 0}, ValueError, "claim_after must be a number of seconds"),
        ({"claim_after": float("nan")}, ValueError, "claim_after must be a number of seconds"),
        ({"max_deliveries": 0}, ValueError, "max_deliveries must be"),
        ({"max_deliverys": 3}, TypeError, "not an option of a consumer; write max_deliveries"),
        ({"xyz": 3}, TypeError, "xyz is not an option of a consumer; take consumer, start"),
        ({"concurrency": 8}, TypeError, "concurrency is for @manager.consumer, and not"),
        ({"dead_letter": "dead"}, ValueError, "give both"),
        ({"dead_letter": "a", "max_deliveries": 1}, ValueError, "is one of the streams"),
    ],
)
async def test_a_wrong_argument_is_told_at_once(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    given = {"streams": ("a",), "group": GROUP, **arguments}
    manager = RedisManager(url="redis://127.0.0.1:1")
    with pytest.raises(error, match=words):
        manager.consume(*given.pop("streams"), **given)


async def test_names_may_be_any_bytes(redis_server: RedisServer) -> None:
    name = "\udcffü"
    raw = name.encode("utf-8", "surrogateescape")
    await redis_server.command("XADD", raw, "*", "n", 1)
    async with opened(redis_server.url) as manager:
        async with manager.consume(name, group=name, consumer=name) as entries:
            entry = await anext(entries)
        summary: Any = await manager.redis.xpending(raw, raw)

    assert (entry.stream, entry.fields) == (name, {"n": "1"})
    assert summary["pending"] == 0


async def test_a_block_is_entered_once_and_after_the_manager(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url)
    entries = manager.consume(STREAM, group=GROUP)
    with pytest.raises(RedisNotStartedError):
        await entries.__aenter__()
    with pytest.raises(RuntimeError, match="enter consume"):
        await anext(entries)
    async with manager:
        async with entries:
            pass
        with pytest.raises(RuntimeError, match="call consume"):
            await entries.__aenter__()
