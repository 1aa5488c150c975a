"""Thirty commands of one request are thirty spans: of OpenTelemetry's instrumentation, and ours."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import ReadableSpan

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.tracing import instrument
from tests.kit.servers import needs
from tests.kit.serving import serving
from tests.kit.spans import Recorder, instrumented, seconds
from tests.kit.thirty import BLOCKED, COUNT, EXPECTED, app_of


def theirs(command: str | tuple[str, ...]) -> str:
    """Return the name that OpenTelemetry's instrumentation gives the span of a command."""
    return command if isinstance(command, str) else " ".join(command[1:])


def ours(command: str | tuple[str, ...]) -> str:
    """Return the name that ours has."""
    if isinstance(command, str):
        return command
    kind, *names = command
    return f"{kind} {names[0]}" if len(set(names)) == 1 else kind


def one_client(manager: RedisManager, recorder: Recorder) -> None:
    """Instrument the client of the manager that all others are copies of."""
    RedisInstrumentor().instrument_client(manager.redis, tracer_provider=recorder.provider)


def our_own(manager: RedisManager, recorder: Recorder) -> None:
    """Make our own spans."""
    instrument(manager, recorder.provider)


@contextmanager
def after_use(manager: RedisManager, recorder: Recorder) -> Iterator[None]:
    """Instrument redis-py's classes when the manager and its clients are there."""
    with instrumented(recorder):
        yield


def check_nesting(request: ReadableSpan, commands: list[ReadableSpan]) -> None:
    """Each command is the request's own, and took no longer than that."""
    assert {span.parent and span.parent.span_id for span in commands} == {request.context.span_id}
    assert all((span.start_time or 0) >= (request.start_time or 0) for span in commands)
    assert all((span.end_time or 0) <= (request.end_time or 0) for span in commands)


def check_timing(commands: list[ReadableSpan]) -> None:
    """A span lasts until the reply; gathered commands are under way side by side."""
    gathered, blocked = commands[6:10], commands[19]
    assert seconds(blocked) >= BLOCKED * 0.9
    assert max(span.start_time or 0 for span in gathered) < min(s.end_time or 0 for s in gathered)
    assert all(before.end_time <= after.start_time for before, after in pairs(commands))


def pairs(commands: list[ReadableSpan]) -> Iterator[tuple[Any, Any]]:
    """Yield each command and the next one, where one waits for the other."""
    return pairwise(commands[:6] + commands[10:])


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("begin", "name"),
    [(after_use, theirs), (one_client, theirs), (our_own, ours)],
    ids=["classes", "one client", "own"],
)
async def test_every_command_is_a_span_of_the_request(
    redis_server: RedisServer,
    begin: Callable[..., AbstractContextManager[None] | None],
    name: Callable[..., str],
    pipelining: bool,
) -> None:
    recorder = Recorder()
    manager = RedisManager(url=redis_server.url, pipelining={"enabled": pipelining})
    async with serving(recorder.around(app_of(manager))) as site:
        await site.http.get("/one")
        with begin(manager, recorder) or nullcontext():
            recorder.commands()
            response = await site.http.get("/thirty")

    request, commands = recorder.take()
    assert response.json() == COUNT
    assert [span.name for span in commands] == [name(each) for each in EXPECTED]
    check_nesting(request, commands)
    check_timing(commands)


async def test_classes_instrumented_before_the_manager_is_made(redis_server: RedisServer) -> None:
    recorder = Recorder()
    with instrumented(recorder):
        manager = RedisManager(url=redis_server.url)
        async with serving(recorder.around(app_of(manager))) as site:
            await site.http.get("/thirty")

    request, commands = recorder.take()
    assert [span.name for span in commands] == [theirs(each) for each in EXPECTED]
    check_nesting(request, commands)


async def reads(server: RedisServer) -> int:
    """Return how often the server has read from a connection."""
    return int((await server.command("INFO", "stats"))["total_reads_processed"])


@pytest.mark.usefixtures("pipelining")
@needs("INFO with total_reads_processed", redis="6.0")
async def test_gathered_commands_that_are_observed_leave_together(
    redis_server: RedisServer,
) -> None:
    recorder = Recorder()
    async with RedisManager(url=redis_server.url) as manager:
        await manager.redis.ping()
        before = await reads(redis_server)
        with instrumented(recorder):
            await asyncio.gather(*(manager.redis.get("key") for _ in range(200)))
        after = await reads(redis_server)

    assert len(recorder.commands()) == 200
    assert after - before < 50  # heartbeats and the questions among them
