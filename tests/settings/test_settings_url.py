"""What a URL sets."""

from typing import Any

import pytest

from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.settings.url import parse_url


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("redis://", {}),
        ("redis://h", {"host": "h"}),
        ("REDIS://h:7000/", {"host": "h", "port": 7000}),
        ("redis://:7000", {"port": 7000}),
        ("redis://:p@", {"password": "p"}),
        ("redis://[::1]:7000/2", {"host": "::1", "port": 7000, "db": 2}),
        ("redis://[::1]", {"host": "::1"}),
        ("redis://u:p@h/0", {"username": "u", "password": "p", "host": "h", "db": 0}),
        (
            "redis://u%40x:p%23%2F%40%3F%3A%25@h",
            {"username": "u@x", "password": "p#/@?:%", "host": "h"},
        ),
        ("redis://:a+b@h", {"password": "a+b", "host": "h"}),
        ("rediss://h", {"host": "h", "tls.enabled": True}),
        ("redis://h?db=3", {"host": "h", "db": "3"}),
        ("redis://h/3?db=3", {"host": "h", "db": "3"}),
        ("redis://h?username=u&password=p%26", {"host": "h", "username": "u", "password": "p&"}),
        ("redis://h?client_name=&", {"host": "h"}),
        ("unix:///run/r.sock?db=1", {"unix_socket": "/run/r.sock", "db": "1"}),
        (
            "unix://u:p@/run/a%20b",
            {"username": "u", "password": "p", "unix_socket": "/run/a b"},
        ),
        (
            "redis+sentinel://h1:26380,h2/0/mymaster",
            {
                "sentinel.nodes": (("h1", 26380), ("h2", 26379)),
                "db": 0,
                "sentinel.service": "mymaster",
            },
        ),
        ("redis+sentinel://h1", {"sentinel.nodes": (("h1", 26379),)}),
        ("redis+sentinel://h1/m", {"sentinel.nodes": (("h1", 26379),), "sentinel.service": "m"}),
        (
            "rediss+sentinel://:p@h1/m",
            {
                "password": "p",
                "sentinel.nodes": (("h1", 26379),),
                "sentinel.service": "m",
                "tls.enabled": True,
            },
        ),
        ("redis+cluster://h1,[::1]:7", {"cluster.nodes": (("h1", 6379), ("::1", 7))}),
        (
            "rediss+cluster://h1?read_from_replicas=true",
            {"cluster.nodes": (("h1", 6379),), "cluster.reads": "any", "tls.enabled": True},
        ),
        (
            "redis+sentinel://h1/m?read_from_replicas=true",
            {
                "sentinel.nodes": (("h1", 26379),),
                "sentinel.service": "m",
                "sentinel.reads": "any",
            },
        ),
    ],
)
def test_url_sets_fields(url: str, fields: dict[str, Any]) -> None:
    assert parse_url(url) == fields


def test_query_parameters_of_redis_py_have_their_equivalents() -> None:
    settings = RedisSettings(
        url="redis://h?protocol=3&client_name=app&decode_responses=no&socket_timeout=4"
        "&socket_connect_timeout=3&max_connections=9&health_check_interval=2&timeout=6"
    )

    assert (settings.protocol, settings.client_name) == (3, "app")
    assert not settings.decode_responses
    assert (settings.timeout.command, settings.timeout.connect) == (4.0, 3.0)
    assert (settings.pool.max_connections, settings.pool.acquire_timeout) == (9, 6.0)
    assert settings.health.interval == 2.0


@pytest.mark.parametrize(
    ("query", "verify"),
    [
        ("ssl_cert_reqs=required", "full"),
        ("ssl_cert_reqs=none", "none"),
        ("ssl_cert_reqs=none&ssl_check_hostname=true", "none"),
        ("ssl_check_hostname=False", "ca"),
        ("ssl_cert_reqs=optional&ssl_check_hostname=true", "full"),
    ],
)
def test_redis_pys_certificate_checks_become_one_setting(query: str, verify: str) -> None:
    assert RedisSettings(url=f"rediss://h?{query}").tls.verify == verify


def test_certificate_files_come_from_the_query() -> None:
    query = f"ssl_ca_certs={__file__}&ssl_certfile={__file__}&ssl_keyfile={__file__}"

    tls = RedisSettings(url=f"rediss://h?{query}").tls

    assert (tls.ca_file, tls.cert_file, tls.key_file) == (__file__,) * 3


def test_a_zone_of_an_ipv6_address_is_decoded() -> None:
    assert RedisSettings(url="redis://[fe80::1%25eth0]:6380").host == "fe80::1%eth0"
