"""Where commands of a Cluster go: to nodes that it knows, and to the ones that serve now."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import MovedError, RedisError

from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.client.cluster.router import Route
from redis_manager_fastapi.delivery.contract import Execution, Happened, Kind
from redis_manager_fastapi.testing.cluster import ClusterDeployment, move_slot
from tests.kit.clusters import PATIENT, keys_in, node_at
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import until


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A stranger: its port, and what was sent to it by whom ever."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(b"connected")
        while data := await reader.read(4096):
            heard.append(data)
            writer.write(b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


@pytest.mark.parametrize("word", ["MOVED", "ASK"])
async def test_a_redirect_to_a_stranger_is_not_followed(
    shared: ClusterDeployment, word: str
) -> None:
    """Row 65: no connection and no credentials there; a refresh first."""
    key = keys_in(shared.slots_of(0), 1)[0]
    async with listening() as (port, heard), opened(shared.url) as manager:
        r: Any = manager.cluster
        refreshes = r.session.opened.stats().refreshes
        script = f"return redis.error_reply('{word} {slot_of(key)} 127.0.0.1:{port}')"
        with pytest.raises(RedisError):
            await r.eval(script, 1, key)
        assert r.session.opened.stats().refreshes > refreshes
        for transaction in (False, True):
            pipe = r.pipeline(transaction=transaction).eval(script, 1, key)
            with pytest.raises(RedisError):
                await pipe.execute()
        with pytest.raises(RedisError):
            await r.on(r.get_nodes()[0]).eval(script, 1, key)
        assert await r.set(key, 1)
        await asyncio.sleep(0)

        assert not heard
        assert port not in {node.address.port for node in r.get_nodes()}


@needs("FUNCTION", redis="7.0")
async def test_after_a_manual_failover_commands_without_a_key_go_to_the_new_primary(
    deployment: ClusterDeployment,
) -> None:
    code = "#!lua name=lib{}\nredis.register_function('f{}', function() return 1 end)"
    async with opened(deployment.url) as manager:
        r: Any = manager.cluster
        await r.flushall()
        for index in range(3):
            await deployment.failover(deployment.replica_of(index))
        started = time.monotonic()
        await r.function_load(code.format(1, 1))
        assert await r.flushall()
        assert time.monotonic() - started < 2.0
        assert await r.wait(0, 10) is not None


async def test_a_command_for_every_primary_goes_to_the_heir_of_one_that_was_killed(
    deployment: ClusterDeployment,
) -> None:
    """It waits for the election, as a command with a key does."""
    async with opened(deployment.url, **PATIENT) as manager:
        r: Any = manager.cluster
        keys = [keys_in(deployment.slots_of(index), 1)[0] for index in range(3)]
        for key in keys:
            await r.set(key, key)
            assert await r.wait(1, 1000, target_nodes=r.get_node_from_key(key)) == 1
        killed, heir = deployment.primaries[0], deployment.replica_of(0)
        node = node_at(manager, killed)
        await killed.kill()
        await until(lambda: not node.serving)
        assert await r.flushall()
        for server in (heir, *deployment.primaries[1:]):
            assert await server.command("DBSIZE") == 0
        assert await r.publish("channel", "message") == 0
        assert await r.dbsize() == 0


async def test_an_idle_cluster_notices_a_manual_failover(deployment: ClusterDeployment) -> None:
    """Nobody sends a command, so no redirect tells; a newer epoch does."""
    async with opened(deployment.url) as manager:
        cluster: Any = manager.cluster.session.opened
        replica = deployment.replica_of(0)
        await deployment.failover(replica)
        await until(
            lambda: replica.port in {node.address.port for node in cluster.map.owners}, timeout=3.0
        )


@needs("an endpoint that is not an IP", redis="7.0")
@pytest.mark.parametrize("preferred", ["hostname", "unknown-endpoint"])
async def test_nodes_that_do_not_know_their_hosts_are_reached(
    steady: ClusterDeployment, preferred: str
) -> None:
    """They say `?`, or nothing, in CLUSTER SLOTS and in redirects."""
    for node in steady.nodes:
        await node.command("CONFIG SET", "cluster-preferred-endpoint-type", preferred)
    async with opened(steady.url) as manager:
        r: Any = manager.cluster
        for index in range(3):
            await r.set(keys_in(steady.slots_of(index), 1)[0], index)
        slot = steady.slots_of(0)[0]
        key = keys_in(range(slot, slot + 1), 1)[0]
        await move_slot(slot, steady.primaries[0], steady.primaries[1])
        await r.set(key, "moved")

        assert await steady.primaries[1].command("GET", key) == "moved"


@needs("sharded channels", redis="7.0")
async def test_a_channel_does_not_go_to_a_stranger(shared: ClusterDeployment) -> None:
    """Nor does a slot that is not its own."""
    name = keys_in(shared.slots_of(0), 1)[0]
    slot = slot_of(name)
    async with listening() as (port, heard), opened(shared.url) as manager:
        async with manager.subscribe(name, sharded=True):
            cluster: Any = manager.cluster.session.opened
            placement: Any = manager._subscriptions._placement
            pool = cluster.map.choose(slot).pool
            channel = next(iter(manager._subscriptions._channels.values()))
            other = cluster.map.choose(slot + 1).address
            refreshes = cluster.stats().refreshes
            for word in (f"{slot} 127.0.0.1:{port}", f"{16_384 + slot} {other}", f"1 {other}"):
                assert placement.redirect(channel, MovedError(word), pool)

            assert port not in {node.address.port for node in cluster.map.nodes}
            await until(lambda: cluster.stats().refreshes > refreshes)
        assert not heard


async def test_a_redirect_of_a_slot_that_there_is_not_is_only_an_error(
    shared: ClusterDeployment,
) -> None:
    async with opened(shared.url) as manager:
        cluster: Any = manager.cluster.session.opened
        route = Route(cluster, None, 0.0, Execution(Kind.WRITE, routed=True), None)
        for slot in (-1, 16_384):
            error = MovedError(f"{slot} {cluster.map.nodes[0].address}")
            assert route._happened(error) is Happened.FAILED
