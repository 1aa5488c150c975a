"""Pipelines of very many commands on a Cluster: brought to their nodes in slices."""

import gc
from collections.abc import Iterator

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.lag import Turns
from tests.kit.managers import opened

MANY = 100_000

# In seconds: it takes 5 to 10 ms, and in one piece 0.3 s.
LONGEST_TURN = 0.015


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Python's collector looks at all that there is, in one turn: at a user's commands as well."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.measures
@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("fails", [False, True], ids=["well", "fails"])
@pytest.mark.parametrize("kind", ["set", "get", "transaction"])
async def test_the_loop_turns(shared: ClusterDeployment, kind: str, fails: bool) -> None:
    transaction = kind == "transaction"
    async with opened(shared.url, timeout={"command": 20}) as manager:
        await manager.cluster.set("{tag} text", "no number")
        longest = []
        for _ in range(3):  # the least of them, because other processes make turns longer
            pipe = manager.cluster.pipeline(transaction=transaction)
            for number in range(MANY):
                key = f"{{tag}} {number}" if transaction else f"key {number}"
                if number == MANY // 2 and fails:
                    pipe.incr("{tag} text")
                elif kind == "get":
                    pipe.get(key)
                else:
                    pipe.set(key, number)
            async with Turns() as turns:
                try:
                    await pipe.execute()
                except ResponseError:
                    assert fails
            longest.append(turns.longest)
            if turns.longest <= LONGEST_TURN:
                break

        assert min(longest) <= LONGEST_TURN


async def test_very_many_on_a_cluster_have_the_replies_of_a_few(shared: ClusterDeployment) -> None:
    async with opened(shared.url) as manager:
        await manager.cluster.set("text", "no number")
        pipe = manager.cluster.pipeline()
        for number in range(12_000):
            pipe.incr("text" if number == 7_000 else f"counter {number}")
            pipe.set(f"key {number}", number)
            pipe.get(f"key {number}")
        replies = await pipe.execute(raise_on_error=False)

        assert isinstance(replies.pop(21_000), ResponseError)
        expected = [each for number in range(12_000) for each in (1, True, str(number))]
        del expected[21_000]
        assert replies == expected
