"""What is published says of itself what is true."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

import redis_manager_fastapi

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SUPPORT = (ROOT / "docs" / "support.md").read_text()
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "try_build.py"))


def test_the_version_is_the_changelog_s_last() -> None:
    headings = re.findall(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0] == redis_manager_fastapi.__version__


def test_the_page_on_support_has_what_the_project_asks_for() -> None:
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    named = re.findall(r"^\| CPython (3\.\d+) \| yes", SUPPORT, re.MULTILINE)
    floors = dict(
        re.findall(r"^([\w-]+).*?>=([\d.]+)", "\n".join(PROJECT["dependencies"]), re.MULTILINE)
    )
    shown = dict(re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \|", SUPPORT, re.MULTILINE))

    assert classified == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert shown == floors


@pytest.mark.parametrize(
    ("more", "less", "said"),
    [
        ({"tests/test_docs.py"}, set(), "has tests/test_docs.py, outside"),
        ({"redis_manager_fastapi/dump.rdb"}, set(), "dump.rdb, which is no source"),
        (set(), {"redis_manager_fastapi/py.typed"}, "lacks redis_manager_fastapi/py.typed"),
        (set(), {"redis_manager_fastapi/web/state.py"}, "lacks redis_manager_fastapi/web/state.py"),
        (set(), {"r-1.dist-info/licenses/LICENSE"}, "lacks r-1.dist-info/licenses/LICENSE"),
    ],
)
def test_a_wheel_is_looked_through(more: set[str], less: set[str], said: str) -> None:
    package = {
        str(path.relative_to(ROOT)) for path in (ROOT / "redis_manager_fastapi").rglob("*.py*")
    }
    files = {name for name in package if not name.endswith(".pyc")}
    files |= {"redis_manager_fastapi/py.typed"}
    files |= {
        f"r-1.dist-info/{name}" for name in ("METADATA", "licenses/LICENSE", "entry_points.txt")
    }

    assert list(SCRIPT["misplaced"](files)) == []
    (problem,) = SCRIPT["misplaced"]((files | more) - less)
    assert said in problem


def test_a_source_distribution_is_looked_through() -> None:
    files = ["LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"]
    inside = [f"r-1/{name}" for name in (*files, "redis_manager_fastapi/py.typed")]

    assert list(SCRIPT["strayed"](inside)) == []
    assert list(SCRIPT["strayed"]([*inside[1:], "r-1/.ci/run"])) == [
        "the source distribution lacks LICENSE",
        "the source distribution has .ci/run",
    ]
