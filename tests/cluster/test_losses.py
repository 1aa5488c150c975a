"""What a lost shard means to the commands under way."""

import asyncio

import pytest

from redis_manager_fastapi import ReplyLostError
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.clusters import keys_in
from tests.kit.managers import opened

SLOW = "local t = redis.call('TIME')[1]\nwhile redis.call('TIME')[1] - t < 2 do end"


async def test_a_pipeline_whose_shard_is_lost_tells_about_that_shard_alone(
    deployment: ClusterDeployment,
) -> None:
    keys = [f"key:{number}" for number in range(12)]

    async with opened(deployment.url) as manager:
        for server in (deployment.replica_of(0), deployment.primaries[0]):
            server.pause()
        slow = manager.cluster.with_options(timeout=0.3)
        pipe = slow.pipeline()
        for key in keys:
            pipe.incr(key)
        values = await pipe.execute(raise_on_error=False)
        lost = [slow.keyslot(key) in deployment.slots_of(0) for key in keys]
        assert [isinstance(value, Exception) for value in values] == lost
        for server in (deployment.replica_of(0), deployment.primaries[0]):
            server.resume()
        assert any(lost)


async def test_a_write_in_flight_when_its_primary_dies_is_told_as_lost(
    deployment: ClusterDeployment,
) -> None:
    key = "key"

    async with opened(deployment.url) as manager:
        index = next(i for i in range(3) if manager.cluster.keyslot(key) in deployment.slots_of(i))
        primary = deployment.primaries[index]
        script = asyncio.ensure_future(manager.redis.eval(SLOW, 1, key))
        await asyncio.sleep(0.2)
        await primary.kill()
        with pytest.raises(ReplyLostError) as caught:
            await script
        assert caught.value.maybe_executed


async def test_a_pipeline_in_flight_when_its_primary_dies_is_told_as_lost(
    deployment: ClusterDeployment,
) -> None:
    async with opened(deployment.url) as manager:
        pipe = manager.cluster.pipeline()
        pipe.eval(SLOW, 1, keys_in(deployment.slots_of(0), 1)[0])
        sent = asyncio.ensure_future(pipe.execute())
        await asyncio.sleep(0.2)
        await deployment.primaries[0].kill()
        with pytest.raises(ReplyLostError) as caught:
            await sent
        assert caught.value.maybe_executed


async def test_a_pipeline_whose_reply_is_no_text_tells_about_that_shard_alone(
    shared: ClusterDeployment,
) -> None:
    binary, text = (keys_in(shared.slots_of(index), 1)[0] for index in range(2))

    async with opened(shared.url) as manager:
        await manager.cluster.set(binary, b"\xff")
        await manager.cluster.set(text, "text")

        pipe = manager.cluster.pipeline().get(binary).get(text).incr(f"{{{text}}}:n")
        first, *others = await pipe.execute(raise_on_error=False)

        assert isinstance(first, UnicodeDecodeError)
        assert others == ["text", 1]
        with pytest.raises(UnicodeDecodeError, match=r"decode_responses=False"):
            await manager.cluster.pipeline().get(text).get(binary).execute()
        await manager.cluster.delete(f"{{{text}}}:n")
