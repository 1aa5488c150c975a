"""Commands of modules on a Cluster that has them, in the shapes of redis-py's own client.

`scripts/module-servers` fetches the servers.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from redis.commands.search.field import NumericField, TextField
from redis.maint_notifications import MaintNotificationsConfig

from redis_manager_fastapi.testing.binary import VARIABLE
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.managers import opened

SERVERS = Path(__file__).parents[2] / ".venvs" / "servers"


def shape(value: Any) -> Any:
    """A value with redis-py's objects taken apart, and without what no two calls have alike."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items() if key != "duration"}
    if isinstance(value, list | tuple):
        return type(value)(map(shape, value))
    if type(value).__module__.startswith("redis."):
        return type(value).__name__, shape(vars(value))
    return value


async def search(r: Any) -> Any:
    index = r.ft("people")
    await index.create_index([TextField("name"), NumericField("age")])
    await r.hset("person:1", mapping={"name": "ada", "age": 36})
    await r.hset("person:2", mapping={"name": "alan", "age": 41})
    info = await index.info()
    return await index.search("@age:[30 40]"), sorted(map(str, info))


async def json_type(r: Any) -> Any:
    document = r.json()
    assert await document.set("doc", "$", {"n": 1, "words": ["a"]})
    return [
        await document.type("doc", "$.n"),
        await document.type("doc"),
        await document.get("doc", "$.words"),
        await document.numincrby("doc", "$.n", 2),
        await document.objkeys("doc"),
    ]


async def quantiles(r: Any) -> Any:
    digest = r.tdigest()
    await digest.create("digest")
    await digest.add("digest", [1.0, 2.0, 3.0])
    return [
        await digest.quantile("digest", 0.5, 0.9),
        await digest.min("digest"),
        await digest.info("digest"),
    ]


async def filters(r: Any) -> Any:
    await r.bf().create("bloom", 0.01, 100)
    return [
        await r.bf().add("bloom", "a"),
        await r.bf().exists("bloom", "a"),
        await r.bf().info("bloom"),
    ]


async def series(r: Any) -> Any:
    await r.ts().create("series", labels={"kind": "test"})
    await r.ts().add("series", 1, 2.5)
    return [await r.ts().get("series"), await r.ts().range("series", "-", "+")]


async def similar(r: Any) -> Any:
    vectors = r.vset()
    await vectors.vadd("vectors", [1.0, 0.0], "a")
    await vectors.vadd("vectors", [0.5, 0.5], "b")
    return [
        await vectors.vsim("vectors", "a", with_scores=True),
        await vectors.vsim("vectors", "a"),
    ]


async def embedding(r: Any) -> Any:
    vectors = r.vset()
    await vectors.vadd("vectors", [1.0, 0.0], "a")
    return [await vectors.vemb("vectors", "a", raw=True), await vectors.vemb("vectors", "a")]


CALLS: dict[str, list[Callable[[Any], Awaitable[Any]]]] = {
    "7.4-modules": [search, json_type, quantiles, filters, series],
    "8.2": [similar, embedding],
}


@pytest.fixture(params=CALLS)
async def deployment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[str, ClusterDeployment]]:
    """A Cluster of the servers that have the modules."""
    program = SERVERS / request.param / "redis-server"
    if not program.exists():
        pytest.skip(f"needs {request.param}, which scripts/module-servers fetches")
    monkeypatch.setenv(VARIABLE, str(program))
    async with ClusterDeployment(shards=2, replicas=0) as deployment:
        yield request.param, deployment


async def values(deployment: ClusterDeployment, name: str, client: Any) -> dict[str, Any]:
    """Make each call, on servers that have nothing yet."""
    found = {}
    for call in CALLS[name]:
        for server in deployment.nodes:
            await server.command("FLUSHALL")
        found[call.__name__] = shape(await call(client))
    return found


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_replies_of_modules_have_redis_py_s_shapes(
    deployment: tuple[str, ClusterDeployment], protocol: Any, decode: bool
) -> None:
    name, cluster = deployment
    server = cluster.nodes[0]
    async with redis.asyncio.RedisCluster(
        server.host,
        server.port,
        protocol=protocol,
        decode_responses=decode,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    ) as plain:
        expected = await values(cluster, name, plain)

    async with opened(cluster.url, protocol=protocol, decode_responses=decode) as manager:
        found = await values(cluster, name, manager.cluster)

    assert found == expected
