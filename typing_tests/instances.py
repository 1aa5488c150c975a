"""What a dependency on an instance gives, and what a lifespan takes."""

from collections.abc import Awaitable, Callable
from typing import assert_type

from fastapi import FastAPI
from starlette.requests import HTTPConnection

from redis_manager_fastapi import Redis, RedisManager, RedisRegistry, redis_dependency


def dependencies_say_whether_there_may_be_none() -> None:
    assert_type(redis_dependency("cache"), Callable[[HTTPConnection], Awaitable[Redis]])
    assert_type(
        redis_dependency("cache", optional=True),
        Callable[[HTTPConnection], Awaitable[Redis | None]],
    )


def both_are_lifespans(manager: RedisManager, registry: RedisRegistry) -> None:
    FastAPI(lifespan=manager)
    FastAPI(lifespan=registry)
    assert_type(registry["cache"], RedisManager)
