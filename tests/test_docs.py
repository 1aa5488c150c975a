"""The documentation names every setting, every error and every link correctly."""

import ast
import inspect
import re
import runpy
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

import redis_manager_fastapi
import redis_manager_fastapi.testing
from redis_manager_fastapi import Cause, RedisManagerError, RedisSettings
from redis_manager_fastapi.pool.state import PoolState, Suspicion
from redis_manager_fastapi.settings.aliases import KNOWN_ALIASES, QUERY_PARAMETERS
from redis_manager_fastapi.settings.layers import canonical
from redis_manager_fastapi.settings.sources import setting_paths
from redis_manager_fastapi.web.responses import RETRY_AFTER, TRANSLATIONS

ROOT = Path(__file__).parent.parent
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
ERRORS = (ROOT / "docs" / "errors.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGE = ROOT / "redis_manager_fastapi"
PAGES = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md"))
PROSE = [ROOT / "README.md", ROOT / "docs" / "tutorial.md"] + [
    page for page in PAGES if page.parent.name in ("guides", "explanation")
]
REFERENCE = "".join(page.read_text() for page in PAGES if page.parent.name == "reference")
ROW = re.compile(r"^\| `(REDIS_\w+)` \| ([^|]*?) ?\|", re.MULTILINE)
MAPPED = re.compile(r"^\| `([\w/]+\.py)` \|", re.MULTILINE)
WORD = re.compile(r"^\| `(\w+)` \| .* \| `([\w/]+\.py)` \|$", re.MULTILINE)
STEP = re.compile(r"^([\w/]+\.py)? +([\w.]+)(?:  .*)?$", re.MULTILINE)
FIGURE = re.compile(r"\d(?:[\d,.]*\d)?(?: %| s\b|%)?|\bnone\b")
LINK = re.compile(r"\]\((?!https?://)([^)#]+)\)")


def default_of(path: str) -> str:
    """Return the default as the documentation writes it."""
    value: Any = RedisSettings.model_construct()
    for name in path.split("."):
        value = getattr(value, name)
    if value is None or value == ():
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_setting_stands_there_with_its_default() -> None:
    expected = {
        canonical("REDIS_", path): default_of(path) for path in setting_paths(RedisSettings)
    }

    documented = {name: default for name, default in ROW.findall(SETTINGS) if name in expected}
    assert documented == expected


def test_every_alias_stands_there() -> None:
    missing = [name for name in KNOWN_ALIASES if f"| `REDIS_{name}` |" not in SETTINGS]
    missing += [name for name in QUERY_PARAMETERS if f"`{name}`" not in SETTINGS]

    assert missing == []


@pytest.mark.parametrize("document", PROSE, ids=lambda path: path.name)
def test_no_setting_is_named_that_does_not_exist(document: Path) -> None:
    known = {canonical("REDIS_", path) for path in setting_paths(RedisSettings)}
    known |= {f"REDIS_{alias}" for alias in KNOWN_ALIASES}
    named = set(re.findall(r"`(REDIS_[A-Z_]+)(?:=\S*)?`", document.read_text()))

    assert named - known <= {"REDIS_RESPONSES", "REDIS_CACHE_CRITICAL"}


def test_every_error_stands_there_with_its_code() -> None:
    errors = [
        thing
        for name in redis_manager_fastapi.__all__
        if isinstance(thing := getattr(redis_manager_fastapi, name), type)
        and issubclass(thing, RedisManagerError)
        and thing is not RedisManagerError
    ]

    missing = [e.__name__ for e in errors if f"| `{e.__name__}` | `{e.code}` |" not in ERRORS]
    assert missing == []


def test_every_cause_stands_there() -> None:
    section = ERRORS.partition("## Why a reply did not come")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)[1:] == [
        each.value for each in Cause
    ]


@pytest.mark.parametrize("document", ["docs/explanation/contract.md", "docs/errors.md"])
def test_answers_are_those_of_the_table(document: str) -> None:
    text = (ROOT / document).read_text()

    for error, how in TRANSLATIONS.items():
        rows = [line for line in text.splitlines() if f"`{error.__name__}`" in line]
        told = [
            row for row in rows if f" {how.status}" in row and f" {how.websocket_code} |" in row
        ]
        assert told, error
        retry = f" {RETRY_AFTER} " if document.endswith("errors.md") else "Retry-After"
        assert (retry in told[0].replace(f" {how.status} ", "")) == how.retry, error


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    targets = LINK.findall(document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_public_name_is_in_the_reference_once() -> None:
    shown = Counter(re.findall(r"^::: (\S+)$", REFERENCE, re.MULTILINE))
    modules = (redis_manager_fastapi, redis_manager_fastapi.testing)
    public = {f"{module.__name__}.{name}" for module in modules for name in module.__all__}

    assert shown == Counter(public)


def test_readme_is_short_and_its_figures_are_those_of_the_pages() -> None:
    """Each figure of a row stands on the page that the row ends with, in its client's line."""
    text = (ROOT / "README.md").read_text()
    text = text.replace(" %", "%")  # the pages have both
    rows = re.findall(r"^\| (.*) \| \[\w+\]\((\S+)\)(?:, row (\d+))? \|$", text, re.MULTILINE)
    clients = ("redis_manager_fastapi", r"(?:redis|redis-py)", "fastapi-redis-sdk")
    measured = [row for row in rows if row[1] in ("docs/faults.md", "docs/benchmarks.md")]

    for cells, page, number in measured:
        lines = (ROOT / page).read_text().replace(" %", "%").splitlines()
        for client, cell in zip(clients, cells.split(" | ")[1:], strict=True):
            line = re.compile(rf"^\| {number}.*\b{client} \|" if number else rf"^\| {client} \|")
            theirs = " ".join(each for each in lines if line.search(each))
            missing = [figure for figure in FIGURE.findall(cell) if f" {figure} " not in theirs]
            assert [each for each in missing if f"({each})" not in theirs] == [], (cells, client)
    assert len(measured) == 7
    assert len(text.splitlines()) <= 150


def test_contract_stands_there_as_the_code_has_it() -> None:
    """`scripts/contract` writes the tables of what is sent again."""
    script = runpy.run_path(str(ROOT / "scripts" / "derive_contract.py"))

    assert script["written"](ERRORS) == ERRORS


@cache
def names(module: str) -> frozenset[str]:
    """Return what a module of the package defines: classes, functions, methods, attributes."""
    return frozenset(defined(ast.parse((PACKAGE / module).read_text()), ""))


def defined(tree: ast.AST, prefix: str) -> Iterator[str]:
    """Yield each name below *tree*; what is inside a class also with the class before it."""
    for node in ast.iter_child_nodes(tree):
        inner = prefix
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from {node.name, prefix + node.name}
            inner = f"{node.name}." if isinstance(node, ast.ClassDef) else prefix
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr
        yield from defined(node, inner)


def test_architecture_has_every_module_on_its_map() -> None:
    paths = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
    modules = {str(path) for path in paths if path.name != "__init__.py" or path.parent == Path()}

    assert Counter(MAPPED.findall(ARCHITECTURE)) == Counter(modules)


def test_architecture_defines_words_that_the_code_has() -> None:
    words = WORD.findall(ARCHITECTURE)

    assert len(words) > 50
    assert [(word, module) for word, module in words if word not in names(module)] == []


def test_architecture_follows_flows_through_functions_that_exist() -> None:
    flows = re.findall(r"^```\n(.*?)^```$", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    steps, module = [], ""
    for flow in flows:
        for file, function in STEP.findall(flow):
            module = file or module
            steps.append((module, function))

    assert len(flows) == 6
    assert len(steps) == sum(len(flow.split("\n")) - flow.count("\n\n") - 1 for flow in flows)
    assert [step for step in steps if step[1] not in names(step[0])] == []


def test_architecture_has_the_suspicions_of_the_code() -> None:
    """`tests/pool/test_state.py` compares the docstring with `CONSEQUENCES`."""
    documented = inspect.getdoc(Suspicion) or ""
    table = [line for line in documented.splitlines() if line.startswith("|")]

    assert "\n".join(table) in ARCHITECTURE


def test_picture_of_objects_shows_classes_that_exist() -> None:
    picture = (ROOT / "docs" / "objects.svg").read_text()
    shown = re.findall(r'<text x="\d+" y="\d+">([A-Z]\w+)</text>', picture)
    classes = {name for path in PACKAGE.rglob("*.py") for name in names(str(path))}

    assert len(shown) > 20
    assert [name for name in shown if name not in classes] == []


OTHERS = {
    *("wait_for", "shield", "ensure_future", "TypedDict"),
    *("Lock", "NodesManager", "Reader", "redis.asyncio.Redis", "redis.ConnectionError"),
    *("Attributes", "RuntimeWarning", "TypeError", "app.state", "readonly", "write"),
}
"""What the page on architecture names that no file of ours defines."""


def test_architecture_names_what_exists() -> None:
    quoted = set(re.findall(r"`(\w[\w./]*)`", ARCHITECTURE))
    paths = {name for name in quoted if "/" in name or name.endswith((".md", ".py"))}
    folders = (PACKAGE, ROOT / "tests", ROOT / "scripts")
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    known = {name for path in sources for name in names(str(path))}

    assert [
        each for each in paths if not ((ROOT / each).exists() or (PACKAGE / each).exists())
    ] == []
    words = {name for name in quoted - paths if not name.startswith(("REDIS_", "asyncio."))}
    assert [word for word in words - OTHERS if not set(word.split(".")) <= known] == []


def logged(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each call of the logger, and the event that it names; "" for none."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "logger"
            and node.func.attr in LEVELS
        ):
            extra = next((each.value for each in node.keywords if each.arg == "extra"), None)
            fields: dict[str, str] = {}
            if isinstance(extra, ast.Dict):
                pairs = zip(extra.keys, extra.values, strict=True)
                fields = {ast.unparse(key): ast.unparse(value) for key, value in pairs if key}
            yield node.lineno, fields.get("'event'", "").strip("'")


LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
LINES = {
    f"{path.relative_to(PACKAGE)}:{line}": event
    for path in sorted(PACKAGE.rglob("*.py"))
    if "demo" not in path.parts
    for line, event in logged(path.read_text())
}
"""Each place that logs, and the event that it names; `event` where that is a variable."""


def test_every_line_of_the_log_names_its_event() -> None:
    assert len(LINES) > 10
    assert [place for place, event in LINES.items() if not event] == []


def test_every_logged_event_stands_there() -> None:
    """Those of the log's own file, of other lines, and of a pool's states, named after those."""
    page = (ROOT / "docs" / "logging.md").read_text()
    source = (PACKAGE / "observe" / "log.py").read_text()
    named = set(re.findall(r'"(redis_[a-z_]+)"', source)) | set(LINES.values()) - {"event"}
    named |= {f"redis_{state.value}" for state in PoolState if state is not PoolState.NEW}
    own_name = {PACKAGE.name}
    assert named - own_name == set(re.findall(r"`(redis_[a-z_]+)`", page)) - own_name


def test_every_kind_of_event_stands_there() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    (told,) = re.findall(r"^The events are .*$", page, re.MULTILINE)
    kinds = [kind.__name__ for kind in get_args(redis_manager_fastapi.Event)]

    assert [name for name in kinds if f"`{name}`" not in told] == []


def test_every_test_of_the_list_of_faults_exists() -> None:
    page = (ROOT / "docs" / "faults.md").read_text()
    listed = re.findall(r"\| `(\S+\.py)::(test_\w+)` \|", page)
    paths = [
        (ROOT / (path if "/" in path else f"tests/faults/{path}"), name) for path, name in listed
    ]

    assert listed
    assert [each for each in paths if f"def {each[1]}(" not in each[0].read_text()] == []
