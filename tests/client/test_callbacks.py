"""Callbacks that are set on a client: what it costs, and whose they are."""

import time
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager

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
