"""Caches and stores: what is written is read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiogram.fsm.storage.base import StorageKey
from aiogram.fsm.storage.redis import RedisStorage
from aredis_om import Migrator, get_redis_connection
from cashews import Cache
from fastapi import Depends, FastAPI, Request
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.redis.aio import AsyncRedisSaver
from redis_fastapi import FastAPIRedis, cache, rate_limit
from redis_fastapi.config import get_settings

from examples.libraries import (
    aiogram_storage,
    cashews_cache,
    fastapi_redis_sdk,
    langgraph_saver,
    redis_om_models,
)
from tests.interop.sides import Job, Side
from tests.kit.waiting import eventually


@asynccontextmanager
async def cashews(side: Side) -> AsyncIterator[Job]:
    if side.manager is not None:
        kept = cashews_cache.make_cache(side.manager)
    else:
        kept = Cache()
        kept.setup(side.url, suppress=False)
    calls: list[int] = []

    @kept(ttl="1m", key="{number}")
    async def doubled(number: int) -> int:
        calls.append(number)
        return 2 * number

    async def job(number: int) -> None:
        async with kept.lock(f"lock {number}", expire="10s"):
            assert [await doubled(number) for _ in range(2)] == [2 * number] * 2
        assert calls.count(number) == 1

    await kept.init()
    yield job
    await kept.close()


@asynccontextmanager
async def redis_om(side: Side) -> AsyncIterator[Job]:
    person: Any = redis_om_models.Person
    if side.manager is not None:
        redis_om_models.give_client(side.manager)
    else:
        person.Meta.database = get_redis_connection(url=side.url)
    await Migrator().run()

    async def job(number: int) -> None:
        saved = await person(name=f"name{number}", age=number).save()
        assert (await person.get(saved.pk)).age == number

        async def is_indexed() -> bool:
            found = await person.find(person.name == f"name{number}").all()
            return [each.pk for each in found] == [saved.pk]

        await eventually(is_indexed)

    yield job
    await person.Meta.database.aclose()


@asynccontextmanager
async def aiogram(side: Side) -> AsyncIterator[Job]:
    if side.manager is not None:
        storage = aiogram_storage.make_storage(side.manager)
    else:
        storage = RedisStorage.from_url(side.url)
    isolation = storage.create_isolation()

    async def job(number: int) -> None:
        key = StorageKey(bot_id=1, chat_id=number, user_id=number)
        async with isolation.lock(key):
            await storage.set_state(key, "asked")
            await storage.set_data(key, {"number": number})
            assert await storage.get_state(key) == "asked"
            assert await storage.get_data(key) == {"number": number}

    yield job
    await storage.close()


@asynccontextmanager
async def langgraph(side: Side) -> AsyncIterator[Job]:
    if side.manager is not None:
        saver = await langgraph_saver.make_saver(side.manager)
        closing = saver
    else:
        saver = closing = AsyncRedisSaver(side.url)
        await saver.asetup()

    async def job(number: int) -> None:
        thread = {"configurable": {"thread_id": f"thread{number}", "checkpoint_ns": ""}}
        checkpoint = empty_checkpoint()
        kept = await saver.aput(thread, checkpoint, {"source": "input", "step": number}, {})
        await saver.aput_writes(kept, [("channel", number)], "task")
        found = await saver.aget_tuple(thread)
        assert found is not None
        assert found.checkpoint["id"] == checkpoint["id"]
        assert found.pending_writes == [("task", "channel", number)]

    yield job
    await closing.__aexit__(None, None, None)


@asynccontextmanager
async def fastapi_redis(side: Side) -> AsyncIterator[Job]:
    app = FastAPI()
    loads: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", side.url)
        get_settings.cache_clear()
        if side.manager is not None:
            fastapi_redis_sdk.install(app, side.manager)
        else:
            FastAPIRedis(app).lifespan().caching().rate_limiting().sessions()
        _add_routes(app, loads)
        async with app.router.lifespan_context(app):

            async def job(number: int) -> None:
                transport = httpx.ASGITransport(app)
                async with httpx.AsyncClient(transport=transport, base_url="https://app") as http:
                    await _visit(http, number, loads)

            yield job
    get_settings.cache_clear()


def _add_routes(app: FastAPI, loads: list[int]) -> None:
    @app.get("/doubled/{number}", dependencies=[Depends(cache(ttl=60))])
    async def doubled(number: int) -> int:
        loads.append(number)
        return 2 * number

    limit = rate_limit("2/minute", identifier=lambda request: request.url.path)

    @app.get("/limited/{number}", dependencies=[Depends(limit)])
    async def limited(number: int) -> int:
        return number

    @app.post("/visits")
    async def visits(request: Request) -> int:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return int(request.session["visits"])


async def _visit(http: httpx.AsyncClient, number: int, loads: list[int]) -> None:
    for times in (1, 2):
        visits = await http.post("/visits")
        assert visits.raise_for_status().json() == times
    for status in (200, 200, 429):
        assert (await http.get(f"/limited/{number}")).status_code == status
    for _ in range(2):
        doubled = await http.get(f"/doubled/{number}")
        assert doubled.raise_for_status().json() == 2 * number
    assert loads.count(number) == 1
