"""A blocking command in parts: what is sent, and when it is over."""

from math import inf, nan
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi.commands.blocking import (
    begin,
    blocking_timeout,
    new_only,
    with_time_left,
)
from tests.kit.managers import opened

Args = tuple[Any, ...]
MOVE = ("BLMOVE", "a", "b", "LEFT", "LEFT")


def parts_of(args: Args, *, whole: bool = False) -> list[Args]:
    """What is sent while every part ends with nothing, to the millisecond."""
    begun = begin(args[0], args, 0.0, 0.5, whole=whole)
    assert begun is not None
    wait, first = begun
    sent, now = [first], wait.part_ends
    while now < 10.0 and wait.goes_on(None, now):
        sent.append(wait.next(now))
        now = wait.part_ends
    return sent


@pytest.mark.parametrize(
    ("args", "sent"),
    [
        (("BLPOP", "a", "b", 1.2), [("BLPOP", "a", "b", t) for t in ("0.500", "0.500", "0.200")]),
        (("BLPOP", "a", 0.3), [("BLPOP", "a", 0.3)]),
        (("BLMPOP", 1, 1, "a", "LEFT"), [("BLMPOP", "0.500", 1, "a", "LEFT")] * 2),
        (
            ("BLMOVE", "a", "b", "LEFT", "LEFT", 1),
            [("BLMOVE", "a", "b", "LEFT", "LEFT", "0.500")] * 2,
        ),
        (
            ("BLMOVEM", "a", "b", "LEFT", "LEFT", 1, "COUNT", 2, "BULK"),
            [("BLMOVEM", "a", "b", "LEFT", "LEFT", "0.500", "COUNT", 2, "BULK")] * 2,
        ),
        (
            ("XREAD", b"BLOCK", 700, "STREAMS", "s", "0"),
            [("XREAD", b"BLOCK", ms, "STREAMS", "s", "0") for ms in (500, 200)],
        ),
        (
            ("XREADGROUP", "GROUP", "BLOCK", "c", "BLOCK", 700, "STREAMS", "s", ">"),
            [
                ("XREADGROUP", "GROUP", "BLOCK", "c", "BLOCK", ms, "STREAMS", "s", ">")
                for ms in (500, 200)
            ],
        ),
    ],
)
def test_parts_add_up_to_the_caller_s_time(args: Args, sent: list[Args]) -> None:
    assert parts_of(args) == sent


def test_for_ever_is_one_part_after_the_other() -> None:
    assert parts_of(("BRPOP", "a", 0)) == [("BRPOP", "a", "0.500")] * 20


def test_an_old_server_gets_whole_seconds() -> None:
    assert parts_of(("BLPOP", "a", 3), whole=True) == [("BLPOP", "a", 1)] * 3
    assert parts_of(("XREAD", "BLOCK", 700, "STREAMS", "s", "0"), whole=True)[1][2] == 200


def test_a_refused_fraction_is_made_whole_unless_it_is_the_caller_s_own() -> None:
    words = "ERR timeout is not an integer or out of range"
    for timeout, refused in ((7, True), (0, True), (0.7, False)):
        begun = begin("BLPOP", ("BLPOP", "a", timeout), 0.0, 0.5, whole=False)
        assert begun is not None
        assert begun[0].must_be_whole(words) is refused
        assert not begun[0].must_be_whole(words)


@pytest.mark.parametrize("timeout", [-1, "x", inf, float("nan"), 1e300])
def test_what_the_server_refuses_is_sent_as_it_is(timeout: Any) -> None:
    assert begin("BLPOP", ("BLPOP", "a", timeout), 0.0, 0.5, whole=False) is None


def test_what_came_is_final() -> None:
    begun = begin("BLPOP", ("BLPOP", "a", 0), 0.0, 0.5, whole=False)
    assert begun is not None
    wait, _ = begun
    assert wait.goes_on(None, 0.5)
    assert not wait.goes_on(["a", "x"], 0.5)


def test_wait_goes_on_until_as_many_replicas_have_answered_as_it_asks_for() -> None:
    begun = begin("WAIT", ("WAIT", 2, 0), 0.0, 0.5, whole=False)
    assert begun is not None
    assert begun[0].goes_on(1, 0.5)
    assert not begun[0].goes_on(2, 0.5)
    begun = begin("WAITAOF", ("WAITAOF", 1, 1, 0), 0.0, 0.5, whole=False)
    assert begun is not None
    assert begun[0].goes_on([1, 0], 0.5)
    assert not begun[0].goes_on([1, 1], 0.5)


def test_xread_from_the_end_is_not_split() -> None:
    args = ("XREAD", "BLOCK", 0, "STREAMS", "$", "t", "0", "$")
    assert new_only(args) == [7]
    assert begin("XREAD", args, 0.0, 0.5, whole=False) is None
    assert new_only(("XREAD", "STREAMS", "s", "$")) == []


@pytest.mark.parametrize(
    ("args", "left", "shortened"),
    [
        (("BLPOP", "a", 7), 2.4, ("BLPOP", "a", 2)),
        (("BLPOP", "a", 7), -1.0, ("BLPOP", "a", 1)),
        (("BLPOP", "a", 7.5), 2.4, ("BLPOP", "a", "2.400")),
        (("BLPOP", "a", 0), inf, ("BLPOP", "a", 0)),
        (("WAIT", 1, 900), 0.25, ("WAIT", 1, 250)),
    ],
)
def test_a_command_that_goes_out_again_has_the_time_that_is_left(
    args: Args, left: float, shortened: Args
) -> None:
    assert with_time_left(args, left) == shortened


NO_TIMES = [-10, -0.5, nan, "nan", 10**400, -(10**400)]


@pytest.mark.parametrize("time", NO_TIMES, ids=lambda time: str(time)[:4])
def test_a_time_that_no_server_takes_is_none(time: Any) -> None:
    for args in (("BLPOP", "a", time), ("BLMPOP", time, 1, "a", "LEFT"), ("WAIT", 1, time)):
        assert blocking_timeout(args) is None


@pytest.mark.parametrize("time", NO_TIMES, ids=lambda time: str(time)[:4])
@pytest.mark.parametrize("name", ["BLPOP", "BRPOPLPUSH", "BZPOPMIN", "WAIT"])
async def test_a_time_that_no_server_takes_is_refused_by_the_server(
    redis_url: str, name: str, time: Any
) -> None:
    keys = {"BRPOPLPUSH": ("a", "b"), "WAIT": (1,)}.get(name, ("a",))
    async with opened(redis_url) as manager:
        with pytest.raises(ResponseError, match="timeout"):
            await manager.redis.execute_command(name, *keys, time)
        pipe = manager.redis.pipeline(transaction=False).set("key", "value")
        pipe.execute_command(name, *keys, time)
        with pytest.raises(ResponseError, match="timeout"):
            await pipe.execute()
