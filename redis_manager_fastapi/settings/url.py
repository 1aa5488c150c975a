"""A Redis URL as settings, and every mistake in it as a fix.

The parser is by hand because `urllib.parse` accepts what a forgotten
percent-code makes of a password, and connects elsewhere.  No message repeats
any part of the URL but the name of a scheme or of a query parameter: a
misplaced part may be the password.
"""

import re
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import quote, unquote_to_bytes

from redis_manager_fastapi.settings.address import (
    REDIS_PORT,
    SENTINEL_PORT,
    parse_address,
    parse_nodes,
)
from redis_manager_fastapi.settings.aliases import (
    QUERY_PARAMETERS,
    parse_flag,
    parse_verify,
)
from redis_manager_fastapi.settings.layers import SettingError, nearest

Kind = Literal["server", "unix", "sentinel", "cluster"]

SCHEMES: dict[str, tuple[Kind, bool]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("unix", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
"""What each scheme reaches, and whether through TLS."""

_VERIFY = ("ssl_cert_reqs", "ssl_check_hostname")
_READS = "read_from_replicas"
_PARAMETERS = (*QUERY_PARAMETERS, *_VERIFY, _READS)
_ELSEWHERE = {
    "sentinel_username": "use the setting sentinel.username instead",
    "sentinel_password": "use the setting sentinel.password instead",
    "service_name": "write the name at the end of the path, as in /0/mymaster",
}
"""Parameters of other clients that are written elsewhere here."""

# From this likeness on, of 1.0, an unknown name is taken for a slip in a known one.
_ALIKE = 0.75
_RAW = re.compile(r"#|%(?![0-9A-Fa-f]{2})|[\s\x00-\x1f\x7f]")


def parse_url(url: str) -> dict[str, Any]:
    """Return the fields that *url* sets, by path.

    Raises:
        SettingError: It is not a Redis URL; says what to write instead.
    """
    kind, encrypted, rest = _scheme(url)
    _refuse_raw(rest)
    main, _, query = rest.partition("?")
    authority, slash, path = main.partition("/")
    _refuse_stray_at(authority, path, query)
    userinfo, _, where = authority.rpartition("@")
    fields = [*_credentials(userinfo), *_place(kind, where, slash + path)]
    fields += _query(kind, query)
    if encrypted:
        fields.append(("tls.enabled", True))
    return _once(fields)


def _scheme(url: str) -> tuple[Kind, bool, str]:
    if url[:1] in {'"', "'"}:
        raise SettingError("starts with a quotation mark; remove the quotes around the URL")
    scheme, separator, rest = url.partition("://")
    known = SCHEMES.get(scheme.lower())
    if separator and known:
        return (*known, rest)
    hint = _meant(scheme.lower()) if separator else "redis"
    raise SettingError(
        f"does not start with a known scheme; start it with {hint}:// (known are "
        + ", ".join(f"{name}://" for name in SCHEMES)
        + ")"
    )


def _meant(scheme: str) -> str:
    if "unix" in scheme or "socket" in scheme:
        return "unix"
    return nearest(scheme, SCHEMES, cutoff=_ALIKE) or "redis"


def _unescaped(character: str) -> SettingError:
    name = "space" if character == " " else repr(character)
    return SettingError(
        f"has an unescaped {name}: write it as {quote(character, safe='')} where it belongs "
        "to a user name, a password or a value"
    )


def _refuse_raw(rest: str) -> None:
    if found := _RAW.search(rest):
        raise _unescaped(found.group())


def _refuse_stray_at(authority: str, path: str, query: str) -> None:
    """Tell which character of a password cut the URL short."""
    ahead = authority.count("@")
    if ahead == 0 and authority and "@" in path:
        raise _unescaped("/")
    if ahead == 0 and "@" in query and "=" not in query.partition("@")[0]:
        raise _unescaped("?")
    if ahead > 1 or "@" in path or "@" in query:
        raise _unescaped("@")


def _credentials(userinfo: str) -> list[tuple[str, Any]]:
    user, _, password = userinfo.partition(":")
    if ":" in password:
        raise _unescaped(":")
    given = (("username", _decoded(user)), ("password", _decoded(password)))
    return [(path, value) for path, value in given if value]


def _decoded(text: str) -> str:
    raw = unquote_to_bytes(text)
    if "\ufffd" in raw.decode(errors="replace"):
        raise SettingError("has percent-codes that are not UTF-8; encode each byte as UTF-8")
    return raw.decode()


def _place(kind: Kind, where: str, path: str) -> list[tuple[str, Any]]:
    where = where.replace("%25", "%")  # RFC 6874: the zone of an IPv6 address
    if kind == "unix":
        return _socket(where, path)
    if kind == "server":
        return [*_server(where), *_database(path)]
    if not where:
        raise SettingError("names no host; write the hosts after the //, such as h1,h2")
    if kind == "cluster":
        return [("cluster.nodes", _nodes(where, REDIS_PORT)), *_database(path)]
    return [("sentinel.nodes", _nodes(where, SENTINEL_PORT)), *_sentinel_path(path)]


def _socket(where: str, path: str) -> list[tuple[str, Any]]:
    if where or len(path) < 2:
        raise SettingError("has no absolute path; write three slashes, as in unix:///run/x.sock")
    return [("unix_socket", _decoded(path))]


def _server(where: str) -> list[tuple[str, Any]]:
    if "," in where:
        raise SettingError(
            "names several hosts; start it with redis+sentinel:// or redis+cluster://, or name one"
        )
    try:
        address = parse_address(f"placeholder{where}" if where[:1] == ":" else where, REDIS_PORT)
    except ValueError as mistake:
        if not where:
            return []
        raise _bad_address(mistake) from None
    host = [] if where.startswith(":") else [("host", address.host)]
    port = [("port", address.port)] if _has_port(where) else []
    return [*host, *port]


def _has_port(where: str) -> bool:
    return where.rpartition("]")[2].partition(":")[2] != ""


def _nodes(where: str, default_port: int) -> tuple[Any, ...]:
    try:
        return parse_nodes(where, default_port)
    except ValueError as mistake:
        raise _bad_address(mistake) from None


def _bad_address(mistake: ValueError) -> SettingError:
    return SettingError(
        f"{mistake}; correct it, or percent-encode the password if this is a part of it "
        "('/' as %2F, '?' as %3F, '@' as %40)"
    )


def _database(path: str) -> list[tuple[str, Any]]:
    number = path.strip("/")
    if not number:
        return []
    if not (number.isascii() and number.isdigit()):
        raise SettingError("has a path that is not a database number; end it with /0, for example")
    return [("db", int(number[:9]))]


def _sentinel_path(path: str) -> list[tuple[str, Any]]:
    segments = [_decoded(segment) for segment in path.split("/") if segment]
    if len(segments) == 1 and not segments[0].isdigit():
        return [("sentinel.service", segments[0])]
    if len(segments) > 2:
        raise SettingError(
            "has too many path segments; end it with /0/mymaster, a database and a service"
        )
    return [*_database(segments[0] if segments else ""), *_service(segments[1:])]


def _service(segments: list[str]) -> list[tuple[str, Any]]:
    return [("sentinel.service", segment) for segment in segments]


def _query(kind: Kind, query: str) -> list[tuple[str, Any]]:
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    _refuse_unknown([name for name, _ in pairs])
    fields: list[tuple[str, Any]] = []
    verify: dict[str, str] = {}
    for name, raw in pairs:
        if name in _VERIFY:
            verify[name] = _decoded(raw)
        elif value := _decoded(raw):
            fields.append(_parameter(kind, name, value))
    if verify:
        cert_reqs, check_hostname = (verify.get(name, "") for name in _VERIFY)
        checked = _about(" or ".join(verify), lambda: parse_verify(cert_reqs, check_hostname))
        fields.append(("tls.verify", checked))
    return fields


def _refuse_unknown(names: list[str]) -> None:
    for name in names:
        if name in _PARAMETERS:
            continue
        if "password" in names:  # the name may be what a raw & cut off from the password
            raise SettingError(
                "has an unknown query parameter as well as a password; "
                "write an & in the password as %26, or remove the parameter"
            )
        if name in _ELSEWHERE:
            raise SettingError(f"has the query parameter {name!r}; {_ELSEWHERE[name]}")
        meant = nearest(name, _PARAMETERS, cutoff=_ALIKE)
        hint = f"write {meant}, the nearest known name, or remove it" if meant else "remove it"
        raise SettingError(f"has the unknown query parameter {name!r}; {hint}")


def _parameter(kind: Kind, name: str, value: str) -> tuple[str, Any]:
    if name != _READS:
        return QUERY_PARAMETERS[name], value
    reads = _about(name, lambda: "any" if parse_flag(value) else "primary")
    if reads == "any" and kind in {"server", "unix"}:
        raise SettingError(
            f"has the query parameter {name}, but names one server, which has no replicas to read "
            "from; remove it, or start the URL with redis+sentinel:// or redis+cluster://"
        )
    return f"{'sentinel' if kind == 'sentinel' else 'cluster'}.reads", reads


def _about(name: str, parse: Callable[[], str]) -> str:
    try:
        return parse()
    except SettingError as mistake:
        raise SettingError(f"has a query parameter {name} that {mistake}") from None


def _once(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path, value in fields:
        if path in values and str(values[path]) != str(value):
            raise SettingError(f"sets {path} twice; keep one of them")
        values[path] = value
    return values
