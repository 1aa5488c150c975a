"""The look at the built documentation finds what is broken; `scripts/docs` runs it."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "check_site.py"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of two pages, which is in order."""
    (tmp_path / "other").mkdir()
    (tmp_path / "search").mkdir()
    (tmp_path / "index.html").write_text(
        '<a href="other/#there">to</a> <a href="https://x/">out</a>'
    )
    (tmp_path / "other" / "index.html").write_text('<h2 id="there"></h2><a href="..">back</a>')
    known = {"docs": [{"location": ""}, {"location": "other/#there"}]}
    (tmp_path / "search" / "search_index.json").write_text(json.dumps(known))
    return tmp_path


def problems(site: Path) -> list[str]:
    return [*SCRIPT["broken"](site), *SCRIPT["unsearchable"](site)]


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("", None),
        ('<a href="other/#elsewhere">', "index.html links to other/#elsewhere"),
        ('<a href="nowhere/">', "index.html links to nowhere/"),
        ('<img src="picture.svg">', "index.html links to picture.svg"),
        (
            '<link href="https://fonts.example/a.css">',
            "index.html loads https://fonts.example/a.css",
        ),
        ('<script src="//cdn.example/a.js">', "index.html loads //cdn.example/a.js"),
    ],
)
def test_links_are_followed_and_nothing_comes_from_elsewhere(
    site: Path, added: str, said: str | None
) -> None:
    page = site / "index.html"
    page.write_text(page.read_text() + added)

    assert problems(site) == ([said] if said else [])


def test_a_page_that_the_search_does_not_know_is_named(site: Path) -> None:
    (site / "third").mkdir()
    (site / "third" / "index.html").touch()

    assert problems(site) == ["the search does not know third/"]
