"""What a person reads who has nothing but the log of a service."""

import asyncio
import json
import logging
import re
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import RedisManager, RedisUnavailableError
from redis_manager_fastapi.observe import log
from redis_manager_fastapi.observe.events import (
    EntryDeadLettered,
    Event,
    ProbeFailed,
    Resubscribed,
    StateChanged,
    SubscriptionsBroken,
    SubscriptionsHealed,
    WorkerFailed,
)
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.managers import opened
from tests.kit.outage_log import as_json, outage_log
from tests.kit.serving import ROOT, environment
from tests.kit.waiting import until

AWAY = 4.0


def healed(met: int) -> StateChanged:
    """The end of an outage that so many commands met, in each way."""
    return StateChanged("x", "down", "ready", 2, "", 1.0, waited=met, refused=met, lost=met)


async def test_six_lines_tell_an_outage_under_uvicorns_own_logging(
    redis_server: RedisServer,
) -> None:
    lines, statuses = await outage_log(redis_server, "--no-access-log", away=AWAY)

    assert len(lines) <= 6, lines
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING ", line) for line in lines)
    down = next(line for line in lines if " is down: connection refused" in line)
    assert f"'default' (127.0.0.1:{redis_server.port})" in down
    healed = next(line for line in lines if " serves again after " in line)
    seconds = re.search(r"after (\d+\.\d\d) s", healed)
    assert seconds is not None
    assert AWAY - 0.5 <= float(seconds[1]) <= AWAY + 2
    # A read that was out when the server was killed may have run.
    met = re.findall(r"(\d+) (?:commands? w\w+ refused|lost \w+ reply)", healed)
    assert sum(map(int, met)) == statuses.count(503) > 0
    more = re.search(r"(\d+) more requests? w\w+ answered: \d+ with 503 redis_", lines[-1])
    assert more is not None
    assert int(more[1]) == statuses.count(503) - 1


async def test_the_same_in_json(redis_server: RedisServer, tmp_path: Path) -> None:
    arguments = ("--no-access-log", *as_json(tmp_path))
    lines, statuses = await outage_log(redis_server, *arguments, away=AWAY)

    records: list[dict[str, Any]] = [json.loads(line) for line in lines if '"event"' in line]
    warnings = [record for record in records if record["level"] == "WARNING"]
    assert len(warnings) <= 6
    assert {record["instance"] for record in records} == {"default"}
    by_event = {record["event"]: record for record in warnings}
    assert by_event["redis_down"]["reason"] == "connection refused"
    healed = by_event["redis_recovered"]
    assert healed["refused"] + healed["lost"] == statuses.count(503)
    assert healed["address"] == f"127.0.0.1:{redis_server.port}"
    answers = by_event["redis_requests_refused"]["answers"]
    assert sum(answers.values()) == statuses.count(503) - 1


@pytest.mark.parametrize("own", ["basicConfig(format='own %(message)s')", "handler"])
async def test_an_apps_own_logging_is_not_doubled(redis_server: RedisServer, own: str) -> None:
    """With a handler of the app's own ours stays silent, also if that came later."""
    code = (
        "import asyncio, logging\n"
        "from redis_manager_fastapi import RedisManager\n"
        f"manager = RedisManager({redis_server.url!r}, startup={{'policy': 'fail'}})\n"
        "logger, handler = logging.getLogger('redis_manager_fastapi'), logging.StreamHandler()\n"
        "handler.setFormatter(logging.Formatter('own %(message)s'))\n"
        "async def main():\n"
        "    async with manager:\n"
        "        logger.warning('first')\n"
        f"        {'logger.addHandler(handler)' if own == 'handler' else f'logging.{own}'}\n"
        "        logger.warning('second')\n"
        "asyncio.run(main())\n"
    )
    first, second = await printed(code)
    assert re.match(PRINTED + "first$", first)
    assert second == "own second"


@pytest.mark.parametrize(
    "made", ["RedisSettings()", "RedisManager()", "RedisRegistry.from_env('default')"]
)
async def test_a_warning_about_settings_has_its_time_too(made: str) -> None:
    """It is logged when they are read, as by a module of the app, before anything opens."""
    code = (
        "from redis_manager_fastapi import RedisManager, RedisRegistry, RedisSettings\n"
        f"settings = {made}\n"
    )
    (line,) = await printed(code, REDIS_TIMEOUT__COMAND="3")
    assert re.match(PRINTED + "REDIS_TIMEOUT__COMAND is not a setting", line)


PRINTED = r"\d{4}-\d\d-\d\d [\d:,]+ WARNING redis_manager_fastapi: "


async def printed(code: str, **variables: str) -> list[str]:
    """What a process that runs *code* prints to stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        cwd=ROOT,
        env=environment() | variables,
        stdout=PIPE,
        stderr=PIPE,
    )
    _, errors = await process.communicate()
    return errors.decode().splitlines()


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (SubscriptionsBroken("x", "why", 1), "1 subscription is not heard: why"),
        (SubscriptionsBroken("x", "why", 2), "2 subscriptions are not heard: why"),
        (Resubscribed("x", 1, 1.0), "a pub/sub (1 channel) is subscribed"),
        (
            EntryDeadLettered("x", "s", "1-0", "g", "dead", "why", 1),
            "was delivered 1 time to group 'g' and is moved",
        ),
        (
            healed(1),
            "1 command waited, 1 command was refused, 1 lost its reply and may have run",
        ),
        (
            healed(2),
            "2 commands waited, 2 commands were refused, 2 lost their reply and may have run",
        ),
    ],
)
def test_one_is_not_several(event: Event, text: str, caplog: pytest.LogCaptureFixture) -> None:
    log.LogListener()(event)

    assert text in caplog.text


def test_what_is_told_is_also_told_to_be_over(caplog: pytest.LogCaptureFixture) -> None:
    """A break and its end have the same level: nobody reads the first alone."""
    listener = log.LogListener()
    listener(SubscriptionsBroken("x", "why", 1))
    listener(SubscriptionsHealed("x", "why", 2.0))

    broken, heard = caplog.records
    assert vars(heard)["event"] == "redis_heard_again"
    assert heard.levelno == broken.levelno == logging.WARNING


async def test_a_fail_over_names_the_new_primary(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        SentinelDeployment() as sentinel,
        opened(sentinel.url, log_addresses=True) as manager,
    ):
        before = await sentinel.primary()
        await sentinel.failover()
        await until(lambda: any("another server" in text for text in caplog.messages), 20)
        await manager.redis.set("key", "value")
    assert "serves again from another server" in caplog.text
    record = next(r for r in caplog.records if vars(r).get("event") == "redis_failed_over")
    assert vars(record)["address"] != f"127.0.0.1:{before.port}"
    assert vars(record)["address"] in record.getMessage()


async def test_addresses_are_told_only_when_asked_for(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with opened(redis_server.url) as manager:
            await redis_server.kill()
            await until(lambda: not manager.is_ready)
            await redis_server.start()
            await manager.wait_ready(10)
    ours = [record for record in caplog.records if record.name == "redis_manager_fastapi"]
    assert ours
    assert not any(str(redis_server.port) in str(vars(record)) for record in ours)


async def test_what_goes_on_is_told_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log, "REPEAT", 0.05)
    tallies = log.Tallies()
    error = RedisUnavailableError("redis 'cache' is down", instance="cache")
    for _ in range(3):
        tallies.answered(error, 503)
    await until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[1] == (
        "redis 'cache': 2 more requests were answered: 2 with 503 redis_unavailable"
    )
    tallies.close("cache")
    tallies.answered(error, 503)
    assert len(caplog.messages) == 3
    tallies.close("cache")


def test_one_more_request_is_one(caplog: pytest.LogCaptureFixture) -> None:
    log.Tallies()._tell("x", Counter({"503 redis_unavailable": 1}))

    assert "1 more request was answered: 1 with 503" in caplog.text


async def test_who_was_refused_just_before_the_heal_is_counted_with_the_outage(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log, "SETTLED", 0.05)
    tallies = log.Tallies()
    error = RedisUnavailableError("redis 'cache' is down", instance="cache")
    tallies.answered(error, 503)
    tallies.settle("cache")
    for _ in range(2):
        tallies.answered(error, 503)
    await until(lambda: len(caplog.messages) == 2)
    assert "2 more requests were answered" in caplog.messages[1]


@pytest.fixture(autouse=True)
async def quiet() -> AsyncIterator[None]:
    """Leave no tally behind."""
    yield
    for instance in list(log.tallies._counts):
        log.tallies.close(instance)


async def test_a_manager_that_closes_leaves_no_tally(redis_server: RedisServer) -> None:
    manager = RedisManager(redis_server.url)
    async with manager:
        log.tallies.answered(RedisUnavailableError("down"), 503)
    assert not log.tallies._counts


@pytest.mark.parametrize(("command", "lines"), [(1.0, 1), (2.0, 0)])
async def test_a_grace_beyond_the_command_s_time_is_told_once(
    redis_url: str, caplog: pytest.LogCaptureFixture, command: float, lines: int
) -> None:
    """Commands wait no longer than their own time, whatever grace says."""
    async with RedisManager(redis_url, timeout={"command": command}, outage={"grace": 2.0}):
        pass

    told = [r for r in caplog.records if getattr(r, "event", "") == "redis_grace_cut_short"]
    assert len(told) == lines
    for record in told:
        assert record.levelno == logging.WARNING
        assert "waits for 1 s at most" in record.getMessage()
        assert "REDIS_TIMEOUT__COMMAND" in record.getMessage()


def test_an_internal_error_is_told_once_while_it_repeats(caplog: pytest.LogCaptureFixture) -> None:
    errors = log.InternalErrors("cache", "slot map")
    for error in (ValueError("first"), ValueError("first"), ValueError("second")):
        errors.tell(error)
    errors.told = None
    errors.tell(ValueError("second"))

    told = [(record.exc_info or ("", ""))[1] for record in caplog.records]
    assert [str(error) for error in told] == ["first", "second", "second"]
    for record in caplog.records:
        assert {"redis_internal_error", "cache", "slot map"} <= set(map(str, vars(record).values()))
        assert record.getMessage() == "redis 'cache': internal error (slot map); it continues"


@pytest.mark.parametrize("named", [False, True])
async def test_a_lost_sentinel_is_named_only_where_addresses_may_be(
    caplog: pytest.LogCaptureFixture, named: bool
) -> None:
    url = "redis+sentinel://127.0.0.1:1/primary"  # nobody listens there
    with caplog.at_level(logging.DEBUG, "redis_manager_fastapi"):
        async with RedisManager(url, startup={"policy": "degraded"}, log_addresses=named):
            await until(lambda: "stopped listening to a Sentinel" in caplog.text)

    assert ("127.0.0.1" in caplog.text) is named


@pytest.mark.parametrize(
    "said", ["line\nbreak", "\r2026-01-01 forged", "\x1b[2J\x07", "\u2028\u202e"], ids=ascii
)
def test_what_others_say_begins_no_line_and_commands_no_terminal(
    caplog: pytest.LogCaptureFixture, said: str
) -> None:
    listener = log.LogListener(addresses=True)
    failed = ResponseError(f"ERR {said}")
    unavailable = RedisUnavailableError("the server refused the handshake (ERR)", instance="x")
    unavailable.__cause__ = failed

    listener(ProbeFailed("x", unavailable, 1))
    listener(WorkerFailed("x", "app.handle", ValueError(said), "orders", "1-0"))
    listener(EntryDeadLettered("x", "orders", "1-0", "g", "dead", f"ValueError: {said}", 3))

    messages = [record.getMessage() for record in caplog.records]
    assert all(message.isprintable() for message in messages)
    assert all(ascii(said)[1:-1] in message for message in messages)
    assert len(messages) >= 2
