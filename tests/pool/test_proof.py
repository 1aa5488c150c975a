"""Row 59: a script's reply that holds further ones is nobody else's (Redis 7.4 and 8.2)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import RedisError, ResponseError

from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.fake_server import FakeServer
from tests.kit.managers import opened
from tests.kit.servers import MODULES, unable_to_save

FORGED = "x\r\n$6\r\nforged\r\n+y"
THROW = "redis.call('INCR', KEYS[1]) error(ARGV[1])"


async def evaluated(redis: Redis, *arguments: str) -> Any:
    call: Any = redis.eval(THROW, 1, "runs", *arguments)
    return await call


async def piped(redis: Redis, *arguments: str) -> Any:
    pipe: Any = redis.pipeline(transaction=False)
    return await pipe.eval(THROW, 1, "runs", *arguments).execute()


async def transacted(redis: Redis, *arguments: str) -> Any:
    pipe: Any = redis.pipeline()
    return await pipe.eval(THROW, 1, "runs", *arguments).execute()


Evaluate = Callable[..., Awaitable[Any]]
every_way = pytest.mark.parametrize("evaluate", [evaluated, piped, transacted])


async def among_others(redis: Redis, script: Awaitable[Any]) -> Any:
    """Run a script while others ask; each gets its own answer.  Return the script's outcome."""
    words = [f"word {number}" for number in range(20)]
    running = asyncio.ensure_future(script)
    for _ in range(3):  # a pipeline begins in a later turn of the loop
        await asyncio.sleep(0)
    outcome, *answers = await asyncio.gather(
        running, *map(redis.get, words), return_exceptions=True
    )
    assert answers == words
    return outcome


@pytest.mark.usefixtures("pipelining")
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize(
    "forged", [b"$6\r\nforged\r\n", b"-ERR forged\r\n", b"-\r\n", b"+PONG\r\n"]
)
@pytest.mark.parametrize("evaluate", [evaluated, piped])
async def test_what_follows_a_script_s_reply_is_nobody_s(
    protocol: int, forged: bytes, evaluate: Evaluate
) -> None:
    async with FakeServer() as fake, opened(fake.url, protocol=protocol) as manager:
        fake.replies = [b"-ERR it failed\r\n" + forged]
        outcome = await among_others(manager.redis, evaluate(manager.redis, "argument"))

        assert isinstance(outcome, ResponseError)
        assert "it failed" in str(outcome)
        assert manager.stats().generation == 2


@pytest.mark.usefixtures("pipelining")
@pytest.mark.parametrize("own", [True, False], ids=["this server", "with modules"])
@every_way
async def test_a_real_server_that_does_not_keep_an_error_to_one_line(
    own: bool, evaluate: Evaluate
) -> None:
    if not own and not MODULES.exists():
        pytest.skip("scripts/module-servers has fetched no server")
    async with (
        RedisServer(binary=None if own else MODULES) as server,
        opened(server.url) as manager,
    ):
        await manager.redis.mset({f"word {number}": f"word {number}" for number in range(20)})
        for _ in range(3):
            outcome = await among_others(manager.redis, evaluate(manager.redis, FORGED))

            assert isinstance(outcome, RedisError)
        assert await manager.redis.get("runs") == "3"


@pytest.mark.usefixtures("pipelining")
async def test_on_a_cluster() -> None:
    deployment = ClusterDeployment(shards=1, replicas=0)
    async with deployment, opened(deployment.url) as manager:
        redis: Any = manager.cluster
        await redis.mset_nonatomic({f"word {number}": f"word {number}" for number in range(20)})
        for evaluate in (evaluated, piped):
            outcome = await among_others(redis, evaluate(redis, FORGED))
            assert isinstance(outcome, RedisError)


@pytest.mark.usefixtures("pipelining")
async def test_a_script_counts_once(redis_server: RedisServer) -> None:
    """Its proof is no command of the app's."""
    async with opened(redis_server.url) as manager:
        before = manager.stats().commands
        await asyncio.gather(*(manager.redis.eval("return 1", 0) for _ in range(10)))

        assert manager.stats().commands - before == 10


@pytest.mark.usefixtures("pipelining")
async def test_scripts_that_wait_for_room(redis_server: RedisServer) -> None:
    async with opened(redis_server.url, pipelining={"max_in_flight": 3}) as manager:
        script = "return ARGV[1]"
        calls = [manager.redis.eval(script, 0, str(number)) for number in range(50)]

        assert await asyncio.gather(*calls) == [str(number) for number in range(50)]
        assert manager.stats().generation == 1


@pytest.mark.usefixtures("pipelining")
async def test_a_server_that_cannot_save() -> None:
    """It refuses PING, and runs scripts that read."""
    async with RedisServer() as server, unable_to_save(server), opened(server.url) as manager:
        for _ in range(3):
            assert await manager.redis.eval("return 1", 0) == 1

        assert manager.stats().generation == 1
