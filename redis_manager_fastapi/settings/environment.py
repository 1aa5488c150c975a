"""The environment as a layer of settings, Kubernetes' own variables included."""

import logging
import os
import re
from collections.abc import Iterable, Mapping

from pydantic_settings import BaseSettings, DotEnvSettingsSource
from pydantic_settings.sources import DotenvType

from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.settings.address import REDIS_PORT, parse_address
from redis_manager_fastapi.settings.aliases import (
    CERT_REQS,
    CHECK_HOSTNAME,
    ELSEWHERE,
    ENVIRONMENT_ALIASES,
    FLAGS,
    KNOWN_ALIASES,
    parse_flag,
    parse_verify,
)
from redis_manager_fastapi.settings.layers import Given, Layer, SettingError, Source, nearest

logger = logging.getLogger("redis_manager_fastapi")

_SERVICE_LINK = re.compile(
    r"([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)"
)
_LINK_SCHEMES = ("tcp://", "udp://", "sctp://")

Variables = dict[str, str]


def read_variables(
    settings: type[BaseSettings], prefix: str, env_file: DotenvType | None
) -> Variables:
    """Return every variable with *prefix* that is not empty, by its name without it.

    The process's environment beats the `.env` file.
    """
    found = _given(os.environ, prefix.upper())
    if env_file is None:
        return found
    try:
        source = DotEnvSettingsSource(settings, env_file=env_file)
    except UnicodeDecodeError:
        raise _not_text(env_file) from None
    return _given(source.env_vars, prefix.upper()) | found


def _not_text(env_file: DotenvType) -> RedisConfigError:
    return RedisConfigError(f"_env_file is {env_file!s}, which is not UTF-8; write it as UTF-8.")


def _given(variables: Mapping[str, str | None], start: str) -> Variables:
    stripped = {
        name.upper().removeprefix(start): _strip(name.upper(), value or "")
        for name, value in variables.items()
        if name.upper().startswith(start)
    }
    return {name: value for name, value in stripped.items() if value}


def _strip(name: str, value: str) -> str:
    return value if name.endswith("PASSWORD") else value.strip()


def environment_layer(variables: Variables, prefix: str, paths: Iterable[str]) -> Layer:
    """Return what the variables of our own names, and of the SDK's, give."""
    names = {path.replace(".", "__").upper(): path for path in paths}
    return {
        path: Given(variables[name], prefix + name)
        for name, path in (ENVIRONMENT_ALIASES | names).items()
        if name in variables and not _is_link(name, variables[name])
    }


def flag_layer(name: str, variables: Variables, prefix: str) -> Layer:
    """Return the SDK's switch *name*, such as `REDIS_CLUSTER=true`, as a boolean."""
    if name not in variables:
        return {}
    path = FLAGS[name]
    try:
        return {path: Given(parse_flag(variables[name]), prefix + name)}
    except SettingError as mistake:
        raise SettingError(f"{path} ({prefix}{name}) {mistake}") from None


def verify_layer(variables: Variables, prefix: str) -> Layer:
    """Return `tls.verify` from the SDK's two variables about certificates."""
    given = [name for name in (CHECK_HOSTNAME, CERT_REQS) if name in variables]
    if not given:
        return {}
    cert_reqs, check_hostname = variables.get(CERT_REQS, ""), variables.get(CHECK_HOSTNAME, "")
    try:
        verify = parse_verify(cert_reqs, check_hostname)
    except SettingError as mistake:
        named = " and ".join(prefix + name for name in given)
        raise SettingError(f"tls.verify ({named}) {mistake}") from None
    return {"tls.verify": Given(verify, prefix + given[0])}


def _is_link(name: str, value: str) -> bool:
    return name == "PORT" and value.startswith(_LINK_SCHEMES)


def service_links(variables: Variables, prefix: str) -> Layer:
    """Return the host and port that Kubernetes gives to every pod beside a service."""
    link = variables.get("PORT", "")
    if _is_link("PORT", link):
        return _link_address(link, f"{prefix}PORT")
    host, port = variables.get("SERVICE_HOST"), variables.get("SERVICE_PORT")
    if host is None:
        return {}
    layer = {"host": Given(host, f"{prefix}SERVICE_HOST", Source.SERVICE_LINK)}
    if port is not None:
        layer["port"] = Given(port, f"{prefix}SERVICE_PORT", Source.SERVICE_LINK)
    return layer


def _link_address(link: str, variable: str) -> Layer:
    try:
        address = parse_address(link.partition("://")[2], REDIS_PORT)
    except ValueError as mistake:
        raise SettingError(
            f"port ({variable}) is a service link that {mistake}; "
            "set it to a port, or to a link such as tcp://10.0.0.5:6379"
        ) from None
    return {
        "host": Given(address.host, variable, Source.SERVICE_LINK),
        "port": Given(address.port, variable, Source.SERVICE_LINK),
    }


def warn_unknown(
    variables: Variables, prefix: str, paths: Iterable[str], groups: frozenset[str]
) -> None:
    """Log one warning for each variable that looks like ours and is not."""
    if not prefix:
        return
    known = {path.replace(".", "__").upper() for path in paths} | KNOWN_ALIASES
    for name in sorted(variables):
        if name in known or _belongs_elsewhere(name, known, groups):
            continue
        meant = nearest(name, known)
        hint = (
            f"the nearest known name is {prefix}{meant}" if meant else "it resembles no known name"
        )
        logger.warning(
            "%s%s is not a setting and has no effect; %s",
            prefix,
            name,
            hint,
            extra={"event": "redis_setting_unknown", "variable": f"{prefix}{name}"},
        )


def warn_overruled(names: Iterable[str], stronger: str, prefix: str) -> None:
    """Log one warning for each variable of *names* that is set beside the *stronger* one."""
    for name in names if prefix else ():
        logger.warning(
            "%s is set and has no effect; %s goes first",
            name,
            stronger,
            extra={"event": "redis_setting_overruled", "variable": name},
        )


def _belongs_elsewhere(name: str, known: set[str], groups: frozenset[str]) -> bool:
    """Whether Kubernetes, the SDK or a deployment with a longer prefix reads it."""
    if _SERVICE_LINK.fullmatch(name) or ELSEWHERE.fullmatch(name):
        return True
    ours = known | {group.upper() for group in groups}
    group, delimiter, _ = name.partition("__")
    word, _, tail = group.rpartition("_")
    if delimiter:
        return bool(word) and tail.lower() in groups and word.partition("_")[0] not in ours
    return any(name.endswith(f"_{field}") and name.partition("_")[0] not in ours for field in known)
