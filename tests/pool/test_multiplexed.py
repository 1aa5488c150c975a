"""The shared connection: matching, bounds, deadlines, and what kills it."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import (
    CommandTimeoutError,
    RedisManager,
    ReplyLostError,
    TooManyWaitersError,
)
from redis_manager_fastapi.pool.state import Suspicion
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.fake_server import FakeServer
from tests.kit.managers import opened, pool_of
from tests.kit.servers import needs
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("pipelining")


async def test_replies_reach_their_own_callers(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        tokens = [f"token {number}" for number in range(2000)]

        replies = await asyncio.gather(*(manager.redis.echo(token) for token in tokens))

        assert replies == tokens
        assert manager.stats().connects == 1


@needs("INFO's total_reads_processed", redis="6.0")
async def test_commands_of_one_turn_leave_in_one_write(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as manager, redis_server.client() as admin:
        before = (await admin.info("stats"))["total_reads_processed"]
        await asyncio.gather(*(manager.redis.get("key") for _ in range(100)))
        after = (await admin.info("stats"))["total_reads_processed"]

    assert after - before <= 3  # the commands, a heartbeat if there was one, and the INFO itself


async def test_the_first_half_of_many_goes_ahead(redis_url: str) -> None:
    """The server works on it while the other half is still being made."""
    async with opened(redis_url) as manager:
        (link,) = pool_of(manager).links
        unsent = []

        async def ask_twice(number: int) -> Any:
            await manager.redis.get("key")
            unsent.append(len(link._queue))
            return await manager.redis.echo(str(number))

        replies = await asyncio.gather(*[ask_twice(number) for number in range(64)])

        assert replies == [str(number) for number in range(64)]
        assert max(unsent) == 31  # the 32nd sent them all, and the rest left at the turn's end
        assert unsent[-1] == 31


async def test_those_who_were_not_answered_together_leave_together(redis_url: str) -> None:
    """Of a turn's commands none goes ahead when no reply came in the turn before."""
    async with opened(redis_url) as manager:
        (link,) = pool_of(manager).links
        await manager.redis.get("key")
        await asyncio.sleep(0)

        command: Any = manager.redis.echo
        callers = [asyncio.create_task(command(str(n))) for n in range(64)]
        await asyncio.sleep(0)

        assert len(link._queue) == 64
        assert await asyncio.gather(*callers) == [str(n) for n in range(64)]


async def test_str_and_bytes_callers_share_a_connection(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        raw = manager.redis.with_options(decode_responses=False)
        await manager.redis.set("key", "value")

        values = await asyncio.gather(*(client.get("key") for client in (manager.redis, raw) * 50))

        assert values == ["value", b"value"] * 50
        assert manager.stats().connects == 1


async def test_a_reply_that_is_no_text_fails_its_caller_only(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        await manager.redis.set("binary", b"\xff\xfe")

        outcomes: Any = await asyncio.gather(
            manager.redis.echo("before"),
            manager.redis.get("binary"),
            manager.redis.echo("after"),
            return_exceptions=True,
        )

        assert (outcomes[0], outcomes[2]) == ("before", "after")
        assert isinstance(outcomes[1], UnicodeDecodeError)
        assert manager.stats().generation == 1


async def test_cancelled_callers_leave_the_others_in_step(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        callers: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(manager.redis.echo(str(n))) for n in range(200)
        ]
        await asyncio.sleep(0)
        for caller in callers[::3]:
            caller.cancel()
        outcomes = await asyncio.gather(*callers, return_exceptions=True)

        for number, outcome in enumerate(outcomes):
            if number % 3:
                assert outcome == str(number)
            else:
                assert isinstance(outcome, asyncio.CancelledError)
        assert manager.stats().generation == 1


async def test_a_bad_argument_takes_no_place_in_the_queue(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        outcomes = await asyncio.gather(
            manager.redis.echo("one"),
            manager.redis.set("key", None),  # type: ignore[call-overload]
            manager.redis.echo("two"),
            return_exceptions=True,
        )

    assert (outcomes[0], outcomes[2]) == ("one", "two")


async def test_an_overdue_command_fails_and_the_connection_lives_on(
    redis_server: RedisServer,
) -> None:
    settings = {"timeout": {"command": 0.2}, "health": {"interval": 5, "timeout": 5}}
    async with opened(redis_server.url, **settings) as manager:
        redis_server.pause()
        with pytest.raises(CommandTimeoutError) as raised:
            await manager.redis.incr("counter")
        redis_server.resume()

        assert raised.value.maybe_executed
        await until(lambda: manager.stats().in_flight == 0)
        assert await manager.redis.get("counter") == "1"
        assert manager.stats().generation == 1


async def test_a_shorter_deadline_beside_longer_ones_is_kept(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as manager:
        redis_server.pause()
        patient: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.get("key"))
        await asyncio.sleep(0)
        with pytest.raises(CommandTimeoutError):
            async with asyncio.timeout(1):
                await manager.redis.with_options(timeout=0.1).get("key")
        redis_server.resume()

        assert await patient is None


async def test_commands_beyond_the_bound_wait_for_room(redis_server: RedisServer) -> None:
    settings = {"pipelining": {"max_in_flight": 10}, "pool": {"max_waiting": 20}}
    async with opened(redis_server.url, **settings) as manager:
        redis_server.pause()
        callers: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(manager.redis.echo(str(n))) for n in range(31)
        ]
        outcome = await asyncio.gather(callers.pop(), return_exceptions=True)
        redis_server.resume()

        assert isinstance(outcome[0], TooManyWaitersError)
        assert await asyncio.gather(*callers) == [str(n) for n in range(30)]


async def test_a_waiter_for_room_that_is_cancelled_passes_it_on(redis_server: RedisServer) -> None:
    async with opened(redis_server.url, pipelining={"max_in_flight": 1}) as manager:
        redis_server.pause()
        callers: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(manager.redis.echo(str(n))) for n in range(5)
        ]
        await until(lambda: manager.stats().waiting == 4)
        callers[1].cancel()
        redis_server.resume()

        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert outcomes[2:] == ["2", "3", "4"]


async def test_large_requests_take_a_connection_of_their_own(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        await manager.redis.set("key", "x" * 100_000)

        assert manager.stats().idle == 1
        assert await manager.redis.strlen("key") == 100_000


async def test_writes_are_held_back_while_the_server_does_not_read(
    redis_server: RedisServer,
) -> None:
    """What is held here was never sent, so it survives a restart of the server."""
    async with opened(redis_server.url, timeout={"command": 8}, outage={"grace": 8}) as manager:
        redis_server.pause()
        writes: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(manager.redis.set(f"key {n}", b"x" * 60_000)) for n in range(500)
        ]
        await asyncio.sleep(0.1)
        await redis_server.kill()
        await redis_server.start()

        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        kinds = {type(outcome) for outcome in outcomes}

    assert kinds == {bool, ReplyLostError}


@pytest.mark.parametrize(
    "stray",
    [b"+extra\r\n", b"garbage\r\n", b"$3\r\nabcdef\r\n+x\r\n", b"*2\r\n+one\r\n", b":1\r\n:2\r\n"],
)
async def test_bytes_that_nobody_asked_for_never_reach_a_caller(stray: bytes) -> None:
    """The connection is discarded, and the next command is right."""
    async with FakeServer() as fake, opened(fake.url) as manager:
        link = pool_of(manager).links[0]
        fake.connections[-1].write(stray)
        if stray.startswith(b"*"):
            fake.connections[-1].write(b"+two\r\n")
        await until(lambda: link.lost)

        assert await manager.redis.echo("mine") == "mine"
        assert manager.stats().generation == 2


@pytest.mark.parametrize("broken", [b"garbage\r\n", b"$-7\r\n", b":notanumber\r\n", b"!\r\n"])
async def test_a_reply_that_cannot_be_parsed_discards_the_connection(broken: bytes) -> None:
    async with FakeServer() as fake, opened(fake.url) as manager:
        fake.replies.append(broken)
        with pytest.raises(ReplyLostError):
            await manager.redis.incr("counter")

        assert await manager.redis.echo("mine") == "mine"


async def test_a_read_whose_reply_was_garbled_is_sent_again_once() -> None:
    async with FakeServer() as fake, opened(fake.url) as manager:
        fake.replies += [b"garbage\r\n"]
        assert await manager.redis.get("key") == "key"

        fake.replies += [b"garbage\r\n", b"garbage\r\n"]
        with pytest.raises(ReplyLostError):
            await manager.redis.get("key")


async def test_push_frames_take_no_place_in_the_queue() -> None:
    async with (
        FakeServer() as fake,
        opened(fake.url, protocol=3) as manager,
    ):
        push = b">2\r\n+invalidate\r\n*1\r\n+key\r\n"
        fake.connections[-1].write(push)
        fake.replies += [push + b"+first\r\n" + push, b"#f\r\n"]

        assert await manager.redis.echo("x") == "first"
        assert await manager.redis.execute_command("GET", "x") is False
        assert manager.stats().generation == 1


async def test_a_pipeline_is_one_contiguous_write_with_its_own_replies(redis_url: str) -> None:
    async with opened(redis_url) as manager:

        async def transfer(number: int) -> list[Any]:
            async with manager.redis.pipeline(transaction=number % 2 == 0) as pipe:
                pipe.set(f"key {number}", number)
                pipe.get(f"key {number}")
                pipe.incr(f"key {number}")
                return await pipe.execute()

        replies = await asyncio.gather(*(transfer(number) for number in range(300)))

        assert replies == [[True, str(n), n + 1] for n in range(300)]
        assert manager.stats().connects == 1


async def test_an_error_inside_a_pipeline_is_the_users_own(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        async with manager.redis.pipeline(transaction=False) as pipe:
            pipe.set("key", "text")
            pipe.incr("key")
            pipe.echo("last")
            outcome = await pipe.execute(raise_on_error=False)

        assert (outcome[0], outcome[2]) == (True, "last")
        assert isinstance(outcome[1], ResponseError)


async def test_several_links_share_the_load_and_heal_together(redis_server: RedisServer) -> None:
    async with opened(redis_server.url, pipelining={"connections": 3}) as manager:
        await asyncio.gather(*(manager.redis.echo(str(n)) for n in range(300)))
        assert manager.stats().links == 3

        await redis_server.restart(crash=True)

        assert await manager.redis.echo("healed") == "healed"
        assert manager.stats().links == 3


async def test_a_dedicated_client_can_share_again(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        alone = manager.redis.with_options(dedicated=True)
        await alone.set("key", "value")
        await alone.with_options(dedicated=False, timeout=0.5).get("key")

        assert (alone.session.options.shared, manager.stats().idle) == (False, 1)
        assert alone.with_options(dedicated=False).session.options.shared


async def test_a_shorter_deadline_is_kept_behind_a_pending_flush(redis_server: RedisServer) -> None:
    """Queued in the same turn behind a longer one, and still on time."""
    async with opened(redis_server.url) as manager:
        redis_server.pause()
        hasty = manager.redis.with_options(timeout=0.1)
        patient: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(manager.redis.get("key")) for _ in range(3)
        ]
        with pytest.raises(CommandTimeoutError):
            async with asyncio.timeout(1):
                await hasty.get("key")
        redis_server.resume()

        assert await asyncio.gather(*patient) == [None] * 3


async def test_what_an_older_connection_still_holds_is_closed_with_the_pool(
    redis_server: RedisServer,
) -> None:
    """Retired, it waits for its replies; nothing of it is left when the manager closes (I7)."""
    settings: Any = {"health": {"interval": 5, "timeout": 5}, "shutdown": {"drain": 0.1}}
    async with RedisManager(url=redis_server.url, **settings) as manager:
        pool = pool_of(manager)
        (old,) = pool.links
        fresh = await pool.dialer.dial()
        redis_server.pause()
        read: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.get("key"))
        await asyncio.sleep(0)
        pool.suspect(pool.generation, Suspicion.LINK_LOST, "for a new generation")
        pool.install([fresh])
        assert (old.lost, manager.stats().in_flight) == (False, 1)
        read.cancel()

    assert old.lost
    redis_server.resume()
