"""Where redis-py's code looks for protocol, shapes and decoding, it finds the client's."""

from typing import Any

import pytest
import redis.asyncio
from redis.commands.helpers import get_legacy_responses, get_protocol_version
from redis.maint_notifications import MaintNotificationsConfig

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.managers import opened
from tests.kit.servers import needs

PROTOCOLS = [2, pytest.param(3, marks=needs("RESP3 (HELLO)", redis="6.0"))]

MODULES = ["json", "ft", "ts", "bf", "cf", "cms", "topk", "tdigest", "vset"]

BLOOM = {
    "Capacity": 100,
    "Size": 240,
    "Number of filters": 1,
    "Number of items inserted": 0,
    "Expansion rate": 2,
}

# Replies as they come at RESP2, and at RESP3, to commands whose shape differs.
REPLIES: dict[str, dict[int, tuple[Any, dict[str, Any]]]] = {
    "JSON.TYPE": {2: (["integer"], {}), 3: ([["integer"]], {})},
    "JSON.NUMINCRBY": {2: ("[2]", {}), 3: ([2], {})},
    "TDIGEST.QUANTILE": {2: (["1.5", "nan"], {}), 3: ([1.5, 2.5], {})},
    "BF.INFO": {2: ([part for pair in BLOOM.items() for part in pair], {}), 3: (BLOOM, {})},
    "TS.GET": {2: ([1, "2.5"], {}), 3: ([1, 2.5], {})},
    "VSIM": {
        2: (["a", "0.5"], {"with_scores": True}),
        3: ({"a": 0.5}, {"with_scores": True, "resp3": True}),
    },
}


def plain_client(protocol: Any, *, decode: bool = True) -> Any:
    """redis-py's own, which is never connected."""
    return redis.asyncio.RedisCluster(
        "127.0.0.1",
        1,
        protocol=protocol,
        decode_responses=decode,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


def made_of(reply: Any, client: Any, name: str, options: dict[str, Any]) -> Any:
    """The value that a client makes of a reply; of an object its attributes."""
    callback = client.response_callbacks.get(name)
    value = reply if callback is None else callback(reply, **options)
    return getattr(value, "__dict__", value)


@pytest.mark.parametrize("protocol", [2, 3])
def test_protocol_and_shapes_are_known_before_the_manager_opens(protocol: Any) -> None:
    client = RedisManager(url="redis+cluster://127.0.0.1:1", protocol=protocol).cluster

    assert get_protocol_version(client) == protocol
    assert get_legacy_responses(client) is True


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode", [True, False])
def test_each_client_s_decoding_is_its_own(protocol: Any, decode: bool) -> None:
    client: Any = RedisManager(url="redis+cluster://127.0.0.1:1", protocol=protocol).cluster
    other = client.with_options(decode_responses=decode)

    for each in (other, other.scoped(None)):
        assert each.nodes_manager.connection_kwargs["decode_responses"] is decode
        assert each.get_connection_kwargs()["decode_responses"] is decode
    assert client.nodes_manager.connection_kwargs["decode_responses"] is True


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_of_modules_become_what_redis_py_makes_of_them(protocol: Any) -> None:
    ours: Any = RedisManager(url="redis+cluster://127.0.0.1:1", protocol=protocol).cluster
    plain = plain_client(protocol)
    for module in MODULES:
        getattr(ours, module)()
        getattr(plain, module)()

    assert ours.response_callbacks.keys() == plain.response_callbacks.keys()
    for name, replies in REPLIES.items():
        reply, options = replies[protocol]
        values = [made_of(reply, client, name, options) for client in (ours, plain)]
        assert values[0] == values[1]


@pytest.mark.parametrize("decode", [True, False])
async def test_a_raw_embedding_is_asked_for_as_redis_py_asks(decode: bool) -> None:
    """It decides by the client's decoding whether its parser may decode."""
    sent = []
    for client in (
        RedisManager(url="redis+cluster://127.0.0.1:1", decode_responses=decode).cluster,
        plain_client(2, decode=decode),
    ):
        vset: Any = client.vset()
        vset.execute_command = lambda *args, **options: sent.append((args, options))
        vset.vemb("v", "a", raw=True)

    assert sent[0] == sent[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_slow_commands_on_binary_keys_can_be_read_by_a_client_that_decodes(
    shared: ClusterDeployment, protocol: Any
) -> None:
    async with opened(shared.url, protocol=protocol, decode_responses=False) as manager:
        node = manager.cluster.get_node_from_key("binary")
        alone = manager.cluster.on(node)
        await alone.config_set("slowlog-log-slower-than", 0)
        try:
            await manager.cluster.set(b"\xff{binary}", b"\xfe")
            client = manager.cluster.with_options(decode_responses=True)
            entries = await client.slowlog_get(target_nodes=node)
        finally:
            await alone.config_set("slowlog-log-slower-than", 10_000)

        assert any(b"\xff{binary}" in entry["command"] for entry in entries)


@pytest.mark.filterwarnings("ignore:Call to experimental method")
async def test_fieldsets_are_declared_for_the_connections_that_use_them(
    shared: ClusterDeployment,
) -> None:
    async with opened(shared.url) as manager:
        client = manager.cluster
        await client.himport_prepare("people", ["name"])

        node = client.get_default_node()
        assert client.on(node).connection_pool.himport_registry is client.himport_registry
