"""pydantic's findings as sentences that name the field, the variable and the fix."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from redis_manager_fastapi.settings.fields import Takes
from redis_manager_fastapi.settings.resolve import Resolution

_LONGEST = 80


def explained(error: ValidationError, model: type[BaseModel], found: Resolution) -> list[str]:
    """Return one sentence for each setting that *error* is about."""
    sentences = (
        _sentence(detail, model, found)
        for detail in error.errors(include_url=False, include_input=False)
    )
    return list(dict.fromkeys(sentences))


def _sentence(detail: ErrorDetails, model: type[BaseModel], found: Resolution) -> str:
    path, info = _field(detail["loc"], model)
    takes = _takes(info).format(prefix=found.prefix)
    return f"{found.named(path)} {_wrong(detail, path, info, found)}; set it to {takes}"


def _field(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, FieldInfo]:
    info = model.model_fields[str(loc[0])]
    if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
        return f"{loc[0]}.{loc[1]}", info.annotation.model_fields[str(loc[1])]
    return str(loc[0]), info


def _wrong(detail: ErrorDetails, path: str, info: FieldInfo, found: Resolution) -> str:
    if path not in found.layer:
        return "is missing"
    if SecretStr in (info.annotation, *get_args(info.annotation)):
        return "is neither a str nor a SecretStr"
    shown = _shown(path, found.layer[path].value)
    reason = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else ""
    if shown and reason:
        return f"is {shown}, which {reason}"
    return reason or (f"is {shown}" if shown else "has a value of the wrong form")


def _shown(path: str, value: Any) -> str | None:
    """Return *value* for a message, unless it may hold a password."""
    text = repr(value)
    if "@" in text or "://" in text:
        return None
    if path.endswith("username"):  # redis://password@host is a common slip
        return None
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _takes(info: FieldInfo) -> str:
    for item in info.metadata:
        if isinstance(item, Takes):
            return item.text
    if get_origin(info.annotation) is Literal:
        *first, last = (str(word) for word in get_args(info.annotation))
        return f"{', '.join(first)} or {last}"
    kinds = {bool: "true or false", int: "a whole number", float: "a number of seconds"}
    accepted = (info.annotation, *get_args(info.annotation))
    kind = next((text for kind, text in kinds.items() if kind in accepted), "a string")
    return " ".join([kind, *_bounds(info)])


def _bounds(info: FieldInfo) -> Iterator[str]:
    for name, word in (("ge", "from"), ("gt", "above"), ("le", "to")):
        for item in info.metadata:
            if (bound := getattr(item, name, None)) is not None:
                yield f"{'up ' if word == 'to' and _is_open(info) else ''}{word} {bound:.12g}"


def _is_open(info: FieldInfo) -> bool:
    return any(getattr(item, "gt", None) is not None for item in info.metadata)
