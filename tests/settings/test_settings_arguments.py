"""The keyword arguments that type checkers know are the fields, with what each one takes."""

import typing
from collections.abc import Iterable, Mapping
from os import PathLike
from types import UnionType
from typing import Any, Union, get_args, get_origin, is_typeddict

import pytest
from pydantic import BaseModel, SecretStr

from redis_manager_fastapi.settings import Address, RedisSettings, arguments

GROUPS = [
    field.annotation
    for field in RedisSettings.model_fields.values()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
]


def arguments_of(model: type) -> Any:
    """Return the `TypedDict` with the arguments of a model."""
    name = model.__name__.removeprefix("Redis")
    return getattr(arguments, name.removesuffix("Settings") + "Arguments", None) or getattr(
        arguments, f"{name}Arguments"
    )


def members(annotation: Any) -> set[Any]:
    """Return the members of a union, without what `Annotated` adds."""
    if get_origin(annotation) is typing.Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return set().union(*map(members, get_args(annotation)))
    return {annotation}


def taken(annotation: Any, name: str) -> set[Any]:
    """Return what a field takes, by its type and the converters before it."""
    types = members(annotation)
    if types == {tuple[Address, ...]}:
        return {str, Iterable[str | tuple[str, int]]}
    if name == "address_map":
        pairs = Mapping[tuple[str, int], tuple[str, int]]
        return types | {str, Mapping[str, str], pairs}
    if SecretStr in types:
        types |= {str}
    if name.endswith("_file") or name == "unix_socket":
        types |= {PathLike[str]}
    return types | {arguments_of(each) for each in types if each in GROUPS}


@pytest.mark.parametrize("model", [RedisSettings, *GROUPS])
def test_arguments_are_the_fields(model: type[BaseModel]) -> None:
    hints = typing.get_type_hints(arguments_of(model))

    assert is_typeddict(arguments_of(model))
    assert not arguments_of(model).__required_keys__
    assert {name: members(hint) for name, hint in hints.items()} == {
        name: taken(field.annotation, name) for name, field in model.model_fields.items()
    }
