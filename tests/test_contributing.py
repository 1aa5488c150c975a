"""CONTRIBUTING.md says of each module where its tests are."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "redis_manager_fastapi"
ROW = re.compile(r"^\| (`[^|]*`) \| (`[^|]*`) \|$", re.MULTILINE)

ROWS = [
    (re.findall(r"`([^`]+)`", modules), re.findall(r"`([^`]+)`", tests))
    for modules, tests in ROW.findall((ROOT / "CONTRIBUTING.md").read_text())
]


def modules() -> set[str]:
    """Return every module by its path below the package; a folder's `__init__` only gathers."""
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    return {str(path) for path in paths if path.name != "__init__" or path.parent == Path()}


def test_every_module_is_listed_once() -> None:
    listed = Counter(module for row, _ in ROWS for module in row)

    assert set(listed) == modules()
    assert [module for module, times in listed.items() if times > 1] == []


def test_listed_tests_exist() -> None:
    listed = {path for _, row in ROWS for path in row}

    assert [path for path in sorted(listed) if not (ROOT / path).exists()] == []


def test_every_folder_of_tests_is_named() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}

    named = {str(folder.relative_to(ROOT)) for folder in folders}
    assert [folder for folder in sorted(named) if f"`{folder}" not in page] == []


def test_kit_has_no_tests() -> None:
    assert list((ROOT / "tests" / "kit").rglob("test_*.py")) == []
