"""Callbacks that are set on a client: what it costs, and whose they are."""

import asyncio
import time
from contextvars import ContextVar
from json import JSONDecoder
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.managers import opened

URLS = ["redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1"]


def mine(response: Any, **options: Any) -> str:
    return "mine"


def other(response: Any, **options: Any) -> str:
    return "other"


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("module", ["json", "ts", "vset"])
def test_modules_cost_what_they_cost_with_redis_py(url: str, module: str) -> None:
    """The table of callbacks is copied once for a client, not for each callback of a module."""
    client: Any = RedisManager(url=url).redis
    tables = set()
    for _ in range(3):
        getattr(client, module)()
        tables.add(id(client.response_callbacks))
    assert len(tables) == 1

    started = time.process_time()
    for _ in range(1000):
        client.set_response_callback("JSON.GET", mine)
    assert time.process_time() - started < 0.03


@pytest.mark.parametrize("url", URLS)
def test_callbacks_are_one_client_s_alone(url: str) -> None:
    first: Any = RedisManager(url=url).redis
    plain = first.response_callbacks.get("GET")
    second = first.with_options(timeout=1.0)
    first.set_response_callback("get", mine)
    third = first.scoped(None)
    first.set_response_callback("GET", other)
    fourth = third.with_options(timeout=1.0)
    third.set_response_callback("TTL", mine)

    found = [each.response_callbacks.get("GET") for each in (first, second, third, fourth)]
    assert found == [other, plain, mine, mine]
    assert fourth.response_callbacks.get("TTL") is None
    assert third.session.own_callbacks == {"GET", "TTL"}
    assert fourth.session.own_callbacks == {"GET"}
    assert second.session.own_callbacks == set()


def test_a_table_that_was_given_is_not_written_to() -> None:
    client: Any = RedisManager(url=URLS[0]).redis
    given = {"GET": other}
    client.response_callbacks = given
    client.set_response_callback("TTL", mine)

    assert given == {"GET": other}
    assert client.response_callbacks["TTL"] is mine


@pytest.mark.parametrize("url", URLS)
def test_callbacks_of_redis_py_s_modules_are_not_the_user_s(url: str) -> None:
    client: Any = RedisManager(url=url).redis
    for module in ("json", "ft", "ts", "bf", "cf", "cms", "topk", "tdigest", "vset"):
        getattr(client, module)()
    assert client.session.own_callbacks == set()

    client.json(decoder=JSONDecoder())
    assert "JSON.GET" in client.session.own_callbacks
    assert all(name.startswith("JSON.") for name in client.session.own_callbacks)

    client.json()
    client.response_callbacks = {"get": mine, "TTL": int}
    assert client.session.own_callbacks == {"GET"}


@pytest.mark.usefixtures("pipelining")
async def test_a_module_s_command_leaves_with_the_others(
    redis_manager: RedisManager, pipelining: None
) -> None:
    """A call becomes a future when it goes out in this turn of the loop, without a task."""
    client: Any = redis_manager.redis.scoped(None)
    document = client.json()

    call = document.get("k")
    assert asyncio.isfuture(call)
    with pytest.raises(ResponseError, match="unknown command"):
        await call


asked_by: ContextVar[str] = ContextVar("asked_by", default="nobody")


def who(response: Any, **options: Any) -> str:
    return asked_by.get()


async def who_later(response: Any, **options: Any) -> str:
    await asyncio.sleep(0)
    return asked_by.get()


@pytest.mark.parametrize("callback", [who, who_later])
async def test_on_a_cluster_a_callback_runs_in_its_caller_s_context(callback: Any) -> None:
    async with ClusterDeployment(shards=1) as deployment, opened(deployment.url) as manager:
        client = manager.cluster
        client.set_response_callback("GET", callback)
        node = client.get_default_node()
        asked_by.set("me")

        assert await client.get("k") == "me"
        assert await asyncio.ensure_future(client.get("k")) == "me"
        assert await asyncio.ensure_future(client.on(node).get("k")) == "me"
        assert await client.pipeline().get("k").execute() == ["me"]
        assert await client.pipeline(transaction=True).get("k").execute() == ["me"]
