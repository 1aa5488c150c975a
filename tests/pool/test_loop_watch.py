"""When the event loop was blocked, by what, and what it costs while nothing is overdue."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from redis_manager_fastapi.pool import loop_watch
from redis_manager_fastapi.pool.loop_watch import Block, LoopWatch
from tests.kit.waiting import until


@pytest.fixture
async def watch() -> AsyncIterator[LoopWatch]:
    """A watch of the test's loop."""
    watch = LoopWatch(asyncio.get_running_loop())
    yield watch
    watch.close()


def watching() -> bool:
    return any(thread.name == "redis-loop-watch" for thread in threading.enumerate())


def hold_up(seconds: float) -> None:
    time.sleep(seconds)


async def test_the_stack_that_blocks_is_seen_while_something_is_overdue(watch: LoopWatch) -> None:
    watch.look()
    await asyncio.sleep(0.05)
    since = time.monotonic()
    hold_up(0.4)

    seconds, stack = watch.blocked(since, time.monotonic())

    assert seconds > 0.2
    assert "in hold_up" in stack
    assert stack.rstrip().endswith("time.sleep(seconds)")


async def test_a_late_timer_tells_of_a_block_that_is_over(watch: LoopWatch) -> None:
    since = time.monotonic()
    hold_up(0.3)
    watch.timer_fired(since + 0.1)

    seconds, stack = watch.blocked(since, since + 10)

    assert seconds == pytest.approx(time.monotonic() - since - 0.1, abs=0.05)
    assert stack == ""
    assert watching()


async def test_a_timer_in_time_starts_nothing(watch: LoopWatch) -> None:
    watch.timer_fired(time.monotonic())

    assert not watching()
    assert watch.blocked(0, time.monotonic()) == (0.0, "")


async def test_the_thread_ends_when_nothing_is_overdue_any_more(
    watch: LoopWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_watch, "_STAYS", 0.1)
    watch.look()
    assert watching()

    await until(lambda: not watching())
    watch.look()
    assert watching()


async def test_a_closed_watch_leaves_no_thread(watch: LoopWatch) -> None:
    watch.look()

    watch.close()

    assert not watching()
    watch.look()
    assert not watching()


async def test_what_was_noted_twice_counts_once(watch: LoopWatch) -> None:
    for block in (Block(1.0, 3.0), Block(2.0, 4.0, "stack")):
        watch._note(block)

    assert watch.blocked(0.0, 10.0) == (3.0, "stack")
    assert watch.blocked(3.5, 10.0) == (0.5, "stack")
    assert watch.blocked(5.0, 10.0) == (0.0, "")
