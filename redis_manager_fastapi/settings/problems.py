"""What is wrong with settings, as sentences that name the field, the variable and the fix.

`explained` puts pydantic's findings into words.  `contradictions` asks only whether
something was given, so it can report next to values that are wrong by themselves;
`limits` compares valid values.
"""

import os
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from redis_manager_fastapi.settings.fields import Takes
from redis_manager_fastapi.settings.groups import (
    ClusterSettings,
    HealthSettings,
    PipeliningSettings,
    SentinelSettings,
    TLSSettings,
)
from redis_manager_fastapi.settings.layers import PLACES, SettingError, canonical
from redis_manager_fastapi.settings.sources import Resolution

_TLS_FILES = ("tls.ca_file", "tls.cert_file", "tls.key_file")
_TOGETHER = (
    ("tls.cert_file", "tls.key_file"),
    ("tls.key_file", "tls.cert_file"),
    ("sentinel.nodes", "sentinel.service"),
    ("sentinel.service", "sentinel.nodes"),
    ("sentinel.username", "sentinel.password"),
    ("sentinel.password", "sentinel.nodes"),
    ("sentinel.tls", "sentinel.nodes"),
)
"""Pairs of which the first needs the second."""


class Valid(Protocol):
    """What is compared of settings whose values are valid one by one."""

    @property
    def db(self) -> int:
        """The database."""
        ...

    @property
    def unix_socket(self) -> str | None:
        """The socket's path."""
        ...

    @property
    def tls(self) -> TLSSettings:
        """Encryption."""
        ...

    @property
    def pipelining(self) -> PipeliningSettings:
        """The shared connections."""
        ...

    @property
    def health(self) -> HealthSettings:
        """Heartbeats and probes."""
        ...

    @property
    def sentinel(self) -> SentinelSettings:
        """The Sentinels."""
        ...

    @property
    def cluster(self) -> ClusterSettings:
        """The Cluster."""
        ...

    @property
    def topology(self) -> str:
        """Standalone, sentinel or cluster."""
        ...


def contradictions(found: Resolution) -> Iterator[str]:
    """Find what was given and excludes, or needs, something else."""
    yield from _places(found)
    yield from _credentials(found)
    for path, needed in _TOGETHER:
        if found.has(path) and not found.has(needed):
            yield (
                f"{found.named(path)} is set without {needed}; "
                f"set {found.variable(needed)} too, or remove it"
            )
    for path in _TLS_FILES:
        if found.has(path) and (reason := _unreadable(found.layer[path].value)):
            yield f"{found.named(path)} {reason}; set it to a file that this process can read"


def _places(found: Resolution) -> Iterator[str]:
    given = [place for place in PLACES if found.has(place)]
    for one, other in combinations(given, 2):
        switched_on = found.variable(other) == f"{found.prefix}CLUSTER"
        if not (one == "host" and switched_on):
            yield (
                f"{found.named(one)} and {found.named(other)} both say where Redis is; "
                "remove one of them"
            )


def _credentials(found: Resolution) -> Iterator[str]:
    if found.has("password") and found.has("password_file"):
        yield (
            f"{found.named('password_file')} and {found.named('password')} are both set; "
            "remove one of them"
        )
    if found.has("username") and not (found.has("password") or found.has("password_file")):
        yield (
            f"{found.named('username')} is set without a password; set "
            f"{found.variable('password')} or {found.variable('password_file')} too, "
            "or, in a URL, write a password without a user as :password@"
        )


def limits(settings: Valid, found: Resolution) -> Iterator[str]:
    """Find valid values that cannot hold together."""
    yield from _tls(settings, found)
    yield from _reads(settings, found)
    if settings.topology == "cluster" and settings.db:
        yield (
            f"{found.named('db')} is {settings.db}, but a cluster has only database 0; "
            "set it to 0 or remove it"
        )
    health = settings.health
    if health.backoff_base > health.backoff_cap:
        yield (
            f"{found.named('health.backoff_base')} is {health.backoff_base}, more than "
            f"{found.named('health.backoff_cap')}, which is {health.backoff_cap}; "
            "set it to that or less"
        )


def _tls(settings: Valid, found: Resolution) -> Iterator[str]:
    enabled = found.variable("tls.enabled")
    if settings.tls.enabled and settings.unix_socket:
        yield (
            f"{found.named('tls.enabled')} is on, but {found.named('unix_socket')} "
            f"cannot use TLS; set {enabled}=false or connect to a host"
        )
    used = settings.tls.enabled or settings.sentinel.tls
    for path in () if used else _TLS_FILES:
        if found.has(path):
            yield f"{found.named(path)} is set, but TLS is off; set {enabled}=true or remove it"


def _reads(settings: Valid, found: Resolution) -> Iterator[str]:
    for group, kind in (("sentinel", "watched by Sentinels"), ("cluster", "a Cluster")):
        path, reads = f"{group}.reads", getattr(settings, group).reads
        if reads == "primary" or settings.topology == group:
            continue
        if settings.topology == "standalone":
            fix = f"set {found.variable(f'{group}.nodes')} too, or remove it"
        else:
            fix = f"set {canonical(found.prefix, f'{settings.topology}.reads')} instead"
        yield f"{found.named(path)} is {reads}, but the deployment is not {kind}; {fix}"
    if settings.sentinel.reads != "primary" and not settings.pipelining.enabled:
        yield (
            f"{found.named('sentinel.reads')} is {settings.sentinel.reads}, but "
            f"{found.named('pipelining.enabled')} is off, and replicas are read over shared "
            f"connections; set {found.variable('pipelining.enabled')}=true or remove one of them"
        )


def _unreadable(path: object) -> str | None:
    """Return what keeps this process from reading *path*, if anything does."""
    if not isinstance(path, (str, os.PathLike)):
        return None
    shown = _shown_path(str(path))
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises for a pasted certificate
        return f"is {shown}, which does not exist"
    if not Path(path).is_file():
        return f"is {shown}, which is not a file"
    if not os.access(path, os.R_OK):
        return f"is {shown}, which this process is not allowed to read"
    return None


def _shown_path(path: str) -> str:
    """Return *path* for a message, unless it looks like the secret itself."""
    if path.startswith(("/", "./", "../")) and path.isprintable() and len(path) < 256:
        return repr(path)
    return "a path (not shown, as it may be the secret itself)"


def read_secret(path: str) -> str:
    """Return the content of a secret's file, without one final newline.

    Raises:
        SettingError: It cannot be read, or holds no password.
    """
    if reason := _unreadable(path):
        raise SettingError(f"{reason}; set it to a file that this process can read")
    shown = _shown_path(path)
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        reason = f"is {shown}, which cannot be read ({error.strerror})"
        raise SettingError(f"{reason}; set it to a file that this process can read") from None
    text = raw.decode(errors="replace").removesuffix("\n").removesuffix("\r")
    if "\ufffd" in text:
        raise SettingError(f"is {shown}, which is not UTF-8; write the password as UTF-8")
    if not text:
        raise SettingError(f"is {shown}, which is empty; write the password into it")
    return text


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
    context = detail.get("ctx", {})
    reason = str(context["error"]) if detail["type"] == "value_error" else ""
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


def qualified_name(given: object) -> str:
    """Return the name of a callable that a setting is, or of its class."""
    named: Any = given if hasattr(given, "__qualname__") else type(given)
    return f"{named.__module__}.{named.__qualname__}"
