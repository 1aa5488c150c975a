"""What the site is made of besides docs/: the README as its first page, and linked files.

A page of docs/ may link to any file of the repository, as it does where the repository is
read.  In the site such a file is a page under `files/`.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
CODE = {".py": "python", ".toml": "toml", "": "sh"}
INDEX, FILES = "index.md", "files/"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every page that the nav does not name under "More"."""
    named = set(_named(config.nav))
    docs = Path(config.docs_dir)
    more = [
        str(path.relative_to(docs))
        for path in sorted(docs.rglob("*.md"))
        if str(path.relative_to(docs)) not in named
    ]
    if more and config.nav is not None:
        config.nav.insert(-1, {"More": more})
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the README and every file that a page links to."""
    docs = Path(config.docs_dir)
    pages = {path.relative_to(ROOT) for path in docs.rglob("*.md")} | {Path("README.md")}
    wanted, seen = {*pages, *_shown(config.nav)}, set[Path]()
    while wanted:
        path = wanted.pop()
        seen.add(path)
        if path.suffix == ".md":
            text = (ROOT / path).read_text()
            linked = {_target(path, link) for link in LINK.findall(text)}
            wanted |= {each for each in linked if each is not None} - seen
    for path in sorted(seen - pages):
        if not (ROOT / path).is_relative_to(docs):
            files.append(File.generated(config, _uri(path), content=_content(path)))
    files.append(File.generated(config, INDEX, content=(ROOT / "README.md").read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links to files of the repository to their pages."""
    here = _source(page.file.src_uri)

    def led(match: re.Match[str]) -> str:
        target = _target(here, match[0])
        if target is None:
            return match[0]
        return str(PurePosixPath(_relative(_uri(target), page.file.src_uri)))

    return LINK.sub(led, markdown)


def _named(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav or []
    return [name for entry in entries for name in _named(entry)]


def _shown(nav: Any) -> list[Path]:
    """Return the files outside docs/ that the nav names."""
    return [Path(name.removeprefix(FILES)) for name in _named(nav) if name.startswith(FILES)]


def _source(uri: str) -> Path:
    """Return the file of the repository that a page shows."""
    if uri == INDEX:
        return Path("README.md")
    if uri.startswith(FILES):
        path = uri.removeprefix(FILES)
        shown = Path(path.removesuffix(".md"))
        return Path(path) if (ROOT / path).exists() else shown
    return Path("docs") / uri


def _target(here: Path, link: str) -> Path | None:
    """Return the file that *link* leads to, from the page *here*; None if there is none."""
    path = (ROOT / here).parent.joinpath(link).resolve()
    return path.relative_to(ROOT) if path.exists() and path.is_relative_to(ROOT) else None


def _uri(path: Path) -> str:
    """Return the page that shows a file."""
    if path.parts[:1] == ("docs",):
        return str(Path(*path.parts[1:]))
    if path == Path("README.md"):
        return INDEX
    return f"{FILES}{path}" if path.suffix == ".md" else f"{FILES}{path}.md"


def _relative(target: str, here: str) -> str:
    up = "../" * (len(PurePosixPath(here).parts) - 1)
    return up + target


def _content(path: Path) -> str:
    if path.suffix == ".md":
        return (ROOT / path).read_text()
    if (ROOT / path).is_dir():
        return _listed(path)
    return f"# `{path}`\n\n```{CODE.get(path.suffix, 'text')}\n{(ROOT / path).read_text()}```\n"


def _listed(folder: Path) -> str:
    """Show every file of a folder on one page."""
    texts = [_content(path.relative_to(ROOT)) for path in sorted((ROOT / folder).glob("*.py"))]
    return f"# {folder}\n\n" + "\n".join(f"#{text}" for text in texts)
