"""Follow every link of the built site, and see that it needs nothing from elsewhere."""

import json
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""Elements whose address a browser loads by itself."""


class Page(HTMLParser):
    """What one page links to, loads, and can be linked at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors = {""}
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element's addresses."""
        found = dict(attrs)
        self.anchors |= {found.get("id") or "", found.get("name") or ""}
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag in LOADED and found.get(LOADED[tag]) and found.get("rel") != "canonical":
            self.loads.append(str(found[LOADED[tag]]))


def broken(site: Path) -> Iterator[str]:
    """Say which links lead nowhere, and what would be loaded from another host."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        if name.name == "404.html":  # its links begin at the root of wherever it is served
            continue
        for link in [*page.links, *page.loads]:
            outside = bool(urlsplit(link).scheme or urlsplit(link).netloc)
            if outside and link in page.loads and not link.startswith("data:"):
                yield f"{name} loads {link}"
            elif not outside and not leads(path, link, pages):
                yield f"{name} links to {link}"


def leads(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    """Whether a link of the page at *path* leads to a file, and to its anchor."""
    place, anchor = urldefrag(link)
    target = (path.parent / unquote(urlsplit(place).path)).resolve() if place else path
    target = target / "index.html" if target.is_dir() else target
    if target in pages:
        return unquote(anchor) in pages[target].anchors
    return target.exists()


def unsearchable(site: Path) -> Iterator[str]:
    """Say which pages the search does not know."""
    index = json.loads((site / "search" / "search_index.json").read_text())
    known = {urldefrag(entry["location"])[0] for entry in index["docs"]}
    for path in site.rglob("index.html"):
        location = path.parent.relative_to(site).as_posix() + "/"
        if location.removeprefix("./") not in known:
            yield f"the search does not know {location}"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    problems = [*broken(folder), *unsearchable(folder)]
    if problems:
        sys.exit("\n".join(problems))
