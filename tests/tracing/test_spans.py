"""What our own spans say, and what they never say."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis.exceptions
from opentelemetry import context
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind, StatusCode

from redis_manager_fastapi import CommandTimeoutError, RedisManager, RedisRegistry
from redis_manager_fastapi.redis_py import OWN_EXECUTE, OWN_EXECUTE_COMMAND
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.tracing import instrument, operation_name, query_text, uninstrument
from tests.kit.serving import serving
from tests.kit.spans import Recorder, attributes, instrumented, seconds
from tests.kit.thirty import app_of
from tests.kit.waiting import until

SECRET = "s3cret"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def test_span_is_named_and_filled_by_the_conventions(
    redis_server: RedisServer, recorder: Recorder
) -> None:
    async with RedisManager(url=redis_server.url, db=3) as manager:
        instrument(manager, recorder.provider)
        await manager.redis.set("key", SECRET)
        await manager.redis.pipeline(transaction=False).get("key").get("key").execute()
        [command, pipeline] = recorder.commands()

    always = {
        "db.system.name": "redis",
        "db.namespace": "3",
        "server.address": redis_server.host,
        "server.port": redis_server.port,
    }
    assert (command.name, command.kind) == ("SET", SpanKind.CLIENT)
    assert attributes(command) == always | {"db.operation.name": "SET"}
    assert command.status.status_code is StatusCode.UNSET
    assert pipeline.name == "PIPELINE GET"
    batch = {"db.operation.name": "PIPELINE GET", "db.operation.batch.size": 2}
    assert attributes(pipeline) == always | batch


async def test_unix_socket_is_an_address_without_a_port(recorder: Recorder) -> None:
    async with (
        RedisServer(unix_socket=True) as server,
        RedisManager(url=server.unix_url) as manager,
    ):
        instrument(manager, recorder.provider)
        await manager.redis.ping()

    [span] = recorder.commands()
    assert attributes(span)["server.address"].endswith(".sock")
    assert "server.port" not in attributes(span)


async def test_a_servers_error_is_its_code_without_its_words(
    redis_server: RedisServer, recorder: Recorder
) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        instrument(manager, recorder.provider)
        r = manager.redis
        await r.set("key", "value")
        calls: list[Any] = [
            r.lpush("key", SECRET),
            r.execute_command("NOSUCH", SECRET),
            r.evalsha("0" * 40, 0),
            r.pipeline().lpush("key", SECRET).execute(),
        ]
        for call in calls:
            with pytest.raises(redis.exceptions.ResponseError):
                await call

    codes = ["WRONGTYPE", "ERR", "NOSCRIPT", "WRONGTYPE"]
    spans = recorder.commands()[1:]
    assert [attributes(span)["db.response.status_code"] for span in spans] == codes
    assert [attributes(span)["error.type"] for span in spans] == codes
    assert {span.status.status_code for span in spans} == {StatusCode.ERROR}
    assert SECRET not in "".join(span.to_json() for span in spans)


async def test_a_changed_key_and_a_cancelled_caller_are_no_errors(
    redis_server: RedisServer, recorder: Recorder
) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        instrument(manager, recorder.provider)
        r = manager.redis
        async with r.pipeline() as pipe:
            await pipe.watch("key")
            await r.set("key", 1)
            pipe.multi()
            pipe.get("key")
            with pytest.raises(redis.exceptions.WatchError):
                await pipe.execute()
        waiting = asyncio.ensure_future(r.blpop(["queue"], timeout=0))
        await until(lambda: manager.stats().leased == 1)
        waiting.cancel()
        await asyncio.wait([waiting])

    spans = recorder.commands()
    assert [span.name for span in spans] == ["WATCH", "SET", "MULTI GET", "BLPOP"]
    assert {span.status.status_code for span in spans} == {StatusCode.UNSET}


def ours(manager: RedisManager, recorder: Recorder) -> None:
    instrument(manager, recorder.provider)


def theirs(manager: RedisManager, recorder: Recorder) -> None:
    RedisInstrumentor().instrument_client(manager.redis, tracer_provider=recorder.provider)


@pytest.mark.usefixtures("pipelining")
@pytest.mark.parametrize("begin", [ours, theirs])
async def test_an_outage_is_in_the_span_with_the_time_that_it_took(
    redis_server: RedisServer, recorder: Recorder, begin: Callable[..., None]
) -> None:
    grace = 0.5
    manager = RedisManager(url=redis_server.url, outage={"grace": grace})
    begin(manager, recorder)
    async with serving(recorder.around(app_of(manager))) as site:
        await site.http.get("/one")
        await redis_server.kill()
        recorder.commands()
        response = await site.http.get("/one")

    request, [command] = recorder.take()
    assert response.status_code == 503
    assert command.status.status_code is StatusCode.ERROR
    assert command.parent is not None
    assert command.parent.span_id == request.context.span_id
    assert seconds(command) > grace / 2
    if begin is ours:
        assert attributes(command)["error.type"] == "RedisUnavailableError"


async def test_a_late_reply_is_in_the_span(redis_server: RedisServer, recorder: Recorder) -> None:
    async with RedisManager(url=redis_server.url, timeout={"command": 0.3}) as manager:
        instrument(manager, recorder.provider)
        await manager.redis.ping()
        redis_server.pause()
        try:
            with pytest.raises(CommandTimeoutError):
                await manager.redis.set("key", 1)
        finally:
            redis_server.resume()

    span = recorder.commands()[-1]
    assert attributes(span)["error.type"] == "CommandTimeoutError"
    assert seconds(span) >= 0.3


async def test_text_of_commands_only_when_asked(
    redis_server: RedisServer, recorder: Recorder
) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        instrument(manager, recorder.provider, query_text=True)
        await manager.redis.set("key", "two words")
        await manager.redis.pipeline().set("key", b"x" * 200).get("key").execute()

    texts = [attributes(span)["db.query.text"] for span in recorder.commands()]
    assert texts == ["SET key 'two words'", f"SET key {'x' * 100}...; GET key"]


@pytest.mark.parametrize(
    ("args", "name", "text"),
    [
        (("get", b"key"), "get", "get key"),
        (("SET key s3cret",), "SET", "SET key s3cret"),
        (("CONFIG SET", "requirepass", SECRET), "CONFIG SET", "CONFIG SET ? ?"),
        (("ACL", "SETUSER", "me", f">{SECRET}"), "ACL SETUSER", "ACL SETUSER ? ? ?"),
        ((b"AUTH", "me", SECRET), "AUTH", "AUTH ? ?"),
        (("CLIENT ID",), "CLIENT ID", "CLIENT ID"),
        (("XINFO", "STREAM", "s"), "XINFO STREAM", "XINFO STREAM s"),
    ],
)
def test_a_name_holds_no_argument_and_a_text_no_password(
    args: tuple[Any, ...], name: str, text: str
) -> None:
    assert operation_name(args) == name
    assert query_text(args) == text


async def test_ours_and_theirs_at_once_make_one_span(
    redis_server: RedisServer, recorder: Recorder
) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        instrument(manager, recorder.provider)
        with instrumented(recorder):
            await manager.redis.get("key")
            await manager.redis.pipeline().get("key").execute()
        RedisInstrumentor().instrument_client(manager.redis, tracer_provider=recorder.provider)
        async with manager.client() as r:
            await r.get("key")

    assert [span.name for span in recorder.commands()] == ["GET", "MULTI GET", "GET"]


async def test_suppressed_instrumentation_is_ours_as_well(
    redis_server: RedisServer, recorder: Recorder
) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        instrument(manager, recorder.provider)
        with suppress_instrumentation():
            await manager.redis.get("key")

    assert recorder.commands() == []
    assert context.get_value("suppress_instrumentation") is None


async def test_all_managers_of_a_registry_until_it_ends(
    redis_server: RedisServer, recorder: Recorder
) -> None:
    async with RedisRegistry(cache=redis_server.url, queue=redis_server.url) as registry:
        early = registry["cache"].redis.with_options(timeout=1)
        instrument(registry, recorder.provider)
        await early.get("key")
        await registry["queue"].redis.get("key")
        uninstrument(registry)
        await registry["cache"].redis.get("key")

        assert not early.session.deployment.observed
    assert len(recorder.commands()) == 2


def test_redis_py_is_as_it_was_once_nobody_instruments_it() -> None:
    """Else every later command would take the long way."""
    assert redis.asyncio.Redis.execute_command is OWN_EXECUTE_COMMAND
    assert redis.asyncio.client.Pipeline.execute is OWN_EXECUTE
