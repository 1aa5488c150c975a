"""What stands in the wrong place of an app says so when the app is made, and what to write."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pydantic
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from redis_manager_fastapi import (
    CachedRedisDep,
    Redis,
    RedisCluster,
    RedisClusterDep,
    RedisConnectionDep,
    RedisDep,
    RedisManager,
    RedisRegistry,
    get_redis_manager,
)

MANAGER = RedisManager("redis://nowhere")
REGISTRY = RedisRegistry(MANAGER)


def route(annotation: Any, default: Any = ...) -> Callable[..., Any]:
    """A route with one parameter `r`."""

    def by_type(r: Any) -> None: ...

    def by_default(r: Any = default) -> None: ...

    route = by_type if default is ... else by_default
    route.__annotations__["r"] = annotation
    return route


@pytest.mark.parametrize(
    ("parameter", "instead"),
    [
        (Redis, "RedisDep"),
        (Redis | None, "RedisDep"),
        (RedisCluster, "RedisClusterDep"),
        (RedisManager, r"Annotated\[RedisManager, Depends\(get_redis_manager\)\]"),
    ],
)
def test_a_client_s_class_is_no_type_of_a_parameter(parameter: Any, instead: str) -> None:
    with pytest.raises(TypeError, match=rf"annotate the parameter with {instead}$"):
        FastAPI().get("/")(route(parameter))


def test_a_client_may_be_an_arbitrary_field_of_a_model() -> None:
    class Holder(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        r: Redis

    assert Holder(r=MANAGER.redis).r is MANAGER.redis
    with pytest.raises(pydantic.ValidationError, match="instance of Redis"):
        Holder.model_validate({"r": "redis"})


TYPES: dict[str, Any] = {
    "RedisDep": RedisDep,
    "CachedRedisDep": CachedRedisDep,
    "RedisConnectionDep": RedisConnectionDep,
    "RedisClusterDep": RedisClusterDep,
}


@pytest.mark.parametrize("name", TYPES)
def test_a_parameter_s_type_is_no_dependency(name: str) -> None:
    with pytest.raises(TypeError, match=rf"write `r: {name}`, not `Depends\({name}\)`$"):
        FastAPI().get("/")(route(Any, Depends(TYPES[name])))


@pytest.mark.parametrize("given", [MANAGER, MANAGER.lifespan, REGISTRY])
def test_a_manager_is_no_dependency(given: Any) -> None:
    with pytest.raises(TypeError, match=r"no dependency: write `r: RedisDep`"):
        FastAPI().get("/")(route(Any, Depends(given)))


def test_what_is_in_its_place_is_taken(redis_url: str) -> None:
    manager = RedisManager(redis_url)
    app = FastAPI(lifespan=manager)

    @app.get("/")
    async def get(
        r: RedisDep,
        cached: CachedRedisDep,
        pinned: RedisConnectionDep,
        found: Annotated[RedisManager, Depends(get_redis_manager)],
    ) -> list[bool]:
        return [await client.ping() for client in (r, cached, pinned, found.redis)]

    with TestClient(app) as client:
        assert client.get("/").json() == [True] * 4


@pytest.mark.parametrize("given", [MANAGER.lifespan, MANAGER, REGISTRY.lifespan])
def test_a_lifespan_is_passed_without_calling_it(given: Any) -> None:
    with pytest.raises(TypeError, match=r"pass it without calling it, `FastAPI\(lifespan=manager"):
        FastAPI(lifespan=given())


def test_so_is_the_one_that_is_wrapped() -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        yield

    with pytest.raises(TypeError, match=r"without calling it: `manager.wrap\(your_lifespan\)`"):
        MANAGER.wrap(lifespan(None))


def test_a_generator_is_no_lifespan() -> None:
    async def lifespan(app: Any) -> AsyncIterator[None]:
        yield

    with pytest.raises(TypeError, match=r"^lifespan is no lifespan yet.*@asynccontextmanager"):
        MANAGER.wrap(lifespan)  # type: ignore[arg-type]
