"""Measure how far the code is from being easy to find one's way in; `scripts/structure` runs this.

Each figure has a bound, and `tests/test_structure.py` asserts those that need no Cluster.
"""

import ast
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

PACKAGE = Path(__file__).parent.parent / "redis_manager_fastapi"

# Changes of file in one warm call, at most.
FLOWS = {
    "GET in a scope": 11,
    "BLPOP": 25,
    "WATCH .. EXEC": 55,
    "Cluster GET after MOVED": 35,
    "kill -9, restart, GET": 80,
}

# A coroutine's frame is entered again at each resumption, which is no step of its reader's.
_RESUMED = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR


def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of each module, by its dotted name."""
    return {dotted(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def dotted(path: Path) -> str:
    """Return the name under which a file is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports, wherever in it, also for types only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def circles() -> list[list[str]]:
    """Return the groups of modules that import each other, type-only imports counted."""
    trees = modules()
    graph = {
        name: {each for each in imported(tree) if each in trees} for name, tree in trees.items()
    }
    reach = {name: _reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in graph if other in reach[name] and name in reach[other]))
        for name in graph
    }
    return [list(group) for group in sorted(groups) if len(group) > 1]


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        new = graph[todo.pop()] - found
        found |= new
        todo += new
    return found


def deciders() -> list[str]:
    """Return the modules that decide whether a command goes out again: that name a `Step` to take.

    Drivers compare the step that they were given; only a decider returns one.
    """
    return [
        name
        for name, tree in modules().items()
        if any(
            isinstance(node, ast.Return) and node.value is not None and _names_step(node.value)
            for node in ast.walk(tree)
        )
    ]


def _names_step(value: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Step"
        for node in ast.walk(value)
    )


def request_makers() -> list[str]:
    """Return the functions that make a request of a single command: that pack one."""
    found = []
    for name, tree in modules().items():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [
                    f"{name}.{function.name}"
                    for node in ast.walk(function)
                    if isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id == "pack"
                    and isinstance(node.args[0], ast.Name)
                ]
    return found


def families() -> dict[str, list[str]]:
    """Return the classes that exist once for each topology, by what they have in common."""
    bases: dict[str, list[str]] = {}
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for base in node.bases:
                    name = base.value if isinstance(base, ast.Subscript) else base
                    bases.setdefault(ast.unparse(name), []).append(node.name)
    deployments = {*bases.get("Deployment", []), *bases.get("Single", [])}
    return {"Deployment": sorted(deployments)}


class Tracer:
    """Counts the changes of file while code of the package runs."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self._frames: list[FrameType] = []

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        """Note the file of a function that is entered."""
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(str(PACKAGE)) or "/testing/" in file:
            return
        if frame.f_code.co_flags & _RESUMED:
            if any(known is frame for known in self._frames):
                return
            self._frames.append(frame)
        self.files.append(file)

    @property
    def changes(self) -> int:
        """How often the file changed."""
        pairs = zip(self.files, self.files[1:], strict=False)
        return sum(before != after for before, after in pairs)


async def traced(call: Callable[[], Awaitable[Any]]) -> int:
    """Return how often the file changes while *call* runs; its result is dropped after that."""
    await asyncio.sleep(0.01)  # what the last call left for later turns is not this one's
    tracer = Tracer()
    sys.setprofile(tracer)
    try:
        result = await call()
    finally:
        sys.setprofile(None)
    del result
    return tracer.changes


async def single_flows() -> dict[str, int]:
    """Trace the flows of one server."""
    from redis_manager_fastapi import RedisManager
    from redis_manager_fastapi.testing import RedisServer

    async with (
        RedisServer() as server,
        RedisManager(url=server.url, health={"interval": 2}) as manager,
    ):

        async def get() -> object:
            async with manager.client() as r:
                call = r.get("key")
                await call
            return r, call  # later CPythons would drop them within the trace, others after it

        async def blpop() -> None:
            async with manager.client() as r:
                await r.blpop(["queue"], timeout=1)

        async def watch() -> None:
            async with manager.client() as r, r.pipeline() as pipe:
                await pipe.watch("key")
                await pipe.get("key")
                pipe.multi()
                pipe.set("key", 1)
                await pipe.execute()

        async def outage() -> object:
            await server.restart(crash=True)
            call = manager.redis.get("key")
            await call
            return call

        for flow in (get, watch):
            await flow()
        found = {"GET in a scope": await traced(get), "WATCH .. EXEC": await traced(watch)}
        await manager.redis.rpush("queue", 1, 2)
        await blpop()
        found["BLPOP"] = await traced(blpop)
        # A probe that comes before the server adds its own steps; the least has none.
        found["kill -9, restart, GET"] = min([await traced(outage) for _ in range(8)])
    return found


async def cluster_flow() -> dict[str, int]:
    """Trace a read whose slot has moved."""
    from redis_manager_fastapi import RedisManager
    from redis_manager_fastapi.testing.cluster import ClusterDeployment, move_slot, slots_by

    async def owners() -> set[int]:
        views = [await slots_by(node) for node in nodes]
        return {
            port
            for view in views
            for first, last, (_, port, *_), *_ in view
            if first <= slot <= last
        }

    async with ClusterDeployment(replicas=0) as deployment:
        nodes, counts = deployment.primaries, []
        async with RedisManager(url=deployment.url) as manager:
            r = manager.cluster
            await r.set("key", 1)
            slot = r.keyslot("key")
            owner = next(i for i in range(len(nodes)) if slot in deployment.slots_of(i))
            for step in range(owner, owner + 5):
                source, target = (nodes[each % len(nodes)] for each in (step, step + 1))
                await move_slot(slot, source, target)
                while await owners() != {target.port}:  # noqa: ASYNC110 (else they send in circles)
                    await asyncio.sleep(0.02)
                counts.append(await traced(lambda: r.get("key")))
    return {"Cluster GET after MOVED": round(median(counts))}


def main() -> int:
    """Print each measure beside its bound; return whether one is missed."""
    found = asyncio.run(single_flows()) | asyncio.run(cluster_flow())
    rows = [
        ("import circles", len(circles()), 0),
        ('places that decide "again?"', len(deciders()), 1),
        ("places that make a request of a command", len(request_makers()), 1),
        ("families of classes by topology", len(families()), 1),
        *((name, found[name], bound) for name, bound in FLOWS.items()),
    ]
    for name, value, bound in rows:
        missed = "  MISSED" if value > bound else ""
        sys.stdout.write(f"{name:42}{value:5}  at most {bound:3}{missed}\n")
    return int(any(value > bound for _, value, bound in rows))


if __name__ == "__main__":
    sys.exit(main())
