"""Passwords: where they come from, and where they never go."""

import copy
import logging
import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager, RedisUnavailableError
from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.testing import RedisServer
from tests.kit.servers import needs

SECRET = "hunter2"
SetEnvironment = Callable[..., None]


def test_no_secret_in_any_rendering(environment: SetEnvironment) -> None:
    environment(
        REDIS_URL=f"redis+sentinel://u:{SECRET}@a/0/m", REDIS_SENTINEL__PASSWORD=f"x{SECRET}"
    )

    settings = RedisSettings()

    assert settings.read_password() == SECRET
    for rendering in (
        repr(settings),
        str(settings),
        repr(settings.model_dump()),
        settings.model_dump_json(),
        repr(settings.sentinel),
        repr(dict(settings)),
    ):
        assert SECRET not in rendering


@pytest.mark.parametrize(
    "values",
    [
        {"password": SECRET, "port": "x", "pool": {"max_idle": "x"}},
        {"url": f"redis://:{SECRET}@h:x"},
        {"url": f"redis://:{SECRET}%FF@h"},
        {"password": SECRET.encode(), "port": "x"},
        {"password": [SECRET]},
        {"sentinel": {"password": [SECRET], "nodes": "a"}},
        {"sentinel": {"username": f" {SECRET}"}},
        {"username": f" {SECRET}"},
        {"host": f"{SECRET}@h"},
        {"unknown": SECRET},
    ],
)
def test_no_secret_in_a_traceback(values: dict[str, Any]) -> None:
    with pytest.raises(RedisConfigError) as caught:
        RedisSettings(**values)

    rendered = "".join(traceback.format_exception(caught.value))
    assert SECRET not in rendered
    assert caught.value.__context__ is None


def test_a_password_file_is_read_again_each_time(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    settings = RedisSettings(password_file=file)
    before = settings.read_password()

    file.write_text("second")

    assert (before, settings.read_password()) == ("first", "second")
    assert settings.password is None


@pytest.mark.parametrize(
    ("content", "password"),
    [(b"p\n", "p"), (b"p\r\n", "p"), (b"p\n\n", "p\n"), (b" p ", " p "), ("ü".encode(), "ü")],
)
def test_one_final_newline_is_not_part_of_the_password(
    tmp_path: Path, content: bytes, password: str
) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)

    assert RedisSettings(password_file=file).read_password() == password


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "write the password into it"), (b"\n", "is empty"), (b"hunter2\xff", "as UTF-8")],
)
def test_a_useless_password_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)

    with pytest.raises(RedisConfigError, match=words) as caught:
        RedisSettings(password_file=file)

    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_password_file_that_vanishes_names_variable_and_fix(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p")
    settings = RedisSettings(password_file=file, _env_prefix="REDIS_CACHE_")
    file.unlink()

    with pytest.raises(RedisConfigError) as caught:
        settings.read_password()

    assert str(caught.value) == (
        f"password_file (REDIS_CACHE_PASSWORD_FILE) is {str(file)!r}, which does not exist; "
        "set it to a file that this process can read."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p")
    file.chmod(0)

    with pytest.raises(RedisConfigError, match="not allowed to read"):
        RedisSettings(password_file=file)


def test_a_username_goes_with_a_password_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p")

    settings = RedisSettings(username="app", password_file=file)

    assert (settings.username, settings.read_password()) == ("app", "p")


def test_no_password_is_none() -> None:
    assert RedisSettings().read_password() is None


@needs("RESP3 (HELLO)", redis="6.0")
async def test_a_server_that_does_not_know_the_handshake_repeats_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its "unknown command" goes on with the arguments: HELLO's hold the password."""
    caplog.set_level(logging.DEBUG)
    async with RedisServer({"rename-command": 'HELLO ""'}) as server:
        settings: dict[str, Any] = {
            "password": SECRET,
            "protocol": 3,
            "startup": {"policy": "fail"},
        }
        manager = RedisManager(url=server.url, **settings)
        with pytest.raises(RedisUnavailableError, match="REDIS_PROTOCOL=2") as caught:
            await manager.open()

    assert SECRET not in "".join(traceback.format_exception(caught.value)) + caplog.text


def test_settings_survive_copy_and_pickle() -> None:
    settings = RedisSettings(_env_prefix="REDIS_CACHE_", password=SECRET, cluster={"nodes": "a"})

    for twin in (copy.deepcopy(settings), pickle.loads(pickle.dumps(settings))):  # noqa: S301
        assert twin == settings
        assert twin.variable("db") == "REDIS_CACHE_DB"
