"""What `scripts/matrix --servers` tells of a run, and how it ends."""

import os
from pathlib import Path

import pytest

from redis_manager_fastapi.testing.binary import VARIABLE, server_binary
from tests.kit import on_servers
from tests.kit.servers import reason
from tests.kit.serving import environment

SUITE = """
import os, pathlib, pytest

def test_it_passes():
    assert os.environ["REDIS_SERVER_BINARY"] == {program!r}

@pytest.mark.parametrize("n", range(2))
def test_it_is_skipped(n):
    pytest.skip({reason!r})

def test_it_may_fail():
    assert {well}

@pytest.fixture
def broken():
    yield
    assert {well}

def test_its_end_may_fail(broken):
    pass
"""


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_servers, "LOGS", tmp_path)


def suite(directory: Path, *, well: bool) -> str:
    """Write a few tests; return the file's name."""
    file = directory / "test_suite.py"
    why = reason("The future", redis="99.0")
    file.write_text(SUITE.format(program=str(server_binary()), reason=why, well=well))
    return str(file)


def find_one() -> tuple[dict[str, str], list[str]]:
    return {"redis-1": str(server_binary())}, ["Redis 0 is left out: too old"]


@pytest.mark.parametrize("well", [True, False])
def test_outcomes_are_counted_and_skips_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], well: bool
) -> None:
    monkeypatch.setattr(on_servers, "find", find_one)

    code = on_servers.main([suite(tmp_path, well=well), "-n0"])
    told = capsys.readouterr().out

    assert code == (0 if well else 1)
    counts = ["3", "0", "2"] if well else ["1", "2", "2"]
    assert ["redis-1", *counts] in [line.split()[:4] for line in told.splitlines()]
    assert "       2  The future needs Redis 99.0\n" in told
    assert ("::test_its_end_may_fail\n" in told) is not well
    assert told.endswith("Redis 0 is left out: too old\n")


def test_a_run_that_breaks_off_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(on_servers, "find", find_one)

    assert on_servers.main([str(tmp_path / "nothing.py"), "-n0"]) == 1
    assert f"see {tmp_path / 'servers-redis-1.log'}" in capsys.readouterr().out


def test_no_server_at_all_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_servers, "find", lambda: ({}, ["all are left out"]))

    assert on_servers.main([]) == 1


def test_a_cleared_environment_still_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise tests that clear it would run on another server than the one chosen."""
    monkeypatch.setenv(VARIABLE, "/chosen")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")

    cleared = environment()
    assert cleared[VARIABLE] == "/chosen"
    assert "REDIS_URL" not in cleared
    assert cleared.keys() <= os.environ.keys()
