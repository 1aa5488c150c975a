"""Each reply is of the type that `client/typed.pyi` gives it."""

import asyncio
import inspect
import typing
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import redis_manager_fastapi.client.typed
from redis_manager_fastapi import RedisManager

from .conftest import Pair
from .families import FAMILIES
from .sameness import Call, outcome

STUB = Path(redis_manager_fastapi.client.typed.__file__).with_suffix(".pyi")

# Calls whose types are wrong on purpose, or that no type can say.
UNTYPED = {"wrong", "arguments"}

# What RESP3 answers in another shape, or as `bytes` where RESP2 has `str`.
OTHER_IN_RESP3 = {
    *("acl_cat", "acl_genpass", "acl_help", "acl_list", "acl_users", "acl_whoami"),
    *("bgrewriteaof", "bgsave", "client_trackinginfo", "command_getkeys", "geohash", "geopos"),
    *("blpop", "brpop", "bzpopmax", "bzpopmin", "hrandfield", "xread", "xreadgroup"),
    *("zdiff", "zinter", "zpopmax", "zpopmin", "zrandmember", "zrange", "zrangebyscore"),
    *("zrevrange", "zunion"),
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def stub() -> dict[str, Any]:
    """Return the names of the stub, run as if it were a module."""
    names: dict[str, Any] = {"__name__": "stub"}
    exec(compile(STUB.read_text(), STUB, "exec"), names)  # noqa: S102 (a file of our own)
    return names


def fits(annotation: Any, value: Any) -> bool:
    """Whether *value* is of a type, with no conversion."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def declarations(owner: type, name: str) -> list[Callable[..., Any]]:
    """Return every declaration of a method."""
    for each in owner.__mro__:
        if name in vars(each):

            def stand_in() -> None:
                """Has the name by which typing knows the declarations."""

            stand_in.__module__, stand_in.__qualname__ = "stub", f"{each.__name__}.{name}"
            return [*typing.get_overloads(stand_in)] or [vars(each)[name]]
    return []


def returned(owner: type, call: Call) -> Any:
    """Return the return type of the first declaration that takes the call's arguments."""
    for each in declarations(owner, call.method):
        signature = inspect.signature(each)
        try:
            bound = signature.bind(None, *call.args, **call.kwargs)
        except TypeError:
            continue
        bound.apply_defaults()
        deciding = {
            name: parameter.annotation
            for name, parameter in signature.parameters.items()
            if parameter.annotation in {None, int, type[float]}
            or "Literal[" in str(parameter.annotation)
        }
        if all(
            bound.arguments[name] is ... or fits(kind, bound.arguments[name])
            for name, kind in deciding.items()
        ):
            return signature.return_annotation
    return None


def reply_type(stub: dict[str, Any], call: Call, text: type) -> Any:
    """Return the type of a call's reply; None where redis-py's own annotation stands."""
    reply = returned(stub["RedisCommands"], call)
    if reply is stub["TextT"]:
        return text
    return reply[text] if getattr(reply, "__parameters__", ()) else reply


@pytest.mark.parametrize("url", ["redis://localhost", "redis+cluster://localhost"])
def test_commands_are_coroutines(stub: dict[str, Any], url: str) -> None:
    client = RedisManager(url).redis
    others = []

    for call in (call for family in FAMILIES.values() for call in family):
        declared = declarations(stub["RedisCommands"], call.method)
        if not any(map(inspect.iscoroutinefunction, declared)):
            continue
        with suppress(Exception):  # an argument that redis-py refuses at once
            command = getattr(client, call.method)(*call.args, **call.kwargs)
            others += [] if asyncio.iscoroutine(command) else [str(call)]
            command.close()

    assert not others


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in UNTYPED])
async def test_replies_are_of_their_type(pair: Pair, stub: dict[str, Any], family: str) -> None:
    text = str if pair.variant.decode else bytes
    wrong = []

    for call in FAMILIES[family]:
        value = await outcome(pair.ours, call)
        if pair.variant.protocol == 3 and call.method in OTHER_IN_RESP3:
            continue
        kind = reply_type(stub, call, text)
        if kind is not None and not isinstance(value, Exception) and not fits(kind, value):
            wrong.append(f"{call!s:.100}: {value!r:.200} is no {kind}")

    assert not wrong, "\n".join(wrong)
