"""One layer out of all sources, by their order of strength."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import BaseModel, SecretStr

from redis_manager_fastapi.settings.address import REDIS_PORT, parse_nodes
from redis_manager_fastapi.settings.aliases import (
    ENVIRONMENT_ALIASES,
    FLAGS,
    QUERY_PARAMETERS,
    sdk_sentinel,
)
from redis_manager_fastapi.settings.environment import (
    Variables,
    environment_layer,
    flag_layer,
    service_links,
    verify_layer,
)
from redis_manager_fastapi.settings.layers import (
    PLACES,
    Given,
    Layer,
    Origin,
    SettingError,
    Source,
    canonical,
    flattened,
    is_empty,
    nearest,
    over,
)
from redis_manager_fastapi.settings.url import parse_url

# Keyword arguments of redis-py and of the official SDK, each a setting in a group of ours.
_SAME = {
    **{name.lower(): path for name, path in ENVIRONMENT_ALIASES.items()},
    **{name: path for name, path in QUERY_PARAMETERS.items() if "." in path and name != "timeout"},
    "ssl_cert_reqs": "tls.verify",
    "ssl_check_hostname": "tls.verify",
}


def group_names(model: type[BaseModel]) -> frozenset[str]:
    """Return the fields of *model* that are groups."""
    return frozenset(name for name in model.model_fields if _group(model, name))


def setting_paths(model: type[BaseModel]) -> frozenset[str]:
    """Return the path of every single setting: `host`, `pool.max_connections`."""
    paths: set[str] = set()
    for name in model.model_fields:
        group = _group(model, name)
        paths |= {f"{name}.{inner}" for inner in group.model_fields} if group else {name}
    return frozenset(paths)


def _group(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    kind = model.model_fields[name].annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


@dataclass(slots=True)
class Resolution:
    """Where the sources meet.

    Attributes:
        prefix: What the variables' names start with.
        layer: What holds so far, by path.
        problems: One sentence for each mistake so far.
        complete: Whether every source could be read.
        overruled: The variables that say something else than the URL, which goes first.
    """

    prefix: str
    layer: Layer = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    complete: bool = True
    overruled: list[str] = field(default_factory=list)

    def has(self, path: str) -> bool:
        """Whether anything was given for *path*."""
        return path in self.layer and not is_empty(self.layer[path].value)

    def variable(self, path: str) -> str:
        """Return the variable that gave *path*, or that could."""
        given = self.layer.get(path)
        return given.variable if given else canonical(self.prefix, path)

    def named(self, path: str) -> str:
        """Return *path* with its variable, the beginning of every message."""
        return f"{path} ({self.variable(path)})"

    def origin(self, path: str) -> Origin:
        """Return where *path* has its value from."""
        given = self.layer.get(path)
        if given is None:
            return Origin(Source.DEFAULT, canonical(self.prefix, path))
        source = given.source
        if source is Source.VARIABLE and given.variable != canonical(self.prefix, path):
            source = Source.ALIAS
        return Origin(source, given.variable)

    def attempt(self, step: Callable[[], Layer]) -> Layer:
        """Return what *step* gives; its mistake becomes a problem."""
        try:
            return step()
        except SettingError as mistake:
            self.problems.append(str(mistake))
            self.complete = False
            return {}


def resolve(
    model: type[BaseModel], values: Mapping[str, Any], variables: Variables, prefix: str
) -> Resolution:
    """Lay the constructor's *values* over the environment's *variables*.

    In the environment a URL is stronger than the fields beside it, which fill
    what it leaves open; in the constructor a field is stronger than the URL.
    """
    found = Resolution(prefix)
    inner = _constructor(found, model, values)
    outer = _environment(found, variables, setting_paths(model))
    if "url" in inner:
        inner = {**found.attempt(lambda: _url_layer(inner["url"])), **inner}
    elif "url" in outer:
        of_url = found.attempt(lambda: _url_layer(outer["url"]))
        found.overruled = _overruled(of_url, outer)
        outer = {**outer, **of_url}
    found.layer = over(inner, outer)
    if not any(found.has(place) for place in PLACES):
        found.layer = found.attempt(lambda: service_links(variables, prefix)) | found.layer
    _apply_flags(found)
    return found


def _constructor(found: Resolution, model: type[BaseModel], values: Mapping[str, Any]) -> Layer:
    paths, groups = setting_paths(model), group_names(model)
    flat = flattened(values, groups)
    for path in sorted(flat.keys() - paths):
        found.problems.append(_unknown(found.named(path), path, paths, groups))
    return {
        path: Given(value, canonical(found.prefix, path), Source.ARGUMENT)
        for path, value in flat.items()
        if path in paths
    }


def _unknown(named: str, path: str, paths: frozenset[str], groups: frozenset[str]) -> str:
    if path in groups:
        return f"{named} is not a mapping; set it to one such as {path}={{...}}"
    if same := _SAME.get(path.lower()):
        group, _, name = same.rpartition(".")
        return f'{named} is not a setting; write {same}, as in {group}={{"{name}": ...}}'
    meant = nearest(path, paths)
    hint = f"write {meant}, the nearest known name" if meant else "remove it"
    return f"{named} is not a setting; {hint}"


def _environment(found: Resolution, variables: Variables, paths: frozenset[str]) -> Layer:
    layer = {
        **found.attempt(lambda: verify_layer(variables, found.prefix)),
        **environment_layer(variables, found.prefix, paths),
    }
    for name in FLAGS:
        layer |= found.attempt(partial(flag_layer, name, variables, found.prefix))
    return sdk_sentinel(layer, found.prefix)


def _url_layer(url: Given) -> Layer:
    """Return what a URL gives, each value under the URL's own variable."""
    text = url.value.get_secret_value() if isinstance(url.value, SecretStr) else url.value
    if isinstance(text, bytes):
        raise SettingError(f"url ({url.variable}) is bytes; give it as a str")
    if not isinstance(text, str):
        return {}
    try:
        fields = parse_url(text)
    except SettingError as mistake:
        raise SettingError(f"url ({url.variable}) {mistake}") from None
    return {path: Given(value, url.variable, Source.URL) for path, value in fields.items()}


def _overruled(stronger: Layer, weaker: Layer) -> list[str]:
    """Return the variables of *weaker* that say something else than *stronger*."""
    both = stronger.keys() & weaker.keys()
    return sorted(
        weaker[path].variable
        for path in both
        if _plain(stronger[path].value) != _plain(weaker[path].value)
    )


def _plain(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _apply_flags(found: Resolution) -> None:
    """Turn the SDK's switches into nodes, and refuse one that contradicts the rest."""
    for group in FLAGS.values():
        flag = found.layer.pop(group, None)
        if flag is None:
            continue
        if group == "cluster" and flag.value and not _has_rival(found):
            _add_host_as_node(found, flag)
        elif found.has(f"{group}.nodes") != flag.value:
            found.problems.append(_contradicted(found, group, flag))


def _has_rival(found: Resolution) -> bool:
    return any(found.has(place) for place in PLACES if place != "host")


def _add_host_as_node(found: Resolution, flag: Given) -> None:
    host = found.layer.get("host", Given("localhost", flag.variable))
    port = found.layer.get("port", Given(REDIS_PORT, flag.variable))
    try:
        nodes = parse_nodes([(host.value, port.value)], REDIS_PORT)
    except ValueError:  # host and port are reported under their own names
        return
    found.layer["cluster.nodes"] = Given(nodes, flag.variable)


def _contradicted(found: Resolution, group: str, flag: Given) -> str:
    nodes = f"{group}.nodes"
    if flag.value:
        fix = f"set {canonical(found.prefix, nodes)}, or set {flag.variable}=false"
        return f"{nodes} ({flag.variable}) is on, but no nodes are given; {fix}"
    fix = f"remove one of {flag.variable} and {found.variable(nodes)}"
    return f"{nodes} ({flag.variable}) is off, but nodes are given; {fix}"
