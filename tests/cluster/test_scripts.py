"""What a script answers with is the script's own, however much it looks like the Cluster's."""

from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import RedisManagerError
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.clusters import opened

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
