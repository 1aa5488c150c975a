"""What a start that fails says to do, by what went wrong and by where the setting came from."""

from typing import Any

import pytest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.errors import (
    RedisAuthError,
    RedisManagerError,
    RedisPermissionError,
    RedisTLSError,
)
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.topology.fixes import fix_of

ELSEWHERE = "redis://{}127.0.0.1:{}/{}"


async def start(**settings: Any) -> str:
    """What a manager says that gives up at its first attempt."""
    with pytest.raises(RedisManagerError) as caught:
        async with RedisManager(startup={"policy": "fail"}, **settings):
            pass
    return str(caught.value)


@pytest.fixture
async def locked(redis_server: RedisServer) -> RedisServer:
    await redis_server.command("CONFIG", "SET", "requirepass", "secret")
    return redis_server


@pytest.mark.parametrize(
    ("user", "password", "said", "fix"),
    [
        (
            "",
            "",
            "the server wants a password, and none is set (NOAUTH)",
            "set REDIS_PASSWORD or REDIS_PASSWORD_FILE, and REDIS_USERNAME for an ACL user",
        ),
        (
            ":wrong@",
            "",
            "refused the credentials (",
            "correct the password in REDIS_URL: it is not the default user's password",
        ),
        (
            "",
            "wrong",
            "refused the credentials (",
            "correct REDIS_PASSWORD: it is not the default user's password",
        ),
        (
            "joe:wrong@",
            "",
            "refused the credentials (",
            "correct the user in REDIS_URL and the password in REDIS_URL, or create the user:"
            " ACL SETUSER",
        ),
    ],
)
async def test_refused_credentials(
    locked: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    user: str,
    password: str,
    said: str,
    fix: str,
) -> None:
    monkeypatch.setenv("REDIS_URL", ELSEWHERE.format(user, locked.port, 0))
    monkeypatch.setenv("REDIS_PASSWORD", password)

    told = await start()

    assert said in told
    assert told.endswith(f"where REDIS_URL says: {fix}")


async def test_a_password_that_the_server_has_not(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", ELSEWHERE.format("", redis_server.port, 0))
    monkeypatch.setenv("REDIS_PASSWORD", "secret")

    assert (await start()).endswith(
        "remove REDIS_PASSWORD, or correct the address: it may be another server"
    )


@pytest.mark.parametrize(
    ("database", "variable", "fix"),
    [
        (99, "", "set the database in REDIS_URL to one that the server has"),
        ("", "99", "set REDIS_DB to one that the server has"),
    ],
)
async def test_a_database_that_the_server_has_not(
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    database: Any,
    variable: str,
    fix: str,
) -> None:
    monkeypatch.setenv("REDIS_URL", ELSEWHERE.format("", redis_server.port, database))
    monkeypatch.setenv("REDIS_DB", variable)

    told = await start()

    assert "the server has no database of that number;" in told
    assert told.endswith(f"REDIS_URL says: {fix}")


async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://nowhere.invalid:6379")

    told = await start()

    assert told.endswith("says: correct REDIS_URL, or this machine's DNS or /etc/hosts")


async def test_tls_where_the_server_speaks_none(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hang up, or wait for more of what it takes for a command."""
    monkeypatch.setenv("REDIS_URL", redis_server.url.replace("redis://", "rediss://"))

    told = await start()

    assert "start REDIS_URL with redis://" in told
    assert "by TLS" in told or "does not speak TLS there" in told


def test_credentials_and_certificates_have_a_fix_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "secret")
    settings = RedisSettings()

    assert "ACL" in fix_of(settings, RedisPermissionError("forbidden"))
    assert fix_of(settings, RedisTLSError("unknown CA")) == "check REDIS_TLS__*"


def test_a_sentinel_s_credentials_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis+sentinel://one/0/main")
    monkeypatch.setenv("REDIS_PASSWORD", "secret")
    refused = RedisAuthError(
        "no Sentinel names a primary: the server wants a password, and none is set (NOAUTH)"
    )

    assert fix_of(RedisSettings(), refused) == (
        "set REDIS_SENTINEL__PASSWORD, and REDIS_SENTINEL__USERNAME for an ACL user"
    )


def test_a_provider_is_asked_for_what_no_setting_gives() -> None:
    refused = RedisAuthError("the server refused the credentials (WRONGPASS)")

    assert "credential provider" in fix_of(RedisSettings(), refused)
