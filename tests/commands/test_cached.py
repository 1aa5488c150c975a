"""Which reads are cached: each read of the table is, or has a reason why not."""

from redis_manager_fastapi.commands.cached import CACHED, LEFT_OUT, keys_read
from redis_manager_fastapi.commands.keys import KEYS_OF, ONE_KEY
from redis_manager_fastapi.commands.table import READS


def reason(name: str) -> str | None:
    """Why a read is not cached, by its name, its first word or its module."""
    words = name, name.partition(" ")[0], name.partition(".")[0]
    return next((LEFT_OUT[word] for word in words if word in LEFT_OUT), None)


def test_each_read_is_cached_or_has_a_reason() -> None:
    assert CACHED <= READS
    assert [name for name in sorted(READS - CACHED) if reason(name) is None] == []
    assert CACHED & LEFT_OUT.keys() == set()


def test_keys_of_each_cached_read_are_known() -> None:
    assert {name for name in CACHED if name not in KEYS_OF and name not in ONE_KEY} == set()
    assert keys_read(("MGET", "a", "b")) == ("a", "b")
    assert keys_read(("HGET", "a", "b")) == ("a",)
