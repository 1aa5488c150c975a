"""Where Redis is looked for, which variable decided that, and what to change."""

import pytest

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.settings.place import place_of
from redis_manager_fastapi.topology.fixes import fix_of

DOWN = RedisUnavailableError("down")


@pytest.mark.parametrize(
    ("variables", "words", "fix"),
    [
        (
            {},
            "at localhost:6379, the default, because REDIS_URL is not set",
            "start it there, or set REDIS_URL",
        ),
        (
            {"REDIS_URL": "redis://user:secret@cache:1/2"},
            "where REDIS_URL says (cache:1)",
            "start it there, or correct REDIS_URL",
        ),
        (
            {"REDIS_HOST": "::1"},
            "where REDIS_HOST says ([::1]:6379)",
            "start it there, or correct REDIS_HOST",
        ),
        (
            {"REDIS_PORT": "7000"},
            "where REDIS_PORT says (localhost:7000)",
            "start it there, or correct REDIS_PORT",
        ),
        (
            {"REDIS_HOST": "cache", "REDIS_PORT": "7000"},
            "where REDIS_HOST with REDIS_PORT says (cache:7000)",
            "start it there, or correct REDIS_HOST with REDIS_PORT",
        ),
        (
            {"REDIS_UNIX_SOCKET": "/run/redis.sock"},
            "where REDIS_UNIX_SOCKET says (/run/redis.sock)",
            "start it there, or correct REDIS_UNIX_SOCKET",
        ),
        (
            {"REDIS_URL": "redis+sentinel://one,two/0/main"},
            "where REDIS_URL says (service 'main' of the Sentinels one:26379, two:26379)",
            "start it there, or correct REDIS_URL",
        ),
        (
            {"REDIS_CLUSTER__NODES": "one:1,two:2"},
            "where REDIS_CLUSTER__NODES says (a Cluster by way of one:1, two:2)",
            "start it there, or correct REDIS_CLUSTER__NODES",
        ),
    ],
)
def test_the_variable_that_decides_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str, fix: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = RedisSettings()

    place = place_of(settings)

    assert place.words(with_address=True) == words
    assert fix_of(settings, DOWN) == fix
    assert place.address not in fix
    if variables:
        assert place.address not in place.words()


def test_what_was_given_in_code_is_named_as_such() -> None:
    by_url = place_of(RedisSettings(url="redis://cache"))
    by_host = place_of(RedisSettings(host="cache"))

    assert by_url.words() == "where the given URL says"
    assert by_host.words() == "where the given `host` says"
