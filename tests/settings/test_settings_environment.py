"""Other people's variables: Kubernetes, the official SDK, typing mistakes."""

from collections.abc import Callable

import pytest

from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.settings import Address, RedisSettings

SetEnvironment = Callable[..., None]

SERVICE_LINKS = {
    "REDIS_SERVICE_HOST": "10.0.0.5",
    "REDIS_SERVICE_PORT": "6380",
    "REDIS_SERVICE_PORT_TCP_REDIS": "6380",
    "REDIS_PORT": "tcp://10.0.0.5:6380",
    "REDIS_PORT_6380_TCP": "tcp://10.0.0.5:6380",
    "REDIS_PORT_6380_TCP_PROTO": "tcp",
    "REDIS_PORT_6380_TCP_PORT": "6380",
    "REDIS_PORT_6380_TCP_ADDR": "10.0.0.5",
    "REDIS_MASTER_SERVICE_HOST": "10.0.0.6",
    "REDIS_MASTER_PORT": "tcp://10.0.0.6:6379",
    "REDIS_MASTER_PORT_6379_TCP_ADDR": "10.0.0.6",
}


def test_service_links_say_where_redis_is(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    environment(**SERVICE_LINKS)

    settings = RedisSettings()

    assert (settings.host, settings.port) == ("10.0.0.5", 6380)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"REDIS_PORT": "tcp://10.0.0.5:6380"}, ("10.0.0.5", 6380)),
        ({"REDIS_PORT": "tcp://[fd00::1]:6380"}, ("fd00::1", 6380)),
        ({"REDIS_SERVICE_HOST": "10.0.0.5", "REDIS_SERVICE_PORT": "7"}, ("10.0.0.5", 7)),
        ({"REDIS_SERVICE_HOST": "10.0.0.5"}, ("10.0.0.5", 6379)),
        ({"REDIS_SERVICE_HOST": "10.0.0.5", "REDIS_PORT": "8"}, ("10.0.0.5", 8)),
    ],
)
def test_each_kind_of_link_is_enough(
    environment: SetEnvironment, variables: dict[str, str], address: tuple[str, int]
) -> None:
    environment(**variables)

    settings = RedisSettings()

    assert (settings.host, settings.port) == address


@pytest.mark.parametrize(
    "stronger",
    [{"REDIS_HOST": "db"}, {"REDIS_URL": "redis://db"}],
)
def test_links_are_only_a_fallback(environment: SetEnvironment, stronger: dict[str, str]) -> None:
    environment(**SERVICE_LINKS, **stronger)

    settings = RedisSettings()

    assert (settings.host, settings.port) == ("db", 6379)


def test_links_do_not_disturb_another_place(environment: SetEnvironment) -> None:
    environment(**SERVICE_LINKS)

    assert RedisSettings(unix_socket="/run/r.sock").host == "localhost"
    assert RedisSettings(cluster={"nodes": "a"}).topology == "cluster"


def test_sdk_connection_names_are_aliases(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    environment(
        REDIS_SSL="true",
        REDIS_SSL_CA_CERTS=__file__,
        REDIS_SSL_CERTFILE=__file__,
        REDIS_SSL_KEYFILE=__file__,
        REDIS_SSL_CERT_REQS="required",
        REDIS_SSL_CHECK_HOSTNAME="false",
        REDIS_MAX_CONNECTIONS="50",
        REDIS_SOCKET_TIMEOUT="4",
        REDIS_SOCKET_CONNECT_TIMEOUT="3",
    )

    settings = RedisSettings()

    assert settings.tls.model_dump() == {
        "enabled": True,
        "ca_file": __file__,
        "cert_file": __file__,
        "key_file": __file__,
        "verify": "ca",
    }
    assert settings.pool.max_connections == 50
    assert (settings.timeout.command, settings.timeout.connect) == (4.0, 3.0)
    assert caplog.messages == []


def test_our_own_name_beats_its_alias(environment: SetEnvironment) -> None:
    environment(
        REDIS_MAX_CONNECTIONS="50",
        REDIS_POOL__MAX_CONNECTIONS="5",
        REDIS_SSL_CERT_REQS="none",
        REDIS_TLS__VERIFY="ca",
    )

    settings = RedisSettings()

    assert (settings.pool.max_connections, settings.tls.verify) == (5, "ca")


def test_the_sdk_s_switch_without_nodes_is_one_mistake(environment: SetEnvironment) -> None:
    environment(REDIS_SENTINEL="true")

    with pytest.raises(RedisConfigError) as raised:
        RedisSettings()
    assert str(raised.value).splitlines() == [
        "sentinel.nodes (REDIS_SENTINEL) is on, but no nodes are given;"
        " set REDIS_SENTINEL__NODES, or set REDIS_SENTINEL=false."
    ]


def test_sdk_sentinel_names_find_the_primary_and_ignore_the_host(
    environment: SetEnvironment,
) -> None:
    environment(
        REDIS_SENTINEL="true",
        REDIS_SENTINEL_NODES="a,b:5",
        REDIS_SENTINEL_USERNAME="u",
        REDIS_SENTINEL_PASSWORD="p",
        REDIS_HOST="ignored",
    )

    sentinel = RedisSettings().sentinel

    assert sentinel.nodes == (Address("a", 26379), Address("b", 5))
    assert (sentinel.service, sentinel.username) == ("mymaster", "u")
    assert sentinel.password is not None
    assert sentinel.password.get_secret_value() == "p"


def test_sdk_sentinel_names_work_without_the_flag(environment: SetEnvironment) -> None:
    environment(REDIS_SENTINEL_NODES="a", REDIS_SENTINEL_MASTER_NAME="main")

    settings = RedisSettings()

    assert (settings.topology, settings.sentinel.service) == ("sentinel", "main")


def test_sdk_sentinel_flag_off_means_off(environment: SetEnvironment) -> None:
    environment(REDIS_SENTINEL="false", REDIS_SENTINEL_NODES="a", REDIS_HOST="db")

    settings = RedisSettings()

    assert (settings.topology, settings.host) == ("standalone", "db")


def test_sdk_cluster_flag_makes_the_host_a_node(environment: SetEnvironment) -> None:
    environment(REDIS_CLUSTER="true", REDIS_URL="redis://db:7000", REDIS_CLUSTER__READS="any")

    cluster = RedisSettings().cluster

    assert (cluster.nodes, cluster.reads) == ((Address("db", 7000),), "any")


def test_sdk_cluster_flag_agrees_with_nodes(environment: SetEnvironment) -> None:
    environment(REDIS_CLUSTER="true", REDIS_CLUSTER__NODES="a,b")

    assert [node.host for node in RedisSettings().cluster.nodes] == ["a", "b"]


def test_a_clusters_flag_and_a_link_work_together(environment: SetEnvironment) -> None:
    environment(**SERVICE_LINKS, REDIS_CLUSTER="true")

    assert RedisSettings().cluster.nodes == (Address("10.0.0.5", 6380),)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("REDIS_HOSST", "REDIS_HOST"),
        ("REDIS_POOL__MAX_CONECTIONS", "REDIS_POOL__MAX_CONNECTIONS"),
        ("REDIS_POOL_MAX_CONNECTIONS", "REDIS_POOL__MAX_CONNECTIONS"),
        ("REDIS_TLS_ENABLED", "REDIS_TLS__ENABLED"),
        ("REDIS_USER", "REDIS_USERNAME"),
        ("REDIS_OUTAGE_GRACE", "REDIS_OUTAGE__GRACE"),
    ],
)
def test_unknown_name_gets_one_warning_with_the_nearest(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture, name: str, nearest: str
) -> None:
    environment(**{name: "hunter2"})

    RedisSettings()

    (record,) = caplog.records
    assert record.name == "redis_manager_fastapi"
    assert record.getMessage() == (
        f"{name} is not a setting and has no effect; the nearest known name is {nearest}"
    )


def test_a_name_near_to_nothing_is_still_warned_about(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    environment(REDIS_QQQQQQ="1")

    RedisSettings()

    assert caplog.messages == [
        "REDIS_QQQQQQ is not a setting and has no effect; it resembles no known name"
    ]


def test_names_of_others_are_not_warned_about(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    environment(
        REDIS_CACHE_URL="redis://x",
        REDIS_CACHE_POOL__MAX_CONNECTIONS="1",
        REDIS_USER_CACHE_PASSWORD="x",
        REDIS_PREFIX="app",
        REDIS_SESSION_IDLE_TTL="3",
        REDIS_RATE_LIMIT_FAIL_CLOSED="true",
        UNRELATED="1",
    )

    RedisSettings()

    assert caplog.messages == []


def test_the_environment_without_a_prefix_is_not_warned_about(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    environment(HOST="db")

    assert RedisSettings(_env_prefix="").host == "db"
    assert caplog.messages == []


def test_a_warning_does_not_hide_an_error(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    environment(REDIS_HOSST="x", REDIS_PORT="x")

    with pytest.raises(RedisConfigError):
        RedisSettings()

    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("beside", "names"),
    [
        ({"REDIS_HOST": "other"}, ["REDIS_HOST"]),
        ({"REDIS_HOST": "cache", "REDIS_PORT": "6379"}, []),
        ({"REDIS_PORT": "7000", "REDIS_DB": "3"}, ["REDIS_DB", "REDIS_PORT"]),
        ({"REDIS_PASSWORD": "other"}, ["REDIS_PASSWORD"]),
        ({"REDIS_PASSWORD": "secret", "REDIS_TIMEOUT__CONNECT": "3"}, []),
        ({"REDIS_PORT": "tcp://10.0.0.5:6379", "REDIS_SERVICE_HOST": "10.0.0.5"}, []),
    ],
)
def test_what_a_url_overrules_is_warned_about(
    environment: SetEnvironment,
    caplog: pytest.LogCaptureFixture,
    beside: dict[str, str],
    names: list[str],
) -> None:
    environment(REDIS_URL="redis://:secret@cache:6379/0", **beside)

    settings = RedisSettings()

    assert settings.host == "cache"
    assert caplog.messages == [
        f"{name} is set and has no effect; REDIS_URL goes first" for name in names
    ]


def test_what_code_overrules_is_not_warned_about(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    """Who gives a URL in code means that one, and other managers may be the environment's."""
    environment(REDIS_HOST="other")

    assert RedisSettings(url="redis://cache").host == "cache"
    assert caplog.messages == []
