"""`config`: every setting with its value and where that came from, and no secret."""

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import SecretStr
from rich.text import Text

from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.output import say
from redis_manager_fastapi.settings import Address, RedisSettings
from redis_manager_fastapi.settings.sources import setting_paths

MASK = "**********"
_WIDEST = 24
"""How many characters a column of values is wide; a longer value moves its source."""


@dataclass(frozen=True, slots=True)
class Row:
    """One setting.

    Attributes:
        setting: Its path, such as `timeout.connect`.
        variable: Its own environment variable.
        value: Its value as a variable would give it, masked if it is secret; None for none.
        source: What gave it.
        secret: Whether the value is masked.
    """

    setting: str
    variable: str
    value: str | None
    source: str
    secret: bool


def rows(chosen: Chosen) -> list[Row]:
    """Return every setting, in the order of the documentation."""
    settings = chosen.settings
    return [_row(chosen, path, _value(settings, path)) for path in _ordered()]


def _ordered() -> list[str]:
    known = setting_paths(RedisSettings)
    fields = list(RedisSettings.model_fields)

    def place(path: str) -> tuple[int, int]:
        group, _, name = path.rpartition(".")
        if not group:
            return fields.index(path), 0
        inner = list(type(getattr(RedisSettings.model_construct(), group)).model_fields)
        return fields.index(group), inner.index(name)

    return sorted(known, key=place)


def _value(settings: RedisSettings, path: str) -> Any:
    value: Any = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _row(chosen: Chosen, path: str, value: Any) -> Row:
    secret = isinstance(value, SecretStr)
    text = MASK if secret else _text(value)
    return Row(path, chosen.settings.variable(path), text, chosen.source(path), secret)


def _text(value: Any) -> str | None:
    if value is None or value == ():
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and not isinstance(value, Address):
        return ",".join(map(str, value))
    return str(value)


def show(chosen: Chosen) -> None:
    """Write the settings as a table; what is not the default stands out."""
    lines = [(row.setting, row.value or "-", row.source) for row in rows(chosen)]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    widths[1] = min(widths[1], _WIDEST)
    for line in [("setting", "value", "source"), *lines]:
        setting, value, source = line
        style = {"source": "bold", "default": "dim"}.get(source, "")
        say(Text(f"{setting:<{widths[0]}}  {value:<{widths[1]}}  {source}", style))


def as_env(chosen: Chosen) -> Iterator[str]:
    """Yield the lines of an environment file; a default, and a secret, is a comment.

    A default of one way to say where Redis is would contradict another way.
    """
    for row in rows(chosen):
        if row.setting == "url":  # its parts follow
            continue
        yield f"# {row.setting}: {row.source}"
        comment = "# " if row.source == "default" or row.value is None or row.secret else ""
        value = "" if row.value is None else row.value if row.secret else shlex.quote(row.value)
        yield f"{comment}{row.variable}={value}"


def as_json(chosen: Chosen) -> dict[str, Any]:
    """Return the settings for a program."""
    return {
        "name": chosen.name,
        "place": chosen.place,
        "settings": {row.setting: _facts(row) for row in rows(chosen)},
        "notes": list(chosen.notes),
    }


def _facts(row: Row) -> dict[str, Any]:
    facts = asdict(row)
    del facts["setting"]
    return facts
