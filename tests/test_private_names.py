"""Nothing of others that is private is touched unless it stands in a table, with its reason.

`tests/client/test_private_names.py` and `tests/cluster/test_private_names.py` check that
the names exist, and how they behave.
"""

import ast
import asyncio
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from redis.asyncio.connection import Connection

from redis_manager_fastapi import redis_py
from redis_manager_fastapi.cluster import redis_py as cluster_redis_py
from redis_manager_fastapi.redis_py import PrivateName
from tests.kit.private_names import Module, Touch, imported, title, touched

PACKAGE = Path(__file__).parent.parent / "redis_manager_fastapi"
TABLES = {redis_py.__name__, cluster_redis_py.__name__}
ROWS = redis_py.PRIVATE_NAMES + cluster_redis_py.PRIVATE_NAMES


def parsed(source: str) -> ast.Module:
    """Parse a module, without its table: a row does not touch what it lists."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not is_table(node)]
    return tree


def is_table(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PRIVATE_NAMES"


def read(path: Path) -> Module:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    name = ".".join(parts).removesuffix(".__init__")
    return Module(importlib.import_module(name), parsed(path.read_text()))


MODULES = [read(path) for path in sorted(PACKAGE.rglob("*.py"))]


def is_row_of(row: PrivateName, touch: Touch) -> bool:
    """Whether *row* lists what is touched; where the owner is not known, the name decides."""
    return row.name == touch.name and (not touch.owners or row.owner in touch.owners)


def unlisted(touches: list[Touch]) -> list[Touch]:
    return [touch for touch in touches if not any(is_row_of(row, touch) for row in ROWS)]


def test_every_private_name_that_is_touched_is_listed() -> None:
    assert unlisted(list(touched(MODULES))) == []


def test_every_listed_name_is_touched() -> None:
    touches = list(touched(MODULES))

    idle = [row for row in ROWS if not any(is_row_of(row, touch) for touch in touches)]
    assert [title(row) for row in idle] == []


@pytest.mark.parametrize("row", ROWS, ids=title)
def test_row_names_the_version_that_was_read(row: PrivateName) -> None:
    assert re.fullmatch(r"(redis-py|hiredis|CPython) \d+\.\d+( to \d+\.\d+)?", row.read_in)
    assert row.reason


def test_no_name_is_listed_twice() -> None:
    listed = [(row.owner, row.name) for row in ROWS]

    assert len(set(listed)) == len(listed)


def test_private_modules_are_imported_in_one_place() -> None:
    importing = {module.name for module in MODULES if imported(module)}

    assert importing <= TABLES


def test_names_of_the_cluster_client_are_needed_by_a_cluster_alone() -> None:
    question = "import sys, redis_manager_fastapi; print(*sys.modules)"

    output = subprocess.check_output([sys.executable, "-c", question], text=True)
    assert TABLES & set(output.split()) == {redis_py.__name__}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("def f(other): return other._unlisted", "_unlisted"),
        ("def f(other): other._unlisted = 1", "_unlisted"),
        ("def f(other): other.part._unlisted.call()", "_unlisted"),
        ("def f(other): getattr(other, '_unlisted')", "_unlisted"),
        ("import redis._unlisted", "_unlisted"),
        ("from redis._unlisted import name", "_unlisted"),
        ("def f():\n    from redis.client import _unlisted", "_unlisted"),
        ("class C(Connection):\n    def _error_message(self, e): ...", "_error_message"),
        ("class C(Connection):\n    def f(self): return super()._host_error()", "_host_error"),
        ("class C(Connection):\n    def f(self): self._re_auth_token = 1", "_re_auth_token"),
        ("class C(Connection):\n    _socket_read_size = 1", "_socket_read_size"),
        ("class C(asyncio.Future): __slots__ = ('_loop',)", "_loop"),
    ],
)
def test_touch_is_found(source: str, name: str) -> None:
    """However it is touched: read, assigned, called, overridden, imported or named in a string."""
    assert [touch.name for touch in unlisted(list(touched([written(source)])))] == [name]


@pytest.mark.parametrize(
    "source",
    [
        "class C:\n    def __init__(self): self._own = 1\n    def f(self, c): return c._own",
        "class C(Connection):\n    def f(self): self._own = 1",
        "def _own(): ...\nreference = getattr(object, '_own', None)",
        "from example.part import _own",
        "class C(Connection):\n    def f(self): return self._writer",
        "class C:\n    def __init__(self): self.__dict__ = {}",
    ],
)
def test_own_names_and_listed_ones_pass(source: str) -> None:
    assert unlisted(list(touched([written(source)]))) == []


def written(source: str) -> Module:
    """Return a module of another package; of what it has, only its classes are made."""
    tree = parsed(source)
    classes: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    module = ModuleType("example")
    vars(module).update(asyncio=asyncio, Connection=Connection)
    exec(compile(ast.Module(classes, []), "example", "exec"), vars(module))  # noqa: S102
    return Module(module, tree)
