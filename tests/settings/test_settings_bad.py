"""Every bad setting is one sentence that names field, variable and fix."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.credentials import UsernamePasswordCredentialProvider

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.settings import RedisSettings

SECRET = "hunter2"

# the variables, the field, the variable at fault, words of the fix
BAD_VARIABLES: list[tuple[dict[str, str], str, str, str]] = [
    ({"PORT": "abc"}, "port", "PORT", "'abc'; set it to a whole number from 1 to 65535"),
    ({"PORT": "0"}, "port", "PORT", "from 1 to 65535"),
    ({"PORT": "70000"}, "port", "PORT", "from 1 to 65535"),
    ({"PORT": "tcp://x:y"}, "port", "PORT", "a link such as tcp://10.0.0.5:6379"),
    ({"SERVICE_HOST": "h", "SERVICE_PORT": "x"}, "port", "SERVICE_PORT", "from 1 to 65535"),
    ({"DB": "-1"}, "db", "DB", "'-1'; set it to a whole number from 0"),
    ({"DB": "one"}, "db", "DB", "a whole number"),
    ({"HOST": "db:6380"}, "host", "HOST", "holds a port"),
    ({"HOST": f"redis://:{SECRET}@db"}, "host", "HOST", "a URL in REDIS_URL"),
    ({"HOST": f"{SECRET}@db"}, "host", "HOST", "set it to a host name"),
    ({"HOST": "two words"}, "host", "HOST", "is not a host name"),
    ({"HOST": ":::"}, "host", "HOST", "is not an IPv6 address"),
    ({"UNIX_SOCKET": "/" + "x" * 200}, "unix_socket", "UNIX_SOCKET", "at most 107"),
    ({"UNIX_SOCKET": "/x", "HOST": "h"}, "unix_socket", "UNIX_SOCKET", "remove one of them"),
    ({"UNIX_SOCKET": "/x", "URL": "redis://h"}, "unix_socket", "UNIX_SOCKET", "remove one"),
    ({"USERNAME": "app"}, "username", "USERNAME", "set REDIS_PASSWORD or REDIS_PASSWORD_FILE"),
    ({"USERNAME": "a b", "PASSWORD": SECRET}, "username", "USERNAME", "without spaces"),
    ({"PASSWORD_FILE": "/no/such"}, "password_file", "PASSWORD_FILE", "does not exist"),
    ({"PASSWORD_FILE": "/"}, "password_file", "PASSWORD_FILE", "set it to a file"),
    ({"PASSWORD_FILE": "/dev/null"}, "password_file", "PASSWORD_FILE", "is not a file"),
    ({"PASSWORD_FILE": SECRET}, "password_file", "PASSWORD_FILE", "may be the secret itself"),
    ({"TLS__KEY_FILE": f"-----BEGIN\n{SECRET * 999}"}, "tls.key_file", "TLS__KEY_FILE", "itself"),
    ({"PASSWORD_FILE": "/x", "PASSWORD": SECRET}, "password_file", "PASSWORD_FILE", "remove one"),
    ({"CLIENT_NAME": "my app"}, "client_name", "CLIENT_NAME", "without spaces"),
    ({"CLIENT_NAME": "caf\u00e9"}, "client_name", "CLIENT_NAME", "printable ASCII"),
    ({"PROTOCOL": "4"}, "protocol", "PROTOCOL", "'4'; set it to 2 or 3"),
    ({"PROTOCOL": "resp3"}, "protocol", "PROTOCOL", "set it to 2 or 3"),
    ({"DECODE_RESPONSES": "utf-8"}, "decode_responses", "DECODE_RESPONSES", "true or false"),
    ({"CRITICAL": "perhaps"}, "critical", "CRITICAL", "true or false"),
    ({"TLS__ENABLED": "yess"}, "tls.enabled", "TLS__ENABLED", "true or false"),
    ({"TLS__VERIFY": "strict"}, "tls.verify", "TLS__VERIFY", "full, ca or none"),
    ({"TLS__CA_FILE": "/no/such"}, "tls.ca_file", "TLS__CA_FILE", "does not exist"),
    ({"TLS__CA_FILE": __file__}, "tls.ca_file", "TLS__CA_FILE", "set REDIS_TLS__ENABLED=true"),
    ({"TLS__CERT_FILE": __file__}, "tls.cert_file", "TLS__CERT_FILE", "REDIS_TLS__KEY_FILE too"),
    ({"TLS__KEY_FILE": __file__}, "tls.key_file", "TLS__KEY_FILE", "REDIS_TLS__CERT_FILE too"),
    ({"TLS__ENABLED": "1", "UNIX_SOCKET": "/x"}, "tls.enabled", "TLS__ENABLED", "=false or"),
    ({"SSL": "ok"}, "tls.enabled", "SSL", "true or false"),
    ({"SSL_CERT_REQS": "always"}, "tls.verify", "SSL_CERT_REQS", "required, optional or none"),
    ({"SSL_CHECK_HOSTNAME": "ok"}, "tls.verify", "SSL_CHECK_HOSTNAME", "true or false"),
    ({"PIPELINING__CONNECTIONS": "0"}, "pipelining.connections", "PIPELINING__CONNECTIONS", "1"),
    ({"PIPELINING__MAX_IN_FLIGHT": "0"}, "pipelining.max_in_flight", "PIPELINING__MAX", "from 1"),
    ({"POOL__MAX_CONNECTIONS": "abc"}, "pool.max_connections", "POOL__MAX_CONNECTIONS", "from 1"),
    ({"POOL__MAX_CONNECTIONS": "2.5"}, "pool.max_connections", "POOL__MAX_CONNECTIONS", "whole"),
    ({"MAX_CONNECTIONS": "0"}, "pool.max_connections", "MAX_CONNECTIONS", "from 1 to 100000"),
    ({"POOL__ACQUIRE_TIMEOUT": "0"}, "pool.acquire_timeout", "POOL__ACQUIRE_TIMEOUT", "above 0"),
    ({"POOL__MAX_WAITING": "-1"}, "pool.max_waiting", "POOL__MAX_WAITING", "from 0"),
    ({"POOL__MAX_IDLE": "inf"}, "pool.max_idle", "POOL__MAX_IDLE", "a number of seconds above 0"),
    ({"POOL__MAX_LIFETIME": "1h"}, "pool.max_lifetime", "POOL__MAX_LIFETIME", "seconds"),
    ({"TIMEOUT__CONNECT": "1e9"}, "timeout.connect", "TIMEOUT__CONNECT", "up to 86400"),
    ({"TIMEOUT__COMMAND": "-2"}, "timeout.command", "TIMEOUT__COMMAND", "above 0"),
    ({"SOCKET_TIMEOUT": "soon"}, "timeout.command", "SOCKET_TIMEOUT", "a number of seconds"),
    ({"HEALTH__INTERVAL": "0"}, "health.interval", "HEALTH__INTERVAL", "from 0.01 to 3600"),
    ({"HEALTH__TIMEOUT": "nan"}, "health.timeout", "HEALTH__TIMEOUT", "a number of seconds"),
    ({"HEALTH__BACKOFF_BASE": "2"}, "health.backoff_base", "HEALTH__BACKOFF_BASE", "or less"),
    ({"OUTAGE__GRACE": "-1"}, "outage.grace", "OUTAGE__GRACE", "from 0 to 86400"),
    ({"OUTAGE__GRACE": "nan"}, "outage.grace", "OUTAGE__GRACE", "a number of seconds"),
    ({"STARTUP__POLICY": "retry"}, "startup.policy", "STARTUP__POLICY", "fail, wait or degraded"),
    ({"STARTUP__TIMEOUT": "0"}, "startup.timeout", "STARTUP__TIMEOUT", "above 0"),
    ({"SHUTDOWN__DRAIN": "-inf"}, "shutdown.drain", "SHUTDOWN__DRAIN", "from 0"),
    ({"SENTINEL__NODES": "a:26379"}, "sentinel.nodes", "SENTINEL__NODES", "SENTINEL__SERVICE too"),
    ({"SENTINEL__SERVICE": "m"}, "sentinel.service", "SENTINEL__SERVICE", "SENTINEL__NODES too"),
    ({"SENTINEL__NODES": "a:0"}, "sentinel.nodes", "SENTINEL__NODES", "h1:26379,h2:26379"),
    ({"SENTINEL__NODES": f"u:{SECRET}@a"}, "sentinel.nodes", "SENTINEL__NODES", "h1:26379,h2"),
    ({"SENTINEL__USERNAME": "u"}, "sentinel.username", "SENTINEL__USERNAME", "PASSWORD too"),
    ({"SENTINEL__PASSWORD": SECRET}, "sentinel.password", "SENTINEL__PASSWORD", "NODES too, or"),
    ({"SENTINEL_PASSWORD": SECRET}, "sentinel.password", "SENTINEL_PASSWORD", "NODES too, or"),
    ({"SENTINEL__TLS": "true"}, "sentinel.tls", "SENTINEL__TLS", "set REDIS_SENTINEL__NODES too"),
    ({"SENTINEL__READS": "slave"}, "sentinel.reads", "SENTINEL__READS", "replica or any"),
    ({"SENTINEL__READS": "any"}, "sentinel.reads", "SENTINEL__READS", "SENTINEL__NODES too"),
    (
        {"CLUSTER__NODES": "a", "SENTINEL__READS": "any"},
        "sentinel.reads",
        "SENTINEL__READS",
        "set REDIS_CLUSTER__READS instead",
    ),
    (
        {"URL": "redis+sentinel://a/0/m", "SENTINEL__READS": "any", "PIPELINING__ENABLED": "no"},
        "sentinel.reads",
        "SENTINEL__READS",
        "set REDIS_PIPELINING__ENABLED=true",
    ),
    ({"SENTINEL": "true"}, "sentinel.nodes", "SENTINEL", "set REDIS_SENTINEL__NODES"),
    ({"CLUSTER__NODES": "a,,b"}, "cluster.nodes", "CLUSTER__NODES", "without a host"),
    ({"CLUSTER__NODES": "::1"}, "cluster.nodes", "CLUSTER__NODES", "IPv6 in brackets"),
    ({"CLUSTER__NODES": "a", "DB": "1"}, "db", "DB", "set it to 0 or remove it"),
    ({"CLUSTER__NODES": "a", "HOST": "b"}, "cluster.nodes", "HOST", "remove one of them"),
    ({"CLUSTER__READS": "master"}, "cluster.reads", "CLUSTER__READS", "primary, replica or any"),
    ({"CLUSTER__READS": "any"}, "cluster.reads", "CLUSTER__READS", "CLUSTER__NODES too"),
    (
        {"URL": "redis+sentinel://a/0/m", "CLUSTER__READS": "replica"},
        "cluster.reads",
        "CLUSTER__READS",
        "set REDIS_SENTINEL__READS instead",
    ),
    ({"CLUSTER": "maybe"}, "cluster", "CLUSTER", "true or false"),
    ({"CLUSTER": "0", "CLUSTER__NODES": "a"}, "cluster.nodes", "CLUSTER", "remove one of"),
    ({"CLUSTER": "1", "UNIX_SOCKET": "/x"}, "cluster.nodes", "CLUSTER", "REDIS_CLUSTER=false"),
    (
        {"CLUSTER__NODES": "a", "SENTINEL__NODES": "b"},
        "sentinel.nodes",
        "SENTINEL__NODES",
        "one of",
    ),
]

# the URL, words of the fix
BAD_URLS = [
    (f"redis://:{SECRET}#x@h:6379/0", "an unescaped '#': write it as %23"),
    (f"redis://:{SECRET}/x@h:6379/0", "an unescaped '/': write it as %2F"),
    (f"redis://:{SECRET}@x@h:6379/0", "an unescaped '@': write it as %40"),
    (f"redis://:{SECRET}?x@h:6379/0", "an unescaped '?': write it as %3F"),
    (f"redis://:{SECRET}%zz@h:6379/0", "an unescaped '%': write it as %25"),
    (f"redis://:{SECRET}:x@h:6379/0", "an unescaped ':': write it as %3A"),
    (f"redis://:{SECRET} x@h:6379/0", "an unescaped space: write it as %20"),
    (f"redis://:{SECRET}\tx@h:6379/0", "an unescaped '\\t': write it as %09"),
    (f"redis://:{SECRET}@x/y@h", "an unescaped '@': write it as %40"),
    (f"redis://:{SECRET}%FF@h", "encode each byte as UTF-8"),
    (f"redis://:{SECRET}", "percent-encode the password"),
    (f"redis://:{SECRET}@h:port", "a port that is not a whole number from 1 to 65535"),
    (f"redis://:{SECRET}@h:70000", "a port that is not a whole number from 1 to 65535"),
    (f"redis://:{SECRET}@[::1", "is not an IPv6 address"),
    (f"redis://{SECRET}@h", "write a password without a user as :password@"),
    (f"redis://{SECRET}%20x@h", "as :password@"),
    (f"redis://:{SECRET}@a,b", "start it with redis+sentinel:// or redis+cluster://"),
    (f"redis://:{SECRET}@h/zero", "end it with /0"),
    (f"redis://:{SECRET}@h/1?db=2", "sets db twice"),
    (f"redis://:{SECRET}@h?sokcet_timeout=1", "write socket_timeout, the nearest known name"),
    (f"redis://:{SECRET}@h?qqqq=1", "'qqqq'; remove it"),
    (f"redis://:{SECRET}@h?socket_timeout=1s", "a number of seconds"),
    (f"redis://:{SECRET}@h?ssl_cert_reqs=yes", "required, optional or none"),
    (f"redis://:{SECRET}@h?ssl_check_hostname=ja", "true or false"),
    (f"redis://:{SECRET}@h?name=a@b", "write it as %40"),
    (f"redis://h?password={SECRET}&username=a%20b", "without spaces"),
    (f"redis+cluster://:{SECRET}@a/1", "a cluster has only database 0"),
    (f"redis+cluster://:{SECRET}@/0", "names no host"),
    (f"redis+cluster://:{SECRET}@h?read_from_replicas=x", "true or false"),
    (f"redis+sentinel://:{SECRET}@a/0/m?read_from_replicas=x", "true or false"),
    (f"redis://:{SECRET}@a?read_from_replicas=true", "one server, which has no replicas"),
    (f"redis://h?password=x&{SECRET}", "write an & in the password as %26"),
    (f"redis://h?password=x&{SECRET}=1", "write an & in the password as %26"),
    (f"redis://:{SECRET}@h?retry_on_timeout", "'retry_on_timeout'; remove it"),
    (f"redis+sentinel://a/0/m?sentinel_password={SECRET}", "the setting sentinel.password"),
    (f"redis+sentinel://:{SECRET}@a?service_name=m", "as in /0/mymaster"),
    (f"redis+unix://:{SECRET}@/run/redis.sock", "start it with unix://"),
    (f"redis+sentinel://:{SECRET}@a,b:x/0/m", "a port that is not a whole number"),
    (f"redis+sentinel://:{SECRET}@a,b/0", "set REDIS_SENTINEL__SERVICE too"),
    (f"redis+sentinel://:{SECRET}@a,b/0/m/n", "end it with /0/mymaster"),
    (f"redis+sentinel://:{SECRET}@a,b/m/0", "not a database number"),
    (f"unix://run/{SECRET}.sock", "write three slashes"),
    (f"reddis://:{SECRET}@h", "start it with redis://"),
    (f"{SECRET}@localhost:6379", "start it with redis://"),
    (f'"redis://:{SECRET}@h"', "remove the quotes"),
]

# keyword arguments, the field, the variable, words of the fix
BAD_KEYWORDS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"hosst": "db"}, "hosst", "HOSST", "write host, the nearest known name"),
    ({"zzzzz": 1}, "zzzzz", "ZZZZZ", "remove it"),
    ({"socket_timeout": 3}, "socket_timeout", "SOCKET_TIMEOUT", "write timeout.command, as in"),
    ({"ssl": True}, "ssl", "SSL", 'write tls.enabled, as in tls={"enabled": ...}'),
    ({"ssl_ca_certs": "f"}, "ssl_ca_certs", "SSL_CA_CERTS", "write tls.ca_file"),
    ({"url": b"redis://h"}, "url", "URL", "is bytes; give it as a str"),
    ({"sentinel": {"tls": "maybe"}}, "sentinel.tls", "SENTINEL__TLS", "set it to true or false"),
    ({"sentinel": {"nodes": "redis://h"}}, "sentinel.nodes", "SENTINEL__NODES", "holds a URL"),
    ({"pool": {"max_conections": 5}}, "pool.max_conections", "POOL__", "pool.max_connections"),
    ({"pool": 5}, "pool", "POOL", "set it to one such as pool={...}"),
    ({"cluster": True}, "cluster", "CLUSTER", "such as cluster={...}"),
    ({"port": True}, "port", "PORT", "is True, which is not a number; set it to a whole number"),
    ({"db": True}, "db", "DB", "is True, which is not a number; set it to a whole number from 0"),
    ({"db": False}, "db", "DB", "is False, which is not a number"),
    ({"timeout": {"connect": True}}, "timeout.connect", "TIMEOUT__CONNECT", "is not a number"),
    ({"timeout": {"command": True}}, "timeout.command", "TIMEOUT__COMMAND", "of seconds above 0"),
    ({"outage": {"grace": False}}, "outage.grace", "OUTAGE__GRACE", "is not a number"),
    ({"shutdown": {"drain": False}}, "shutdown.drain", "SHUTDOWN__DRAIN", "is not a number"),
    ({"health": {"interval": True}}, "health.interval", "HEALTH__INTERVAL", "is not a number"),
    ({"pool": {"max_idle": True}}, "pool.max_idle", "POOL__MAX_IDLE", "is not a number"),
    ({"pool": {"max_waiting": True}}, "pool.max_waiting", "POOL__MAX_WAITING", "is not a number"),
    ({"pool": {"max_connections": True}}, "pool.max_connections", "POOL__MAX_CONN", "not a number"),
    (
        {"pipelining": {"connections": True}},
        "pipelining.connections",
        "PIPELINING__CONNECTIONS",
        "not a number; set it to a whole number from 1",
    ),
    (
        {"pipelining": {"max_in_flight": True}},
        "pipelining.max_in_flight",
        "PIPELINING__MAX_IN_FLIGHT",
        "not a number; set it to a whole number from 1",
    ),
    ({"host": None}, "host", "HOST", "set it to a host name"),
    ({"password": 12345}, "password", "PASSWORD", "set it to a string"),
    ({"url": 5}, "url", "URL", "set it to a string"),
    ({"cluster": {"nodes": 7}}, "cluster.nodes", "CLUSTER__NODES", "h1:6379,h2:6379"),
    ({"cluster": {"nodes": [("a", 1, 2)]}}, "cluster.nodes", "CLUSTER__NODES", "h1:6379"),
    ({"unix_socket": Path("/x"), "host": "h"}, "unix_socket", "UNIX_SOCKET", "remove one"),
    ({"tls": {"ca_file": 3}}, "tls.ca_file", "TLS__CA_FILE", "the path of a file"),
]


def message(**values: Any) -> str:
    with pytest.raises(RedisConfigError) as caught:
        RedisSettings(**values)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize(("variables", "field", "variable", "fix"), BAD_VARIABLES)
def test_bad_variable_names_field_variable_and_fix(
    environment: Callable[..., None],
    variables: dict[str, str],
    field: str,
    variable: str,
    fix: str,
) -> None:
    environment(**{f"REDIS_{name}": value for name, value in variables.items()})

    text = message()

    assert f"{field} (REDIS_" in text
    assert f"REDIS_{variable}" in text
    assert fix in text
    assert SECRET not in text


@pytest.mark.parametrize(("url", "fix"), BAD_URLS)
def test_bad_url_says_what_to_write_and_keeps_the_secret(
    environment: Callable[..., None], url: str, fix: str
) -> None:
    environment(REDIS_URL=url)

    text = message()

    assert "(REDIS_URL)" in text
    assert fix in text
    assert SECRET not in text
    assert text.count("\n") <= 1


@pytest.mark.parametrize(("values", "field", "variable", "fix"), BAD_KEYWORDS)
def test_bad_keyword_names_field_variable_and_fix(
    values: dict[str, Any], field: str, variable: str, fix: str
) -> None:
    text = message(**values)

    assert f"{field} (REDIS_{variable}" in text
    assert fix in text


def test_all_problems_are_reported_at_once_one_a_line(environment: Callable[..., None]) -> None:
    environment(REDIS_PORT="x", REDIS_POOL__MAX_IDLE="0", REDIS_USERNAME="app")

    lines = message(protocol=5, hosst="h").splitlines()

    assert sorted(line.partition(" ")[0] for line in lines) == [
        "hosst",
        "pool.max_idle",
        "port",
        "protocol",
        "username",
    ]
    assert all(line.endswith(".") for line in lines)


@pytest.mark.parametrize("prefix", ["REDIS_CACHE_", "redis_cache_"])
def test_a_problem_of_another_deployment_names_its_own_variable(
    environment: Callable[..., None], prefix: str
) -> None:
    environment(REDIS_CACHE_POOL__MAX_IDLE="never", REDIS_CACHE_HOST="a:1")

    text = message(_env_prefix=prefix)

    assert "pool.max_idle (REDIS_CACHE_POOL__MAX_IDLE) is 'never'" in text
    assert "a port goes in REDIS_CACHE_PORT" in text


def test_a_cluster_from_the_flag_reports_a_bad_port_once(
    environment: Callable[..., None],
) -> None:
    environment(REDIS_CLUSTER="true", REDIS_HOST="a", REDIS_PORT="x")

    assert message() == "port (REDIS_PORT) is 'x'; set it to a whole number from 1 to 65535."


def test_a_long_value_is_cut_short(environment: Callable[..., None]) -> None:
    environment(REDIS_PORT="9" * 5000)

    assert len(message()) < 200


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"password": "p"}, "password"),
        ({"username": "u", "password": "p"}, "username and password"),
        ({"url": "redis://u:p@localhost"}, "username and password"),
        ({"url": "redis+cluster://:p@localhost"}, "password"),
        ({"password_file": __file__}, "password_file"),
    ],
)
def test_credentials_beside_a_provider_are_refused(given: Any, named: str) -> None:
    provider = UsernamePasswordCredentialProvider("user", "secret")
    with pytest.raises(RedisConfigError) as caught:
        RedisManager(credential_provider=provider, **given)

    assert str(caught.value) == (
        f"{named} and credential_provider=... are both set; remove one of them."
    )
