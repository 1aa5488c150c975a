"""With RESP3, a reply that Python has no value for: an error of its own caller's (row 59)."""

import asyncio
from functools import partial
from typing import Any

import hiredis
import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.pool.reader import TolerantReader, UnhashableReplyError
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.managers import opened
from tests.kit.servers import needs

NONE = object()
MAP = b"%1\r\n*1\r\n$3\r\na\r\n\r\n,1.5\r\n"
SET = b"%2\r\n~1\r\n+a\r\n:1\r\n+b\r\n_\r\n"
NESTED = b"*3\r\n:1\r\n" + MAP + b"#t\r\n"

BOX = "redis.call('INCR', KEYS[1]) redis.setresp(3) return "
SCRIPTS = [
    BOX + "{map={[{set={a=true}}]=1}}",
    BOX + "{set={[{map={[{1}]=1}}]=true}}",
    BOX + "{1, {map={[{set={a=true}}]={2, 3}}}, 'a'}",
]


def read_all(reader: Any) -> list[Any]:
    replies = []
    while (reply := reader.gets()) is not NONE:
        replies.append(type(reply) if isinstance(reply, Exception) else reply)
    return replies


@pytest.mark.parametrize("bad", [MAP, SET, NESTED])
@pytest.mark.parametrize("piece", [1, 2, 5, 1000])
def test_the_replies_around_it_are_read(bad: bytes, piece: int) -> None:
    reader = TolerantReader(partial(hiredis.Reader, notEnoughData=NONE))
    data = b"+a\r\n*2\r\n:1\r\n$1\r\nb\r\n" + bad + b"$-1\r\n$2\r\n\r\n\r\n" + bad + b":7\r\n"
    replies = []
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
        replies += read_all(reader)

    expected = [b"a", [1, b"b"], UnhashableReplyError, None, b"\r\n", UnhashableReplyError, 7]
    assert replies == expected
    assert not reader.has_data()


@pytest.mark.usefixtures("pipelining")
@needs("RESP3", redis="6.0")
@pytest.mark.parametrize("dedicated", [False, True])
@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_script_answers_so(redis_server: RedisServer, script: str, dedicated: bool) -> None:
    async with opened(redis_server.url, protocol=3) as manager:
        client = manager.redis.with_options(dedicated=dedicated)
        evaluate: Any = client.eval
        others = [manager.redis.incr("others") for _ in range(20)]
        outcomes = await asyncio.gather(
            *others[:10], evaluate(script, 1, "runs"), *others[10:], return_exceptions=True
        )
        error = outcomes.pop(10)

        assert outcomes == list(range(1, 21))
        assert isinstance(error, ResponseError)
        assert await client.get("runs") == "1"
        assert manager.stats().generation == 1


@pytest.mark.usefixtures("pipelining")
@needs("RESP3", redis="6.0")
@pytest.mark.parametrize("dedicated", [False, True])
@pytest.mark.parametrize("transaction", [False, True])
async def test_in_a_pipeline(redis_server: RedisServer, dedicated: bool, transaction: bool) -> None:
    async with opened(redis_server.url, protocol=3) as manager:
        client = manager.redis.with_options(dedicated=dedicated)
        pipe: Any = client.pipeline(transaction=transaction)
        pipe.incr("before").eval(SCRIPTS[0], 1, "runs").incr("after")
        with pytest.raises(Exception, match="key that is a collection") as raised:
            await pipe.execute()

        assert getattr(raised.value, "maybe_executed", True)
        assert await client.mget("before", "runs", "after") == ["1", "1", "1"]
        assert manager.stats().generation == 1


@needs("RESP3", redis="6.0")
async def test_on_a_cluster() -> None:
    deployment = ClusterDeployment(shards=1, replicas=0)
    async with deployment, RedisManager(url=deployment.url, protocol=3) as manager:
        evaluate: Any = manager.cluster.eval
        with pytest.raises(ResponseError):
            await evaluate(SCRIPTS[0], 1, "runs")

        assert await manager.cluster.get("runs") == "1"
