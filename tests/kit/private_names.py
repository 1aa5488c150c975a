"""Finds the private names of others that a module touches.

A name is private when it starts with one underscore.  Whose it is can be told where a class
extends another's: by what that class has, and by what its methods assign to `self`.  Of any
other object only the name can be told: it is ours if the module, or a module of the package
whose classes it extends, defines it.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from redis_manager_fastapi.redis_py import PrivateName

PRIVATE = re.compile(r"_[A-Za-z]\w*\Z")


@dataclass(frozen=True)
class Module:
    """A module of the package: as it is imported, and as it is written."""

    imported: ModuleType
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.imported.__name__

    @property
    def root(self) -> str:
        return _root(self.name)


@dataclass(frozen=True)
class Touch:
    """A private name that a module touches.

    Attributes:
        where: The module, and the class in it.
        name: The name.
        owners: The classes that define it and that the class extends; empty when the
            object is another one.
    """

    where: str
    name: str
    owners: tuple[type, ...] = ()


def title(row: PrivateName) -> str:
    return f"{row.owner.__name__}.{row.name}"


def exists(row: PrivateName) -> bool:
    """Whether the module, the class, or an instance of the class has the name."""
    if isinstance(row.owner, ModuleType) or hasattr(row.owner, row.name):
        return hasattr(row.owner, row.name)
    return any(row.name in private_names(base) for base in row.owner.__mro__)


@cache
def private_names(owner: type) -> frozenset[str]:
    """Return the private names that a class has itself, or that its methods assign to `self`."""
    names = set(vars(owner))
    for node in _sources(owner.__module__).get(owner.__name__, ()):
        names.update(_assigned(node))
    return _private(names)


@cache
def _sources(module: str) -> dict[str, list[ast.AST]]:
    """Return what is inside the classes of *module*, by class; nothing of one written in C."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):
        return {}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {node.name: list(ast.walk(node)) for node in classes}


def touched(modules: list[Module]) -> Iterator[Touch]:
    """Yield what the modules touch of others."""
    of_bases = {module.name: list(_of_bases(module)) for module in modules}
    ours = {
        module.name: _written(module.tree) - {touch.name for touch in of_bases[module.name]}
        for module in modules
    }
    for module in modules:
        yield from of_bases[module.name]
        bases = {base.__module__ for _, of_class in _classes(module) for base in of_class.__mro__}
        known = {touch.name for touch in of_bases[module.name]}
        known = known.union(*(ours.get(name, ()) for name in bases | {module.name}))
        others = imported(module) | (_mentioned(module.tree) - known)
        yield from (Touch(module.name, name) for name in sorted(others))


def imported(module: Module) -> frozenset[str]:
    """Return the private modules of others, and private names in others, that are imported."""
    found = set[str]()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            paths = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for path in paths:
            if _root(path) != module.root:
                found.update(path.split("."))
    return _private(found)


def _of_bases(module: Module) -> Iterator[Touch]:
    """Yield what each class reads, calls, overrides or assigns of the classes that it extends."""
    for node, of_class in _classes(module):
        bases = [base for base in of_class.__mro__ if _root(base.__module__) != module.root]
        for name in sorted(_mentioned(node) | _written(node)):
            owners = tuple(base for base in bases if name in private_names(base))
            if owners:
                yield Touch(f"{module.name}.{node.name}", name, owners)


def _classes(module: Module) -> Iterator[tuple[ast.ClassDef, type]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            of_class: Any = getattr(module.imported, node.name)
            yield node, of_class


def _written(tree: ast.AST) -> frozenset[str]:
    """Return the private names of the functions, classes, variables and attributes of `self`."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        found.update(_assigned(node))
    return _private(found)


def _mentioned(tree: ast.AST) -> frozenset[str]:
    """Return the private names behind a dot, and in strings: `getattr` and slots have such."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return _private(found)


def _assigned(node: ast.AST) -> Iterator[str]:
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    ):
        yield node.attr


def _private(found: set[str]) -> frozenset[str]:
    return frozenset(name for name in found if PRIVATE.match(name))


def _root(path: str) -> str:
    return path.partition(".")[0]
