"""What a script answers with is the script's own, however much it looks like the Cluster's."""

from typing import Any

import pytest
from redis.exceptions import RedisError, ResponseError

from redis_manager_fastapi import RedisManagerError
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.managers import opened

COUNT_AND_FAIL = "redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])"


@pytest.mark.parametrize("error", ["TRYAGAIN by another", "CLUSTERDOWN mine", "MASTERDOWN mine"])
@pytest.mark.parametrize("pipelined", [False, True])
async def test_a_script_that_fails_is_not_run_again(
    shared: ClusterDeployment, error: str, pipelined: bool
) -> None:
    async with opened(shared.url) as manager:
        key = f"counter:{error}:{pipelined}"
        call: Any = manager.cluster.eval(COUNT_AND_FAIL, 1, key, error)
        if pipelined:
            call.close()
            pipe: Any = manager.cluster.pipeline()
            pipe.eval(COUNT_AND_FAIL, 1, key, error)
            call = pipe.execute()
        with pytest.raises(ResponseError, match=error.split(" ", 1)[1]) as raised:
            await call
        assert not isinstance(raised.value, RedisManagerError)
        assert await manager.cluster.get(key) == "1"


@pytest.mark.parametrize(
    "error",
    [
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "MOVED {slot} {address}",
        "MOVED {other} {address}",
        "MOVED to the archive",
        "ASK {slot} {address}",
        "CLUSTERDOWN The cluster is down",
        "CLUSTERDOWN Hash slot not served",
    ],
)
@pytest.mark.parametrize("pipelined", [False, True])
async def test_a_script_in_the_cluster_s_words_is_run_twice_at_most(
    shared: ClusterDeployment, error: str, pipelined: bool
) -> None:
    async with opened(shared.url, outage={"grace": 10}) as manager:
        client = manager.cluster
        key = f"counter:{error}:{pipelined}"
        slot = client.keyslot(key)
        node = next(i for i in range(3) if slot in shared.slots_of(i))
        server = shared.primaries[node]
        words = error.format(
            slot=slot, other=(slot + 1) % 16384, address=f"{server.host}:{server.port}"
        )
        call: Any = client.eval(COUNT_AND_FAIL, 1, key, words)
        if pipelined:
            call.close()
            pipe: Any = client.pipeline()
            pipe.eval(COUNT_AND_FAIL, 1, key, words)
            call = pipe.execute()
        with pytest.raises(RedisError) as raised:
            await call
        assert getattr(raised.value, "maybe_executed", True)
        assert int(await client.get(key) or 0) <= 2


@pytest.mark.parametrize(
    "error",
    [
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "NOREPLICAS Not enough good replicas to write.",
        "MASTERDOWN Link with MASTER is down",
    ],
)
@pytest.mark.parametrize("way", ["command", "pipeline", "lower case", "no key"])
async def test_a_script_in_a_server_s_words_is_run_twice_at_most(
    shared: ClusterDeployment, error: str, way: str
) -> None:
    async with opened(shared.url, outage={"grace": 0.2}) as manager:
        client = manager.cluster
        key = f"counter:{error}:{way}"
        script, args = COUNT_AND_FAIL, [1, key, error]
        if way == "no key":
            script, args = "return redis.error_reply(ARGV[1])", [0, error]
        if way == "pipeline":
            pipe: Any = client.pipeline()
            call: Any = pipe.eval(script, *args).execute()
        else:
            name = "eval" if way == "lower case" else "EVAL"
            call = client.execute_command(name, script, *args)
        before = await evaluated(shared)
        with pytest.raises(RedisManagerError) as raised:
            await call

        assert raised.value.maybe_executed
        assert await evaluated(shared) - before in (1, 2)


async def evaluated(cluster: ClusterDeployment) -> int:
    """How often the nodes have run EVAL."""
    stats = [await server.command("INFO", "commandstats") for server in cluster.primaries]
    return sum(each.get("cmdstat_eval", {}).get("calls", 0) for each in stats)


@pytest.mark.parametrize("transaction", [True, False])
async def test_a_redirect_of_another_slot_is_not_followed_in_a_pipeline(
    shared: ClusterDeployment, transaction: bool
) -> None:
    async with opened(shared.url) as manager:
        client = manager.cluster
        key = f"counter:other:{transaction}"
        server = shared.primaries[0]
        slot = (client.keyslot(key) + 1) % 16384
        pipe: Any = client.pipeline(transaction=transaction)
        pipe.eval(COUNT_AND_FAIL, 1, key, f"MOVED {slot} {server.host}:{server.port}")
        with pytest.raises(ResponseError) as raised:
            await pipe.execute()

        assert not isinstance(raised.value, RedisManagerError)
        assert await client.get(key) == "1"


async def test_a_script_that_the_cluster_did_not_serve_goes_out_once_more(
    shared: ClusterDeployment,
) -> None:
    """Also by its node's own client, which does not know whether the words are the script's."""
    async with opened(shared.url, outage={"grace": 10}) as manager:
        with pytest.raises(RedisManagerError) as raised:
            await manager.cluster.eval(
                COUNT_AND_FAIL, 1, "counter:down", "CLUSTERDOWN The cluster is down"
            )
        assert raised.value.maybe_executed
        assert await manager.cluster.get("counter:down") == "2"


@pytest.mark.parametrize("error", ["MOVED {slot} {address}", "TRYAGAIN during rehashing"])
async def test_a_script_in_a_transaction_does_not_have_it_run_again(
    shared: ClusterDeployment, error: str
) -> None:
    async with opened(shared.url) as manager:
        client = manager.cluster
        key = f"counter:in:{error}"
        slot = client.keyslot(key)
        server = shared.primaries[next(i for i in range(3) if slot in shared.slots_of(i))]
        pipe: Any = client.pipeline(transaction=True)
        words = error.format(slot=slot, address=f"{server.host}:{server.port}")
        pipe.eval(COUNT_AND_FAIL, 1, key, words)
        with pytest.raises(ResponseError):
            await pipe.execute()
        assert await client.get(key) == "1"
