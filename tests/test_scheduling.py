"""A parallel run ends with the tests that measure, one at a time, in one worker."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CONFTEST = """
import json, os, pathlib, time, pytest
from tests.kit.scheduling import *

@pytest.fixture(autouse=True)
def span(request):
    began = time.monotonic()
    yield
    name, ended = request.node.name, time.monotonic()
    file = pathlib.Path(__file__).parent / f"span-{name}.json"
    file.write_text(json.dumps({"name": name, "began": began, "ended": ended, "pid": os.getpid()}))
"""

SUITE = """
import time, pytest

@pytest.mark.measures
@pytest.mark.parametrize("n", range({measuring}))
def test_measures(n):
    time.sleep(0.02)

@pytest.mark.parametrize("n", range({others}))
def test_other(n):
    time.sleep(0.2 if n == 0 else 0.01)
    assert n != {bad}
"""


@dataclass(frozen=True)
class Span:
    """When a test ran, and in which process."""

    name: str
    began: float
    ended: float
    pid: int


def run(
    directory: Path, *arguments: str, measuring: int = 3, others: int = 20, bad: int = -1
) -> tuple[list[Span], "subprocess.CompletedProcess[str]"]:
    """Run a suite in three workers; return when each test ran, in order of their ends."""
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = measures\n")
    suite = SUITE.format(measuring=measuring, others=others, bad=bad)
    (directory / "test_suite.py").write_text(suite)
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-n", "3", "--dist", "worksteal"]
    ended = subprocess.run(
        [*command, f"--rootdir={directory}", str(directory), *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    spans = [Span(**json.loads(file.read_text())) for file in directory.glob("span-*.json")]
    return sorted(spans, key=lambda span: span.ended), ended


@pytest.mark.parametrize("others", [0, 1, 20])
def test_what_measures_runs_alone_after_everything_else(tmp_path: Path, others: int) -> None:
    spans, ended = run(tmp_path, others=others)
    measuring = [span for span in spans if "measures" in span.name]
    last = max((span.ended for span in spans if "other" in span.name), default=0.0)

    assert f"{3 + others} passed" in ended.stdout.splitlines()[-1]
    assert last < min(span.began for span in measuring)
    assert len({span.pid for span in measuring}) == 1
    assert len({span.pid for span in spans}) == (3 if others == 20 else 1)


def test_a_failure_is_one_of_the_whole_run(tmp_path: Path) -> None:
    spans, ended = run(tmp_path, bad=4)

    assert ended.returncode == 1
    assert "1 failed, 22 passed" in ended.stdout.splitlines()[-1]
    assert len(spans) == 23


def test_the_first_failure_may_end_the_run(tmp_path: Path) -> None:
    spans, ended = run(tmp_path, "-x", bad=0, others=200)

    assert ended.returncode != 0
    assert "1 failed" in ended.stdout.splitlines()[-1]
    assert [span for span in spans if "measures" in span.name] == []
