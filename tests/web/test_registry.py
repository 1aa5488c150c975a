"""Several instances of one app: one lifespan, names that say what is wrong, and a way to each."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.requests import Request
from starlette.responses import JSONResponse

from redis_manager_fastapi import (
    Event,
    PoolState,
    Redis,
    RedisConfigError,
    RedisManager,
    RedisNotStartedError,
    RedisOutageError,
    RedisRegistry,
    RedisSettings,
    RedisUnavailableError,
    StateChanged,
    get_manager,
    health_router,
    redis_dependency,
)
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.clusters import shard_keys
from tests.kit.managers import open_descriptors, until_state
from tests.kit.serving import Serve, StartError
from tests.kit.waiting import until

CacheDep = Annotated[Redis, Depends(redis_dependency("cache"))]
QueueDep = Annotated[Redis, Depends(redis_dependency("queue"))]
OptionalCacheDep = Annotated[Redis | None, Depends(redis_dependency("cache", optional=True))]

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
async def cache_server() -> AsyncIterator[RedisServer]:
    async with RedisServer() as server:
        yield server


@pytest.fixture
def registry(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer, cache_server: RedisServer
) -> RedisRegistry:
    monkeypatch.setenv("REDIS_QUEUE_URL", redis_server.url)
    monkeypatch.setenv("REDIS_CACHE_URL", cache_server.url)
    monkeypatch.setenv("REDIS_CACHE_CRITICAL", "false")
    return RedisRegistry.from_env("queue", "cache")


def told(name: str, happened: list[tuple[str, str]]) -> Any:
    """Return a listener that notes each new state under *name*."""

    def listen(event: Event) -> None:
        if isinstance(event, StateChanged):
            happened.append((name, event.state))

    return listen


# The names.


async def test_each_instance_reads_its_own_variables(
    registry: RedisRegistry, redis_server: RedisServer, cache_server: RedisServer
) -> None:
    assert list(registry) == ["queue", "cache"]
    assert registry["queue"].settings.port == redis_server.port
    assert registry["cache"].settings.port == cache_server.port
    assert (len(registry), "cache" in registry, "other" in registry) == (2, True, False)
    assert registry == registry
    assert {registry: 1}
    assert repr(registry) == (
        "<RedisRegistry <RedisManager 'queue' not started>, <RedisManager 'cache' not started>>"
    )


def test_default_is_the_one_without_a_word_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "7001")
    monkeypatch.setenv("REDIS_CACHE_PORT", "7002")
    registry = RedisRegistry.from_env("default", "cache")

    assert {name: each.settings.port for name, each in registry.items()} == {
        "default": 7001,
        "cache": 7002,
    }


def test_instances_may_be_given() -> None:
    registry = RedisRegistry(
        RedisManager("redis://one", name="one"),
        two="redis://two",
        three=RedisSettings(host="three"),
        four=RedisManager("redis://four", name="four"),
    )

    assert {name: (each.name, each.settings.host) for name, each in registry.items()} == {
        name: (name, name) for name in ("one", "two", "three", "four")
    }


def test_an_unknown_name_says_which_there_are(registry: RedisRegistry) -> None:
    with pytest.raises(KeyError, match=r"no Redis instance is named 'cash'.* has 'queue', 'cache'"):
        registry["cash"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "needs an instance at least"),
        (("Cache",), "'Cache' does not name an instance"),
        (("",), "'' does not name an instance"),
        (("cache_",), "lower-case letters, digits and single underscores"),
        (("a__b",), "lower-case letters, digits and single underscores"),
        (("cache-eu",), "lower-case letters, digits and single underscores"),
        ((["cache"],), r"\['cache'\] does not name an instance"),
        (("pool",), "variables that begin with REDIS_POOL are those of the default one"),
        (("sentinel",), "variables that begin with REDIS_SENTINEL are"),
        (("ssl_cache",), "variables that begin with REDIS_SSL are"),
        (("service",), "variables that begin with REDIS_SERVICE are"),
        (("cache", "queue", "cache"), "two instances of a RedisRegistry are named 'cache'"),
    ],
)
def test_a_name_that_is_none_is_refused(names: tuple[Any, ...], words: str) -> None:
    with pytest.raises(RedisConfigError, match=words):
        RedisRegistry.from_env(*names)


def test_a_manager_is_given_under_its_own_name() -> None:
    with pytest.raises(RedisConfigError, match=r"is named 'default'.*RedisManager\(name='cache'\)"):
        RedisRegistry(cache=RedisManager())
    with pytest.raises(RedisConfigError, match="two instances of a RedisRegistry are named 'a'"):
        RedisRegistry(RedisManager(name="a"), a="redis://a")
    with pytest.raises(TypeError, match=r"takes managers, not str.*RedisRegistry\(cache="):
        RedisRegistry("redis://a")  # type: ignore[arg-type]


def test_mistakes_of_all_instances_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_CACHE_PORT", "none")
    monkeypatch.setenv("REDIS_QUEUE_DB", "-1")
    with pytest.raises(RedisConfigError) as raised:
        RedisRegistry.from_env("cache", "queue")

    assert "REDIS_CACHE_PORT" in str(raised.value)
    assert "REDIS_QUEUE_DB" in str(raised.value)


def test_no_variable_of_a_traceback_shows_a_password() -> None:
    with pytest.raises(RedisConfigError) as raised:
        RedisRegistry(cache=f"redis://:{'secret'[::-1]}@host:no")

    assert "terces" not in str(raised.value)
    traceback = raised.value.__traceback__
    while traceback is not None:
        if "redis_manager_fastapi" in traceback.tb_frame.f_code.co_filename.split("tests")[0]:
            shown = {name: repr(value) for name, value in traceback.tb_frame.f_locals.items()}
            assert "terces" not in str(shown), traceback.tb_frame
        traceback = traceback.tb_next


def test_an_instance_without_any_variable_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is where Redis is by default: perhaps a deployment forgot it."""
    monkeypatch.setenv("REDIS_CACHE_HOST", "cache")
    RedisRegistry.from_env("cache", "orders")

    assert [record.message for record in caplog.records] == [
        "redis 'orders' is at localhost:6379, because no variable begins with REDIS_ORDERS_"
    ]


# The lifespan.


def routes(app: FastAPI) -> FastAPI:
    """Give *app* a route to each instance."""
    app.include_router(health_router)

    @app.get("/set")
    async def set_both(queue: QueueDep, cache: CacheDep) -> None:
        await queue.set("where", "queue")
        await cache.set("where", "cache")

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, cache: CacheDep) -> None:
        await websocket.accept()
        await websocket.send_text(str(await cache.get("where")))

    return app


@pytest.mark.parametrize("by", ["lifespan", "call", "wrap"])
async def test_one_lifespan_opens_all(
    serve: Serve,
    registry: RedisRegistry,
    redis_server: RedisServer,
    cache_server: RedisServer,
    by: str,
) -> None:
    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[dict[str, str]]:
        assert registry["queue"].is_ready
        yield {"colour": "blue"}

    lifespans: dict[str, Any] = {
        "lifespan": registry.lifespan,
        "call": registry,
        "wrap": registry.wrap(own),
    }
    app = routes(FastAPI(lifespan=lifespans[by]))

    @app.get("/colour")
    async def colour(request: Request) -> Any:
        return getattr(request.state, "colour", None), get_manager(request, "queue").name

    site = await serve(app)
    assert (await site.http.get("/set")).status_code == 200
    async with site.websocket("/socket") as websocket:
        assert await websocket.recv() == "cache"
    ready = await site.http.get("/readyz")

    assert ready.json()["redis"].keys() == {"queue", "cache"}
    assert await redis_server.command("GET", "where") == "queue"
    assert await cache_server.command("GET", "where") == "cache"
    assert (await site.http.get("/colour")).json() == ["blue" if by == "wrap" else None, "queue"]


async def test_a_manager_is_a_lifespan(serve: Serve, redis_url: str) -> None:
    """`FastAPI(lifespan=manager)`, without `.lifespan`."""
    manager = RedisManager(url=redis_url)
    site = await serve(routes(FastAPI(lifespan=manager)))

    assert (await site.http.get("/readyz")).status_code == 200
    assert manager.is_ready


async def test_a_lifespan_within_another_may_not_open_the_same_name(
    serve: Serve, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    inner = RedisManager(url=redis_url, name="cache")
    registry = RedisRegistry(queue=redis_url, cache=redis_url)
    with pytest.raises(StartError):
        await serve(FastAPI(lifespan=registry.wrap(inner)))

    assert "two Redis managers of this app are named 'cache'" in caplog.text
    assert {each.stats().state for each in registry.values()} == {PoolState.CLOSED}


async def test_they_open_side_by_side(redis_server: RedisServer, cache_server: RedisServer) -> None:
    """The first is served only when the second has been: one after another would never end."""
    await redis_server.kill()
    started: list[asyncio.Task[None]] = []

    def start_first(event: Event) -> None:
        if isinstance(event, StateChanged) and event.state == "ready":
            started.append(asyncio.create_task(redis_server.start()))

    registry = RedisRegistry(
        RedisManager(redis_server.url, name="first"),
        RedisManager(cache_server.url, name="second", listeners=[start_first]),
    )
    async with registry:
        assert [each.is_ready for each in registry.values()] == [True, True]
        await started[0]


async def test_they_close_in_order(redis_url: str) -> None:
    """The last one first, each wholly before the next begins."""
    happened: list[tuple[str, str]] = []
    managers = [
        RedisManager(redis_url, name=name, listeners=[told(name, happened)]) for name in "abc"
    ]
    async with RedisRegistry(*managers):
        happened.clear()

    assert happened == [(name, state) for name in "cba" for state in ("draining", "closed")]


async def test_one_that_cannot_start_closes_the_others() -> None:
    """Also one that is open already, and one that still waits for its own server."""
    tasks, descriptors = asyncio.all_tasks(), open_descriptors()
    async with RedisServer() as server:
        opened = asyncio.Event()

        def note(event: Event) -> None:
            if isinstance(event, StateChanged) and event.state == "ready":
                opened.set()

        registry = RedisRegistry(
            RedisManager(server.url, name="served", listeners=[note]),
            RedisManager(NOWHERE, name="waiting", startup={"policy": "wait", "timeout": 60}),
            RedisManager(NOWHERE, name="failing", startup={"policy": "wait", "timeout": 0.5}),
        )
        with pytest.raises(RedisUnavailableError, match="redis 'failing' is down") as raised:
            await registry.open()

        assert raised.value.instance == "failing"
        assert opened.is_set()
        assert {each.stats().state for each in registry.values()} == {PoolState.CLOSED}
        await until(lambda: asyncio.all_tasks() <= tasks)
    await until(lambda: open_descriptors() <= descriptors)


async def test_an_opening_that_is_cancelled_leaves_nothing_open(redis_url: str) -> None:
    tasks = asyncio.all_tasks()
    registry = RedisRegistry(
        RedisManager(redis_url, name="served"),
        RedisManager(NOWHERE, name="waiting", startup={"policy": "wait", "timeout": 60}),
    )
    opening = asyncio.create_task(registry.open())
    await until(lambda: registry["served"].is_ready)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    assert {each.stats().state for each in registry.values()} == {PoolState.CLOSED}
    await until(lambda: asyncio.all_tasks() <= tasks)


async def test_a_closing_that_is_cancelled_closes_all(redis_url: str) -> None:
    registry = RedisRegistry(a=redis_url, b=redis_url)
    await registry.open()
    blocked = asyncio.ensure_future(registry["b"].redis.blpop(["never"], timeout=60))
    await until(lambda: registry["b"].stats().leased == 1)
    closing = asyncio.create_task(registry.aclose())
    await until(lambda: registry["b"].stats().state is not PoolState.READY)
    closing.cancel()
    with suppress(asyncio.CancelledError):
        await closing
    with pytest.raises(RedisOutageError):
        await blocked

    assert {each.stats().state for each in registry.values()} == {PoolState.CLOSED}


async def test_a_registry_can_be_opened_again(registry: RedisRegistry) -> None:
    for _ in range(2):
        async with registry as opened:
            assert await opened["cache"].redis.ping()


# What routes depend on.


async def test_a_request_has_one_client_of_an_instance(
    serve: Serve, registry: RedisRegistry
) -> None:
    """However many of its functions depend on it; it ends with the request."""
    app = FastAPI(lifespan=registry)
    kept: list[Redis] = []

    async def helper(cache: Annotated[Redis, Depends(redis_dependency("cache"))]) -> Redis:
        return cache

    @app.get("/")
    async def route(helped: Annotated[Redis, Depends(helper)], cache: CacheDep) -> Any:
        kept.append(cache)
        return [helped is cache, registry["cache"].stats().clients]

    site = await serve(app)

    assert (await site.http.get("/")).json() == [True, 1]
    assert registry["cache"].stats().clients == 0
    assert kept[0].session.ended


@pytest.mark.parametrize("optional", [True, False])
async def test_a_dependency_on_an_instance_that_is_not_open_is_a_mistake(
    serve: Serve, registry: RedisRegistry, optional: bool
) -> None:
    """An optional one that nobody opens would otherwise be missing for ever."""
    app = FastAPI(lifespan=registry)
    dependency: Any = redis_dependency("cash", optional=optional)

    @app.get("/")
    async def route(cache: Annotated[Any, Depends(dependency)]) -> None: ...

    @app.exception_handler(RedisNotStartedError)
    async def tell(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(str(error), 418)

    response = await (await serve(app)).http.get("/")

    assert response.status_code == 418
    assert "no Redis manager is named 'cash'; the app's lifespan opened 'queue', 'cache'" in (
        response.json()
    )


# An instance that a route can do without.


def cached(app: FastAPI, *, slow: float = 0.0) -> FastAPI:
    """Give *app* a route that answers from the cache, or from the source, and says from where."""
    app.include_router(health_router)

    async def answer(cache: Redis | None) -> list[str]:
        errors: list[str] = []
        if cache is not None:
            try:
                kept = await cache.get("key")
            except RedisOutageError as error:
                errors.append(type(error).__name__)
            else:
                if kept is not None:
                    return ["cache"]
        await asyncio.sleep(slow)
        if cache is not None and not errors:
            with suppress(RedisOutageError):
                await cache.set("key", "value")
        return ["source", *errors]

    @app.get("/cached")
    async def with_cache(cache: OptionalCacheDep) -> list[str]:
        return await answer(cache)

    @app.get("/plain")
    async def without() -> list[str]:
        return await answer(None)

    return app


async def test_an_optional_instance_is_none_while_it_is_down(
    serve: Serve, registry: RedisRegistry, cache_server: RedisServer
) -> None:
    """Its routes answer from the source meanwhile, and from the cache once it is back."""
    site = await serve(cached(FastAPI(lifespan=registry)))
    await until_state(registry["cache"], PoolState.READY)
    before = [(await site.http.get("/cached")).json() for _ in range(2)]
    await cache_server.kill()
    await until(lambda: not registry["cache"].is_ready)
    down = [(await site.http.get("/cached")).json() for _ in range(3)]
    ready = await site.http.get("/readyz")
    await until_state(registry["cache"], PoolState.DOWN)
    down.append((await site.http.get("/cached")).json())
    await cache_server.start()
    await until_state(registry["cache"], PoolState.READY)
    after = [(await site.http.get("/cached")).json() for _ in range(2)]

    assert before == after == [["source"], ["cache"]]
    assert down == [["source"]] * 4
    assert ready.status_code == 200
    assert ready.json()["redis"]["cache"]["state"] != "ready"


async def test_an_optional_instance_that_dies_in_the_middle_fails_at_once(
    serve: Serve, registry: RedisRegistry, cache_server: RedisServer
) -> None:
    """The route had its client already: a command of it does not wait for grace."""
    app = FastAPI(lifespan=registry)
    entered, killed = asyncio.Event(), asyncio.Event()

    @app.get("/")
    async def route(cache: OptionalCacheDep) -> Any:
        assert cache is not None
        await cache.get("key")
        entered.set()
        await killed.wait()
        began = time.monotonic()
        try:
            await cache.get("key")
        except RedisOutageError as error:
            return [error.code, time.monotonic() - began]

    site = await serve(app)
    await until_state(registry["cache"], PoolState.READY)
    asked = asyncio.create_task(site.http.get("/"))
    await entered.wait()
    await cache_server.kill()
    killed.set()
    code, seconds = (await asked).json()

    assert code == "redis_unavailable"
    assert seconds < registry["cache"].settings.outage.grace / 4


async def test_an_optional_instance_is_none_once_it_is_closed(registry: RedisRegistry) -> None:
    assert registry["cache"].optional_client() is None
    async with registry:
        await until_state(registry["cache"], PoolState.READY)
        scope = registry["cache"].optional_client()
        assert scope is not None
        async with scope as client:
            assert await client.ping()
            assert client.session.options.grace == 0
    assert registry["cache"].optional_client() is None


async def test_a_start_does_not_depend_on_what_readiness_does_not_depend_on(
    serve: Serve, registry: RedisRegistry, cache_server: RedisServer
) -> None:
    """`REDIS_CACHE_CRITICAL=false` is enough: the app starts, serves, and heals."""
    await cache_server.kill()
    began = time.monotonic()
    site = await serve(cached(FastAPI(lifespan=registry)))
    assert time.monotonic() - began < registry["cache"].settings.startup.timeout / 2

    assert (await site.http.get("/readyz")).status_code == 200
    assert (await site.http.get("/cached")).json() == ["source"]
    await cache_server.start()
    await until_state(registry["cache"], PoolState.READY)
    await site.http.get("/cached")
    assert (await site.http.get("/cached")).json() == ["cache"]


@pytest.mark.parametrize(
    ("variables", "policy"),
    [
        ({}, "wait"),
        ({"CRITICAL": "true"}, "wait"),
        ({"CRITICAL": "false"}, "degraded"),
        ({"CRITICAL": "0", "STARTUP__TIMEOUT": "3"}, "degraded"),
        ({"CRITICAL": "false", "STARTUP__POLICY": "fail"}, "fail"),
    ],
)
def test_start_up_policy_of_what_is_not_critical(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], policy: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"REDIS_CACHE_{name}", value)

    assert RedisSettings(_env_prefix="REDIS_CACHE_").startup.policy == policy
    assert RedisSettings(critical=False).startup.policy == "degraded"


async def test_an_optional_cluster_is_there_while_a_shard_is() -> None:
    async with ClusterDeployment(elections=False) as deployment:
        registry = RedisRegistry(RedisManager(deployment.url, name="cache", critical=False))
        (lost, *_), (kept, *_), _ = shard_keys(deployment)
        async with registry:
            await until(lambda: registry["cache"].is_ready)
            await deployment.primaries[0].kill()
            await until(lambda: not registry["cache"].is_ready)
            scope = registry["cache"].optional_client()
            assert scope is not None
            async with scope as cache:
                assert await cache.get(kept) is None
                with pytest.raises(RedisUnavailableError):
                    await cache.get(lost)
            for server in deployment.primaries[1:]:
                await server.kill()
            await until(lambda: registry["cache"].optional_client() is None)


@pytest.mark.measures
async def test_a_killed_cache_costs_its_routes_less_than_five_milliseconds(
    serve: Serve, registry: RedisRegistry, cache_server: RedisServer
) -> None:
    """From the moment of the kill on, against the same route without a cache."""
    site = await serve(cached(FastAPI(lifespan=registry), slow=0.01))
    await until_state(registry["cache"], PoolState.READY)
    await site.http.get("/cached")
    await cache_server.kill()
    took: dict[str, list[float]] = {"/cached": [], "/plain": []}
    states: set[int] = set()
    for _ in range(150):
        for path, times in took.items():
            began = time.perf_counter()
            response = await site.http.get(path)
            times.append(time.perf_counter() - began)
            assert response.json()[0] == "source"
        states.add((await site.http.get("/readyz")).status_code)

    def quantile(path: str) -> float:
        return statistics.quantiles(took[path], n=20)[-1]

    assert states == {200}
    assert statistics.median(took["/cached"]) - statistics.median(took["/plain"]) < 0.005
    assert quantile("/cached") - quantile("/plain") < 0.005
    assert took["/cached"][0] - max(took["/plain"]) < 0.05  # the first one learns of it
