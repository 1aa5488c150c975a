"""One client is instrumented: its copies are seen as well, and each stays what it is."""

import contextvars
from typing import Any

import pytest
from opentelemetry.instrumentation.redis import RedisInstrumentor

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer
from tests.kit.spans import Recorder


def instrument(client: Any, recorder: Recorder) -> None:
    RedisInstrumentor().instrument_client(client, tracer_provider=recorder.provider)


async def test_copies_keep_their_options_and_their_connection(redis_server: RedisServer) -> None:
    recorder = Recorder()
    async with RedisManager(url=redis_server.url) as manager:
        instrument(manager.redis, recorder)
        await manager.redis.set("key", "value")
        decoded = manager.redis.with_options(decode_responses=False)
        values = [await decoded.get("key"), *await decoded.pipeline().get("key").execute()]
        async with manager.connection() as one, manager.connection() as other:
            numbers = [await each.client_id() for each in (one, other, one)]
            again = await one.with_options(timeout=1).client_id()
            await one.client_setname("mine")
            name = await one.client_getname()

    assert values == [b"value", b"value"]
    assert numbers[0] == numbers[2] == again != numbers[1]
    assert name == "mine"
    assert [span.name for span in recorder.commands()] == [
        *("SET", "GET", "GET"),
        *("CLIENT ID",) * 4,
        *("CLIENT SETNAME", "CLIENT GETNAME"),
    ]


async def test_a_client_that_is_a_copy_is_instrumented_alone(redis_server: RedisServer) -> None:
    recorder = Recorder()
    async with RedisManager(url=redis_server.url) as manager:
        copy = manager.redis.with_options(timeout=1)
        instrument(copy, recorder)
        await manager.redis.get("key")
        await manager.redis.with_options(grace=0).get("key")
        assert recorder.commands() == []
        await copy.with_options(grace=0).get("key")

    assert len(recorder.commands()) == 1


async def test_requests_that_can_do_without_are_seen(redis_server: RedisServer) -> None:
    recorder = Recorder()
    async with RedisManager(url=redis_server.url) as manager:
        assert manager.optional_client() is not None
        instrument(manager.redis, recorder)
        scope = manager.optional_client()
        assert scope is not None
        async with scope as r:
            await r.get("key")

    assert [span.name for span in recorder.commands()] == ["GET"]


async def test_what_observes_a_copy_of_a_copy_runs_within_what_observes_the_first(
    redis_server: RedisServer,
) -> None:
    recorder, seen = Recorder(), list[Any]()
    async with RedisManager(url=redis_server.url) as manager:
        instrument(manager.redis, recorder)
        copy: Any = manager.redis.with_options(decode_responses=False)
        original = copy.execute_command

        async def noted(*args: Any, **options: Any) -> Any:
            seen.append(args[0])
            return await original(*args, **options)

        copy.execute_command = noted
        await copy.with_options(timeout=1).set("key", "value")
        value = await copy.with_options(timeout=1).get("key")

    assert value == b"value"
    assert seen == [span.name for span in recorder.commands()] == ["SET", "GET"]


async def test_a_plain_function_that_was_set_on_a_client_runs_for_its_copies(
    redis_server: RedisServer,
) -> None:
    seen: list[Any] = []
    async with RedisManager(url=redis_server.url) as manager:
        client: Any = manager.redis
        original = client.execute_command

        async def noted(*args: Any, **options: Any) -> Any:
            seen.append(args[0])
            await manager.redis.with_options(decode_responses=True).ping()
            return await original(*args, **options)

        await client.set("key", "value")
        plain = manager.redis.with_options(timeout=1)
        client.execute_command = noted
        copy = client.with_options(decode_responses=False)
        client.execute_command = original
        assert await copy.get("key") == b"value"
        assert await plain.get("key") == "value"

    assert seen == ["GET"]


async def test_an_observed_call_that_is_collected_complains_of_nothing(
    redis_server: RedisServer,
) -> None:
    """It is ended wherever the collector runs, which is another context."""
    async with RedisManager(url=redis_server.url) as manager:
        client: Any = manager.redis.with_options()
        original = client.execute_command

        async def noted(*args: Any, **options: Any) -> Any:
            return await original(*args, **options)

        client.execute_command = noted
        call = client.with_options(timeout=1).blpop(["none"], timeout=1)
        contextvars.copy_context().run(call.send, None)
        call.close()


@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_client_whose_instrumentation_ended_is_as_before(
    redis_server: RedisServer, pipelining: bool
) -> None:
    recorder = Recorder()
    async with RedisManager(url=redis_server.url, pipelining={"enabled": pipelining}) as manager:
        instrument(manager.redis, recorder)
        RedisInstrumentor().uninstrument_client(manager.redis)
        copy = manager.redis.with_options(decode_responses=False)
        await copy.set("key", "value")

        assert await copy.get("key") == b"value"
        assert await copy.pipeline().get("key").execute() == [b"value"]
    assert recorder.commands() == []
