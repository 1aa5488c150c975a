"""The architecture as rules over the source: who may import whom, and how large things are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

PACKAGE = Path(__file__).parent.parent / "redis_manager_fastapi"

# From the top down: a layer may import itself and what stands below it.
LAYERS = (
    "__main__",
    "__init__",
    "cli",
    "console",
    "web",
    "metrics",
    "tracing",
    "registry",
    "manager",
    "lifespan",
    "streaming",
    "realtime",
    "client",
    "delivery",
    "cluster",
    "supervision",
    "caching",
    "pool",
    "commands",
    "topology",
    "observe",
    "redis_py",
    "settings",
    "errors",
    "tasks",
)
BESIDE = {"demo", "testing"}  # may import anything; nothing imports them
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
LONGEST_FILE = 500
LONGEST_FUNCTION = 50
LONGEST_MEDIAN = 10

Function = ast.FunctionDef | ast.AsyncFunctionDef

SOURCES = sorted(PACKAGE.rglob("*.py"))


def relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def layer_of(parts: tuple[str, ...]) -> str:
    """Return the layer of a module, given by its parts below the package."""
    return parts[0] if parts else "__init__"


def layer_of_file(path: Path) -> str:
    return layer_of(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and layer of each import of the package's own, wherever in the file it stands."""
    package = (PACKAGE.name, *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            prefix = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*prefix, *filter(None, [node.module])))
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            root, *parts = name.split(".")
            if root == PACKAGE.name:
                yield node.lineno, imported_layer(tuple(parts))


def imported_layer(parts: tuple[str, ...]) -> str:
    """Return the layer that an import reaches: a name of the package itself is its face."""
    layer = layer_of(parts)
    known = (PACKAGE / layer).is_dir() or (PACKAGE / f"{layer}.py").is_file()
    return layer if known else "__init__"


def upward(path: Path) -> list[str]:
    """Return the imports of *path* that point up."""
    own = layer_of_file(path)
    if own in BESIDE:
        return []
    allowed = set(LAYERS[LAYERS.index(own) :]) if own in LAYERS else set()
    found = imports(path, ast.parse(path.read_text()))
    return [f"{relative(path)}:{line} -> {layer}" for line, layer in found if layer not in allowed]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield name and length, in lines, of each function of *path*."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield f"{relative(path)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_point_down(path: Path) -> None:
    assert upward(path) == []


def test_layers_are_those_of_the_modules() -> None:
    layers = {layer_of_file(path) for path in SOURCES}

    assert layers - BESIDE == set(LAYERS)


def test_architecture_lists_the_layers_from_the_top_down() -> None:
    page = (PACKAGE.parent / "docs/architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", page, re.MULTILINE)

    assert tuple(rows) == LAYERS


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("from redis_manager_fastapi.pool.pool import Pool", 1),
        ("import redis_manager_fastapi.pool.pool", 1),
        ("from ..pool import pool", 1),
        ("from redis_manager_fastapi import RedisManager", 1),
        ("if TYPE_CHECKING:\n    from redis_manager_fastapi.pool.pool import Pool", 2),
        ("def late():\n    from redis_manager_fastapi.web import state", 2),
    ],
)
def test_rule_sees_every_way_to_import(source: str, line: int) -> None:
    """An import that points up is seen in a function, under TYPE_CHECKING and when relative."""
    settings = PACKAGE / "settings" / "model.py"
    allowed = set(LAYERS[LAYERS.index("settings") :])

    found = list(imports(settings, ast.parse(source)))
    assert [at for at, layer in found if layer not in allowed] == [line]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_file_stays_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def test_functions_stay_short() -> None:
    lengths = dict(each for path in SOURCES for each in functions(path))

    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
    assert median(lengths.values()) < LONGEST_MEDIAN


def test_no_module_is_a_drawer() -> None:
    assert [relative(path) for path in SOURCES if path.stem in FORBIDDEN_NAMES] == []
