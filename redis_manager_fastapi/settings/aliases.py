"""Names that other clients use for our settings.

The official SDK's variables and the query parameters of redis-py's URLs, with
the field that each one means.
"""

import re

from pydantic import TypeAdapter, ValidationError

from redis_manager_fastapi.settings.layers import Given, Layer, SettingError

ENVIRONMENT_ALIASES = {
    "SSL": "tls.enabled",
    "SSL_CA_CERTS": "tls.ca_file",
    "SSL_CERTFILE": "tls.cert_file",
    "SSL_KEYFILE": "tls.key_file",
    "MAX_CONNECTIONS": "pool.max_connections",
    "SOCKET_TIMEOUT": "timeout.command",
    "SOCKET_CONNECT_TIMEOUT": "timeout.connect",
    "SENTINEL_NODES": "sentinel.nodes",
    "SENTINEL_MASTER_NAME": "sentinel.service",
    "SENTINEL_USERNAME": "sentinel.username",
    "SENTINEL_PASSWORD": "sentinel.password",
}
"""Suffixes of the SDK's variables."""

FLAGS = {"SENTINEL": "sentinel", "CLUSTER": "cluster"}
"""The SDK's two switches, which share their names with groups of ours."""

CERT_REQS = "SSL_CERT_REQS"
CHECK_HOSTNAME = "SSL_CHECK_HOSTNAME"
KNOWN_ALIASES = frozenset({*ENVIRONMENT_ALIASES, *FLAGS, CERT_REQS, CHECK_HOSTNAME})

QUERY_PARAMETERS = {
    "db": "db",
    "username": "username",
    "password": "password",
    "protocol": "protocol",
    "client_name": "client_name",
    "decode_responses": "decode_responses",
    "ssl_ca_certs": "tls.ca_file",
    "ssl_certfile": "tls.cert_file",
    "ssl_keyfile": "tls.key_file",
    "socket_timeout": "timeout.command",
    "socket_connect_timeout": "timeout.connect",
    "max_connections": "pool.max_connections",
    "timeout": "pool.acquire_timeout",
    "health_check_interval": "health.interval",
}

ELSEWHERE = re.compile(
    r"PREFIX|DEFAULT_TTL|WARN_UNBOUNDED_CACHE|(RATE_LIMIT|SESSION|OTEL)_[A-Z0-9_]+|SERVER_BINARY"
)
"""Suffixes that others read: the SDK's caching, rate limits and sessions, and the test server."""

_flag = TypeAdapter(bool)


def parse_flag(text: str) -> bool:
    """Return a boolean as pydantic reads it, so that `no`, `off` and `0` are false."""
    try:
        return _flag.validate_python(text)
    except ValidationError:
        raise SettingError(f"is {text!r}; set it to true or false") from None


def parse_verify(cert_reqs: str, check_hostname: str) -> str:
    """Return `tls.verify` for redis-py's two settings; an empty text is one not given."""
    if cert_reqs.lower() not in {"", "none", "optional", "required"}:
        raise SettingError(f"is {cert_reqs!r}; set it to required, optional or none")
    checked = not check_hostname or parse_flag(check_hostname)
    if cert_reqs.lower() == "none":
        return "none"
    return "full" if checked else "ca"


def sdk_sentinel(layer: Layer, prefix: str) -> Layer:
    """Read `REDIS_SENTINEL*` as the SDK does: a flag beside the names, no host."""
    flag = layer.get("sentinel")
    aliases = [
        path
        for path, given in layer.items()
        if path.startswith("sentinel.") and not given.variable.startswith(f"{prefix}SENTINEL__")
    ]
    dropped: set[str] = set()
    if flag and not flag.value:
        dropped = set(aliases)
    elif "sentinel.nodes" in aliases:
        dropped = {"host", "port"}
    kept = {path: given for path, given in layer.items() if path not in dropped}
    if flag and flag.value and "sentinel.nodes" in kept:
        kept.setdefault("sentinel.service", Given("mymaster", flag.variable))
    return kept
