"""The tables of calls again, read by way of the cache: what it answers is what redis-py gives."""

import asyncio

import pytest

from tests.kit.caching import cache_of, until_cached
from tests.kit.servers import needs

from .conftest import RESP3, Pair, Variant
from .families import FAMILIES
from .sameness import difference, outcome

pytestmark = [
    needs("CLIENT TRACKING with RESP3", redis="7.0"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

# The shapes differ by protocol and by decoding; each of both is in one of these.
VARIANTS = [
    Variant(protocol=2, decode=True),
    pytest.param(Variant(protocol=3, decode=False), marks=RESP3),
]
READ = ["strings", "keys", "hashes", "lists", "sets", "sorted sets", "bitmaps", "geo", "binary"]


@pytest.mark.parametrize("variant", VARIANTS, ids=str, indirect=True)
@pytest.mark.parametrize("family", READ)
async def test_cached_calls_give_what_redis_py_gives(pair: Pair, family: str) -> None:
    """A read that the cache can answer is made twice: the second reply comes from the process."""
    cached = pair.ours.with_options(cache=60.0)
    await until_cached(pair.manager, cached)
    cache, differences = cache_of(pair.manager), []

    for number, one in enumerate(FAMILIES[family]):
        misses = cache.stats().misses
        ours, plain = await asyncio.gather(outcome(cached, one), outcome(pair.plain, one))
        found = difference(ours, plain, one.mode)
        if cache.stats().misses > misses:
            hits = cache.stats().hits
            again = await outcome(cached, one)
            refused = isinstance(ours, Exception) or one.args == ([],)
            known = refused or cache.stats().hits > hits
            found = found or difference(again, plain, one.mode) or ("" if known else "no hit")
        if found:
            differences.append(f"{number}: {one!s:.200}\n    {found}")

    assert cache.stats().hits > 0
    assert not differences, "\n".join(differences)
