"""Layers of settings: flat mappings from a field's path to what was given.

The environment, the URL and the constructor each make a layer;
`RedisSettings` lays one over the other before anything is validated.
"""

import difflib
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

SENTINEL_PATHS = (
    "sentinel",
    "sentinel.nodes",
    "sentinel.service",
    "sentinel.username",
    "sentinel.password",
    "sentinel.tls",
    "sentinel.reads",
)
CLUSTER_PATHS = ("cluster", "cluster.nodes", "cluster.reads")
RIVALS: dict[str, tuple[str, ...]] = {
    "host": ("unix_socket", "cluster.nodes", *SENTINEL_PATHS),
    "unix_socket": ("host", "port", *SENTINEL_PATHS, *CLUSTER_PATHS),
    "sentinel.nodes": ("sentinel", "host", "port", "unix_socket", *CLUSTER_PATHS),
    "cluster.nodes": ("cluster", "host", "port", "unix_socket", *SENTINEL_PATHS),
    "password": ("password_file",),
    "password_file": ("password",),
}
"""What a weaker layer loses when a stronger one gives the key."""

PLACES = ("host", "unix_socket", "sentinel.nodes", "cluster.nodes")
"""The four ways to say where Redis is."""


class SettingError(ValueError):
    """A mistake in one setting; the text completes a sentence that its name starts."""


class Source(enum.Enum):
    """What kind of thing gave a value."""

    ARGUMENT = "argument"
    VARIABLE = "variable"
    ALIAS = "alias"
    URL = "url"
    SERVICE_LINK = "service link"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of a setting comes from.

    Attributes:
        source: What kind of thing gave it.
        variable: The environment variable that gave it, or that could have.
    """

    source: Source
    variable: str


@dataclass(frozen=True, slots=True)
class Given:
    """One value as it was given.

    Attributes:
        value: The raw value.
        variable: The environment variable that gave it, or that could have.
        source: What kind of thing gave it.
    """

    value: Any
    variable: str
    source: Source = Source.VARIABLE


Layer = dict[str, Given]


def is_empty(value: Any) -> bool:
    """Whether *value* gives nothing."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return value is None or value == "" or value == () or value == []


def canonical(prefix: str, path: str) -> str:
    """Return the environment variable of the field at *path*."""
    return prefix + path.replace(".", "__").upper()


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that *name* most likely means; one that it begins goes first.

    *cutoff* is the least likeness, of 1.0, as `difflib` measures it.
    """
    candidates = sorted(known, key=lambda candidate: (len(candidate), candidate))
    begun = [candidate for candidate in candidates if len(name) > 2 and candidate.startswith(name)]
    close = begun or difflib.get_close_matches(name, candidates, 1, cutoff)
    return close[0] if close else None


def over(stronger: Layer, weaker: Layer) -> Layer:
    """Lay *stronger* over *weaker*; another place or password in *weaker* goes.

    How a Cluster is read goes with the nodes that *weaker* names.
    """
    lost = {
        rival
        for path, rivals in RIVALS.items()
        if path in stronger and not is_empty(stronger[path].value)
        for rival in rivals
    }
    if "cluster.nodes" in lost and "cluster.nodes" in weaker:
        lost.add("cluster.reads")
    kept = {path: given for path, given in weaker.items() if path not in lost}
    return {**kept, **stronger}


def nested(layer: Layer) -> dict[str, Any]:
    """Return the layer's values as pydantic takes them."""
    values: dict[str, Any] = {}
    for path, given in layer.items():
        group, _, name = path.rpartition(".")
        (values.setdefault(group, {}) if group else values)[name] = given.value
    return values


def flattened(values: Mapping[str, Any], groups: frozenset[str]) -> dict[str, Any]:
    """Return keyword arguments by path; an empty text counts as not given.

    A group that is no mapping stays whole, under its own name.
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name in groups and isinstance(value, BaseModel):
            value = {key: getattr(value, key) for key in value.model_fields_set}
        if name in groups and isinstance(value, Mapping):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return {path: value for path, value in flat.items() if not _is_empty_text(value)}


def _is_empty_text(value: Any) -> bool:
    return isinstance(value, (str, SecretStr)) and is_empty(value)
