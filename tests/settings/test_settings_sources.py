"""Which source wins, and what the plain fields hold then."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.settings import (
    Address,
    Origin,
    PoolSettings,
    RedisSettings,
    SentinelSettings,
    Source,
)

SetEnvironment = Callable[..., None]


def test_defaults_are_the_documented_ones() -> None:
    settings = RedisSettings()

    assert (settings.host, settings.port, settings.db) == ("localhost", 6379, 0)
    assert (settings.url, settings.username, settings.password) == (None, None, None)
    assert (settings.protocol, settings.decode_responses, settings.critical) == (2, True, True)
    assert settings.topology == "standalone"
    assert settings.model_dump(include={"tls", "pipelining", "pool", "timeout", "health"}) == {
        "tls": {
            "enabled": False,
            "ca_file": None,
            "cert_file": None,
            "key_file": None,
            "verify": "full",
        },
        "pipelining": {"enabled": True, "connections": 1, "max_in_flight": 10_000},
        "pool": {
            "max_connections": 20,
            "acquire_timeout": 1.0,
            "max_waiting": 1000,
            "max_idle": 300.0,
            "max_lifetime": 3600.0,
        },
        "timeout": {"connect": 1.0, "command": 2.0},
        "health": {"interval": 0.5, "timeout": 0.5, "backoff_base": 0.05, "backoff_cap": 0.5},
    }
    assert (settings.outage.grace, settings.shutdown.drain) == (2.0, 5.0)
    assert (settings.startup.policy, settings.startup.timeout) == ("wait", 10.0)
    assert (settings.sentinel.nodes, settings.cluster.nodes) == ((), ())
    assert (settings.sentinel.reads, settings.cluster.reads) == ("primary", "primary")


def test_every_kind_of_variable_is_read(environment: SetEnvironment) -> None:
    environment(
        REDIS_HOST=" db ",
        REDIS_PORT="6380",
        REDIS_PROTOCOL="3",
        REDIS_POOL__MAX_CONNECTIONS="7",
        REDIS_OUTAGE__GRACE="0",
        REDIS_STARTUP__POLICY="Degraded",
        REDIS_PASSWORD=" spaced ",
    )

    settings = RedisSettings()

    assert (settings.host, settings.port, settings.protocol) == ("db", 6380, 3)
    assert (settings.pool.max_connections, settings.outage.grace) == (7, 0.0)
    assert settings.startup.policy == "degraded"
    assert settings.read_password() == " spaced "


@pytest.mark.parametrize("word", ["False", "false", "0", "no", "off"])
def test_false_words_are_false(environment: SetEnvironment, word: str) -> None:
    environment(REDIS_TLS__ENABLED=word, REDIS_PIPELINING__ENABLED=word, REDIS_CLUSTER=word)

    settings = RedisSettings()

    assert not settings.tls.enabled
    assert not settings.pipelining.enabled
    assert settings.topology == "standalone"


def test_an_empty_variable_is_unset(environment: SetEnvironment) -> None:
    environment(
        REDIS_URL="", REDIS_PORT=" ", REDIS_PASSWORD="", REDIS_POOL__MAX_IDLE="", REDIS_CLUSTER=""
    )

    assert RedisSettings() == RedisSettings(host="", password="", pool={})


def test_lower_case_variables_are_read(environment: SetEnvironment) -> None:
    environment(redis_host="db", redis_pool__max_idle="9")

    settings = RedisSettings()

    assert (settings.host, settings.pool.max_idle) == ("db", 9.0)


def test_keywords_beat_the_environment_field_by_field(environment: SetEnvironment) -> None:
    environment(REDIS_HOST="env", REDIS_PORT="6380", REDIS_POOL__MAX_IDLE="9", REDIS_PASSWORD="p")

    settings = RedisSettings(host="keyword", pool={"max_waiting": 3}, password=None)

    assert (settings.host, settings.port) == ("keyword", 6380)
    assert (settings.pool.max_waiting, settings.pool.max_idle) == (3, 9.0)
    assert settings.password is None


def test_a_group_may_be_given_as_its_class(environment: SetEnvironment) -> None:
    environment(REDIS_POOL__MAX_IDLE="9")

    settings = RedisSettings(pool=PoolSettings(max_waiting=3))

    assert (settings.pool.max_waiting, settings.pool.max_idle) == (3, 9.0)


def test_fields_fill_what_the_url_leaves_open(environment: SetEnvironment) -> None:
    environment(
        REDIS_URL="redis://db",
        REDIS_PORT="6380",
        REDIS_DB="2",
        REDIS_PASSWORD="p",
        REDIS_TLS__ENABLED="true",
    )

    settings = RedisSettings()

    assert (settings.host, settings.port, settings.db) == ("db", 6380, 2)
    assert settings.tls.enabled
    assert settings.read_password() == "p"


def test_the_url_beats_the_fields_beside_it(environment: SetEnvironment) -> None:
    environment(
        REDIS_URL="rediss://u:p@db:7000/3",
        REDIS_HOST="other",
        REDIS_PORT="1",
        REDIS_DB="1",
        REDIS_USERNAME="x",
        REDIS_PASSWORD="y",
        REDIS_TLS__ENABLED="false",
    )

    settings = RedisSettings()

    assert (settings.host, settings.port, settings.db) == ("db", 7000, 3)
    assert (settings.username, settings.read_password()) == ("u", "p")
    assert settings.tls.enabled


def test_a_keyword_beats_the_url(environment: SetEnvironment) -> None:
    environment(REDIS_URL="redis://db:7000/3")

    assert RedisSettings(db=5).db == 5
    assert RedisSettings(url="redis://x/1", db=6).db == 6
    assert RedisSettings(url="redis://x/1", db=6).host == "x"


def test_a_url_keyword_replaces_the_url_and_place_of_the_environment(
    environment: SetEnvironment,
) -> None:
    environment(REDIS_URL="redis+sentinel://:secret@a,b/4/m", REDIS_POOL__MAX_IDLE="9")

    settings = RedisSettings(url="redis://localhost:7000")

    assert (settings.topology, settings.host, settings.port) == ("standalone", "localhost", 7000)
    assert (settings.db, settings.password) == (0, None)
    assert settings.pool.max_idle == 9.0


def test_a_place_in_keywords_takes_the_place_of_any_other(environment: SetEnvironment) -> None:
    environment(REDIS_HOST="db", REDIS_PASSWORD_FILE="/no/such")

    assert RedisSettings(unix_socket="/run/r.sock", password="p").host == "localhost"
    assert RedisSettings(cluster={"nodes": "a"}, password="p").topology == "cluster"


@pytest.mark.parametrize("flag", ["true", "false"])
def test_nodes_in_keywords_overrule_the_flags(environment: SetEnvironment, flag: str) -> None:
    environment(REDIS_CLUSTER=flag, REDIS_SENTINEL=flag, REDIS_SENTINEL_NODES="x")

    assert RedisSettings(url="redis+cluster://a").topology == "cluster"
    assert RedisSettings(sentinel={"nodes": "a", "service": "m"}).topology == "sentinel"


def test_where_reads_go_is_part_of_the_place_that_a_keyword_replaces(
    environment: SetEnvironment,
) -> None:
    environment(
        REDIS_SENTINEL__NODES="a", REDIS_SENTINEL__SERVICE="m", REDIS_SENTINEL__READS="Replica"
    )

    assert RedisSettings().sentinel.reads == "replica"
    assert RedisSettings(sentinel={"nodes": "b"}).sentinel.reads == "replica"
    assert RedisSettings(host="db").sentinel.reads == "primary"
    assert RedisSettings(cluster={"nodes": "c"}).sentinel.reads == "primary"


@pytest.mark.parametrize("place", [{"host": "db"}, {"cluster": {"nodes": "c"}}])
def test_another_place_leaves_nothing_of_the_environment_s_sentinels(
    environment: SetEnvironment, place: dict[str, Any]
) -> None:
    environment(
        REDIS_SENTINEL__NODES="a",
        REDIS_SENTINEL__SERVICE="m",
        REDIS_SENTINEL__USERNAME="u",
        REDIS_SENTINEL__PASSWORD="p",
        REDIS_SENTINEL__TLS="true",
    )

    assert RedisSettings(**place).sentinel == SentinelSettings()


@pytest.mark.parametrize("place", [{"host": "db"}, {"sentinel": {"nodes": "a", "service": "m"}}])
def test_where_a_cluster_is_read_goes_with_the_nodes_that_a_keyword_replaces(
    environment: SetEnvironment, place: dict[str, Any]
) -> None:
    environment(REDIS_CLUSTER__NODES="a", REDIS_CLUSTER__READS="any")

    assert RedisSettings().cluster.reads == "any"
    assert RedisSettings(**place).cluster.reads == "primary"


def test_a_second_deployment_reads_its_own_prefix(environment: SetEnvironment) -> None:
    environment(
        REDIS_URL="redis://main/1",
        REDIS_CACHE_URL="redis://cache/2",
        REDIS_CACHE_POOL__MAX_CONNECTIONS="5",
        REDIS_CACHE_SSL="on",
    )

    main, cache = RedisSettings(), RedisSettings(_env_prefix="REDIS_CACHE_")

    assert (main.host, main.db, main.pool.max_connections, main.tls.enabled) == (
        "main",
        1,
        20,
        False,
    )
    assert (cache.host, cache.db, cache.pool.max_connections, cache.tls.enabled) == (
        "cache",
        2,
        5,
        True,
    )
    assert cache.variable("timeout.connect") == "REDIS_CACHE_TIMEOUT__CONNECT"


def test_an_env_file_is_read_only_when_named(
    environment: SetEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("REDIS_HOST=file\nREDIS_PORT=7000\nOTHER=1\n")
    monkeypatch.chdir(tmp_path)
    environment(REDIS_HOST="process")

    assert RedisSettings().port == 6379
    assert RedisSettings(_env_file=".env").port == 7000
    assert RedisSettings(_env_file=".env").host == "process"
    environment(REDIS_HOST="")
    assert RedisSettings(_env_file=".env").host == "file"


def test_an_env_file_that_is_not_text_is_named_and_not_shown(
    environment: SetEnvironment, tmp_path: Path
) -> None:
    file = tmp_path / "env"
    file.write_bytes(b"REDIS_PASSWORD=hunter2\xff\n")

    with pytest.raises(RedisConfigError, match="which is not UTF-8; write it as UTF-8") as raised:
        RedisSettings(_env_file=file)
    assert str(file) in str(raised.value)
    assert raised.value.__suppress_context__


def test_a_prefix_ends_with_an_underscore() -> None:
    with pytest.raises(RedisConfigError, match="'REDIS_CACHE'; end it with an underscore"):
        RedisSettings(_env_prefix="REDIS_CACHE")


def test_nothing_is_cached_between_two_constructions(environment: SetEnvironment) -> None:
    environment(REDIS_HOST="one")
    first = RedisSettings()
    environment(REDIS_HOST="two")

    assert (first.host, RedisSettings().host) == ("one", "two")


def test_settings_are_frozen_and_hashable() -> None:
    settings = RedisSettings(password="p")

    with pytest.raises(AttributeError, match="set password when you create them") as raised:
        settings.password = "hunter2"  # type: ignore[assignment, misc]
    assert "hunter2" not in repr(raised.value)
    with pytest.raises(AttributeError):
        settings.pool.max_idle = 1.0  # type: ignore[misc]
    assert hash(settings) == hash(RedisSettings(password=SecretStr("p")))


def test_nodes_are_addresses_with_the_port_of_their_kind(environment: SetEnvironment) -> None:
    environment(REDIS_SENTINEL__NODES="h1:26380, h2,[::1],[::2]:5", REDIS_SENTINEL__SERVICE="m")

    settings = RedisSettings()

    assert settings.topology == "sentinel"
    assert settings.sentinel.nodes == (
        Address("h1", 26380),
        Address("h2", 26379),
        Address("::1", 26379),
        Address("::2", 5),
    )
    assert [str(node) for node in settings.sentinel.nodes[1:3]] == ["h2:26379", "[::1]:26379"]


def test_nodes_may_be_texts_pairs_or_addresses() -> None:
    nodes: list[str | tuple[str, int]] = ["a", ("b", 1), Address("c", 2), "[::1]:3"]

    settings = RedisSettings(cluster={"nodes": nodes, "reads": "any"})

    assert settings.topology == "cluster"
    assert settings.cluster.nodes == (("a", 6379), ("b", 1), ("c", 2), ("::1", 3))


def test_an_ipv6_host_loses_its_brackets(environment: SetEnvironment) -> None:
    environment(REDIS_HOST="[fd00::1]")

    assert RedisSettings().host == "fd00::1"


def test_paths_may_be_path_objects(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()

    settings = RedisSettings(tls={"enabled": True, "ca_file": file})

    assert settings.tls.ca_file == str(file)
    assert RedisSettings(unix_socket=tmp_path / "s").unix_socket == str(tmp_path / "s")


def test_a_config_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="port"):
        RedisSettings(port=0)
    assert issubclass(RedisConfigError, ValueError)


def test_each_setting_knows_what_gave_it(environment: SetEnvironment) -> None:
    environment(
        REDIS_URL="redis://:secret@db/2", REDIS_PORT="7000", REDIS_SOCKET_TIMEOUT="3", REDIS_DB="5"
    )

    settings = RedisSettings(pool={"max_idle": 9})

    assert {path: settings.origin(path) for path in ("db", "port", "timeout.command")} == {
        "db": Origin(Source.URL, "REDIS_URL"),
        "port": Origin(Source.VARIABLE, "REDIS_PORT"),
        "timeout.command": Origin(Source.ALIAS, "REDIS_SOCKET_TIMEOUT"),
    }
    assert settings.origin("url") == Origin(Source.VARIABLE, "REDIS_URL")
    assert settings.origin("pool.max_idle").source is Source.ARGUMENT
    assert settings.origin("tls.ca_file") == Origin(Source.DEFAULT, "REDIS_TLS__CA_FILE")


def test_a_service_link_is_a_source_of_its_own(environment: SetEnvironment) -> None:
    environment(REDIS_SERVICE_HOST="10.0.0.5", REDIS_SERVICE_PORT="6380")

    assert RedisSettings().origin("port") == Origin(Source.SERVICE_LINK, "REDIS_SERVICE_PORT")
