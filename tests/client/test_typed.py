"""The types of commands: derived from the installed redis-py, and nothing at run time."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_type_hints

import pytest
import redis
import redis.asyncio
import redis.asyncio.client
import redis.asyncio.cluster
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from redis_manager_fastapi import Redis, RedisCluster, RedisManager, get_redis
from redis_manager_fastapi.client import typed
from redis_manager_fastapi.client.callbacks import OwnCallbacks
from redis_manager_fastapi.client.cluster.picking import PickingNodes
from redis_manager_fastapi.client.cluster.pipeline import ClusterPipeline
from redis_manager_fastapi.client.parameters import NoParameter
from redis_manager_fastapi.client.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
STUB = (ROOT / "redis_manager_fastapi/client/typed.pyi").read_text()


@pytest.fixture(scope="module")
def derive() -> ModuleType:
    """Return the script that writes the types."""
    spec = importlib.util.spec_from_file_location("derive_types", ROOT / "scripts/derive_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def meaning(source: str) -> list[str]:
    """Return what a module says, however its lines and its imports are laid out."""
    return [
        ast.dump(node)
        for node in ast.parse(source).body
        if not isinstance(node, ast.Import | ast.ImportFrom)
    ]


def methods(name: str) -> set[str]:
    """Return the methods of one of the stub's classes, with those of its bases in the stub."""
    classes = {node.name: node for node in ast.parse(STUB).body if isinstance(node, ast.ClassDef)}
    node = classes[name]
    bases = {ast.unparse(base).partition("[")[0] for base in node.bases} & classes.keys()
    own = {
        each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return own.union(*map(methods, bases))


def test_file_is_what_the_script_derives(derive: ModuleType) -> None:
    origin = STUB.split("# Derived from redis-py ")[1].split(".\n")[0]
    if origin != redis.__version__:
        pytest.skip(f"the types are derived from redis-py {origin}, this is {redis.__version__}")

    assert meaning(derive.source()) == meaning(STUB)


@pytest.mark.parametrize(
    ("name", "client"),
    [("RedisCommands", redis.asyncio.Redis), ("ClusterCommands", redis.asyncio.RedisCluster)],
)
def test_every_command_is_typed_or_left_out_with_a_reason(
    derive: ModuleType, name: str, client: type
) -> None:
    untyped = derive.commands(client).keys() - methods(name)

    assert untyped - derive.LEFT.keys() == set(), "new in redis-py: run scripts/types"
    assert methods(name) - derive.CLIENT.keys() <= derive.commands(client).keys()


def test_nothing_is_left_out_that_both_clients_have_typed(derive: ModuleType) -> None:
    assert not derive.LEFT.keys() & methods("Commands")
    assert (
        not derive.LEFT.keys()
        - methods("RedisCommands")
        - set(derive.commands(redis.asyncio.RedisCluster))
        - set(derive.commands(redis.asyncio.Redis))
    )


def test_adjustments_by_hand_name_commands(derive: ModuleType) -> None:
    known = derive.commands(redis.asyncio.Redis).keys()

    for table in (derive.REPLIES, derive.BY_ARGUMENT, derive.ITERATORS, derive.ARGUMENTS):
        assert table.keys() <= known


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Redis, (OwnCallbacks, NoParameter, redis.asyncio.Redis)),
        (RedisCluster, (OwnCallbacks, NoParameter, PickingNodes)),
        (PickingNodes, (redis.asyncio.RedisCluster,)),
        (Pipeline, (redis.asyncio.client.Pipeline,)),
        (ClusterPipeline, (redis.asyncio.cluster.ClusterPipeline,)),
    ],
)
def test_types_add_no_base_at_run_time(ours: type, theirs: tuple[type, ...]) -> None:
    assert ours.__bases__ == theirs
    assert not any(base.__module__ == typed.__name__ for base in ours.__mro__)


def test_client_may_be_subscripted_and_subclassed() -> None:
    class Mine(Redis):
        """A client for `str`."""

    class Bytes(Redis[bytes]):
        """A client for `bytes`."""

    def route(r: Annotated[Redis[bytes], Depends(get_redis)], c: RedisCluster[bytes]) -> None: ...

    hints: dict[str, Any] = get_type_hints(route)
    assert hints["r"].__origin__ is Redis
    assert hints["c"].__origin__ is RedisCluster
    assert issubclass(Mine, Redis)
    assert issubclass(Bytes, Redis)
    assert Redis in Bytes.__mro__


def test_route_may_ask_for_a_client_for_bytes(redis_url: str) -> None:
    manager = RedisManager(url=redis_url, decode_responses=False)
    app = FastAPI(lifespan=manager.lifespan)

    @app.get("/")
    async def route(r: Annotated[Redis[bytes], Depends(get_redis)]) -> bool:
        return await r.echo("text") == b"text"

    with TestClient(app) as client:
        assert client.get("/").json() is True
