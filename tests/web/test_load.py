"""150 requests a second through uvicorn while Redis is away (faults 3 and 5 to 7)."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median

import pytest

from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.serving import ROOT, environment, server_process

pytestmark = pytest.mark.measures

RATE = 150
GRACE = 2.0
AT_ONCE = 0.005
RECOVERY = 1.5  # an attempt begins within the backoff's cap, and has the connect timeout


@dataclass(frozen=True)
class Answer:
    """What became of one request.

    Attributes:
        path: What was asked for.
        sent: When, on the monotonic clock.
        took: How long it took, in seconds.
        status: The HTTP status; 0 if there was no answer.
    """

    path: str
    sent: float
    took: float
    status: int


def sent_between(answers: list[Answer], began: float, ended: float) -> list[Answer]:
    return [answer for answer in answers if began <= answer.sent < ended]


def p99(answers: list[Answer]) -> float:
    """Return what all but one in a hundred of *answers* took at most, in seconds."""
    return sorted(answer.took for answer in answers)[int(len(answers) * 0.99)]


class Load:
    """The generator's result.

    Attributes:
        answers: The requests to the reading route.
        controls: As many requests, sent beside them, that never touch Redis.
    """

    def __init__(self, rows: list[tuple[str, float, float, int]]) -> None:
        everything = [Answer(*row) for row in rows]
        self.controls = [answer for answer in everything if answer.path == "/livez"]
        self.answers = [answer for answer in everything if answer.path != "/livez"]

    def lag(self, answer: Answer) -> float:
        """Return the longest that a request without Redis took around *answer*."""
        began, ended = answer.sent - 0.2, answer.sent + answer.took + 0.2
        near = [each.took for each in self.controls if began <= each.sent <= ended]
        return max(near, default=0.0)

    def between(self, began: float, ended: float) -> list[Answer]:
        """Return the requests that were sent in that time."""
        return sent_between(self.answers, began, ended)


async def generate(url: str, seconds: float) -> Load:
    """Run the load generator to its end."""
    command = (sys.executable, "-m", "tests.kit.http_load", url, str(RATE), str(seconds))
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    output, _ = await process.communicate()
    return Load(json.loads(output))


Step = Callable[[], Awaitable[None]]


async def outage(
    url: str, take_away: Step, bring_back: Step, *, down: float, seconds: float
) -> tuple[Load, float, float]:
    """Put the service under load and take Redis away meanwhile; return when it was away."""
    env = environment(REDIS_URL=url)
    arguments = ("--log-level", "info", "--no-access-log")
    async with server_process(
        "tests.kit.service:app", *arguments, directory=ROOT, env=env
    ) as service:
        load = asyncio.create_task(generate(await service.url(), seconds))
        await asyncio.sleep(1.5)
        gone = time.monotonic()
        await take_away()
        await asyncio.sleep(down)
        await bring_back()
        back = time.monotonic()
        return await load, gone, back


async def test_restart_of_one_second_fails_no_read(redis_server: RedisServer) -> None:
    """Row 5: not one failed read, and nobody waits longer than the outage and the recovery."""
    server = redis_server
    load, killed, started = await outage(server.url, server.kill, server.start, down=1.0, seconds=5)

    assert {answer.status for answer in load.answers} == {200}
    assert len(load.answers) == RATE * 5
    assert max(a.took - load.lag(a) for a in load.answers) < started - killed + 1.0


@pytest.mark.timeout(90)
async def test_outage_of_five_seconds_is_told_at_once(redis_server: RedisServer) -> None:
    """While Redis is down: only 503s, half of them within 20 ms, 99 % within grace + 0.3 s."""
    server = redis_server
    load, killed, started = await outage(server.url, server.kill, server.start, down=5.0, seconds=9)
    during = load.between(killed, started - GRACE)
    waits = sorted(answer.took - load.lag(answer) for answer in load.between(killed, started))
    before, after = load.between(0, killed - GRACE), load.between(started + 1.0, float("inf"))

    assert {answer.status for answer in load.answers} == {200, 503}
    assert {answer.status for answer in during} == {503}
    assert {answer.status for answer in (*before, *after)} == {200}
    assert median(waits) < 0.02
    assert waits[int(len(waits) * 0.99)] < GRACE + 0.3


@pytest.mark.timeout(90)
@pytest.mark.parametrize("fault", ["stopped", "black hole"])
async def test_silence_of_five_seconds_is_bounded(
    redis_server: RedisServer, fault_proxy: FaultProxy, fault: str
) -> None:
    """Rows 6 and 7: nobody waits above grace; then 503 in milliseconds; then all is well."""

    async def silence() -> None:
        redis_server.pause() if fault == "stopped" else await fault_proxy.black_hole()

    async def end() -> None:
        redis_server.resume() if fault == "stopped" else await fault_proxy.pass_through()

    load, gone, back = await outage(fault_proxy.url, silence, end, down=5.0, seconds=9)
    known = load.between(gone + GRACE + 0.1, back - 0.1)
    beside = sent_between(load.controls, gone + GRACE + 0.1, back - 0.1)
    after = load.between(back, float("inf"))
    refused = [answer for answer in after if answer.status != 200]
    served = [answer for answer in after if answer.status == 200]

    assert {answer.status for answer in load.answers} <= {200, 503, 504}
    assert {answer.status for answer in known if answer.sent + answer.took < back} == {503}
    assert max((a.sent - load.lag(a) - back for a in refused), default=0.0) < RECOVERY
    assert max(a.took - load.lag(a) for a in load.answers) < GRACE + 0.3
    # When the machine is short of time, an answer with an error is short of a little more.
    assert p99(known) < 1.25 * p99(beside) + AT_ONCE
    assert min(a.sent + a.took - load.lag(a) for a in served) - back < RECOVERY
