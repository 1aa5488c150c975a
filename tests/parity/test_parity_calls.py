"""The tables of calls, on both clients, one after the other."""

import asyncio

import pytest

from redis_manager_fastapi.testing.server import RedisServer

from .conftest import Pair, plain_client
from .families import FAMILIES
from .sameness import difference, outcome
from .server_calls import SESSION

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.mark.parametrize("family", FAMILIES)
async def test_calls_give_what_redis_py_gives(pair: Pair, family: str) -> None:
    differences = []

    for number, one in enumerate(FAMILIES[family]):
        ours, plain = await asyncio.gather(outcome(pair.ours, one), outcome(pair.plain, one))
        if found := difference(ours, plain, one.mode):
            differences.append(f"{number}: {one!s:.200}\n    {found}")

    assert not differences, "\n".join(differences)


async def test_session_commands_give_what_redis_py_gives(
    pair: Pair, plain_server: RedisServer
) -> None:
    for one in SESSION:
        async with plain_client(plain_server, pair.variant) as plain:
            expected = await outcome(plain, one)

        async with pair.ours.client() as pinned:
            ours = await outcome(pinned, one)

        mode = "shape" if one.method == "hello" else one.mode
        assert not difference(ours, expected, mode), str(one)
