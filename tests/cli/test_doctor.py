"""`doctor` where it works, where it soon will not, and with Sentinels and Clusters."""

import pytest

from redis_manager_fastapi.cli.exits import Exit
from redis_manager_fastapi.cli.reach import STEPS as REACH
from redis_manager_fastapi.cli.server import STEPS as SERVER
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.command_line import Ended, run
from tests.kit.servers import needs


def outcomes(ended: Ended) -> dict[str, str]:
    """Return how each step of `doctor --json` ended; of several of a name, the last."""
    return {each["step"]: each["outcome"] for each in ended.document["steps"]}


async def test_every_step_of_a_sound_set_up_is_taken(redis_server: RedisServer) -> None:
    ended = await run("doctor", "--json", REDIS_URL=redis_server.url)

    found = outcomes(ended)
    assert found.keys() == {"settings", *REACH, *SERVER}
    assert {step for step, outcome in found.items() if outcome != "ok"} <= {"tls", "acl"}
    assert (ended.code, ended.document["ok"]) == (Exit.OK, True)
    assert ended.document["first"] == "All is well: nothing to do."
    assert ended.step("latency")["facts"]["pings"] == 20


async def test_a_person_reads_80_columns_without_colours(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("/0", "/99")
    ended = await run("doctor", REDIS_URL=url)

    assert "\x1b" not in ended.out
    assert ended.out.isascii()
    assert max(map(len, ended.out.splitlines())) <= 80
    assert [line for line in ended.out.splitlines() if line != line.rstrip()] == []
    assert ended.out.splitlines()[-1].startswith("First: set the database in REDIS_URL")
    assert ended.code == Exit.SETTINGS


@pytest.mark.parametrize("protocol", ["2", "3"])
@needs("RESP3", redis="6.0")
async def test_either_protocol(redis_server: RedisServer, protocol: str) -> None:
    variables = {"REDIS_URL": redis_server.url, "REDIS_PROTOCOL": protocol}
    ended = await run("doctor", "--json", "--pings", "3", **variables)

    assert ended.code == Exit.OK, ended.out
    assert f"RESP{protocol}" in ended.step("connect")["said"]
    assert ended.step("server")["outcome"] == "ok"


@needs("ACL", redis="6.0")
async def test_rights_are_found_without_running_anything() -> None:
    user = "app on >secret ~* &* +@all -set -del"
    if not await _has_channels():
        user = "app on >secret ~* +@all -set -del"
    async with RedisServer({"user": user}) as server:
        url = server.url.replace("//", "//app:secret@")
        ended = await run("doctor", "--json", REDIS_URL=url)
        keys = await server.command("DBSIZE")

    acl = ended.step("acl")
    assert acl["facts"] == {"user": "app", "forbidden": ["SET", "DEL"]}
    assert "ACL SETUSER app +set +del" in acl["fix"]
    assert ended.document["first"].startswith("It works. Before it does not: ")
    assert (ended.code, keys) == (Exit.OK, 0)


async def _has_channels() -> bool:
    """Whether users' rights name channels: since 6.2."""
    async with RedisServer() as server:
        return (await server.version()).number >= (6, 2)


@needs("ACL", redis="6.0")
async def test_a_user_who_may_do_next_to_nothing() -> None:
    """What may not be asked is skipped, with the reason; the rest is found."""
    async with RedisServer({"user": "app on >secret ~* +ping"}) as server:
        url = server.url.replace("//", "//app:secret@")
        ended = await run("doctor", "--json", REDIS_URL=url)

    found = outcomes(ended)
    assert (found["auth"], found["acl"], found["latency"]) == ("ok", "warn", "ok")
    assert found["role"] == found["version"] == found["server"] == "skipped"
    assert ended.code == Exit.OK


@pytest.mark.usefixtures("pipelining")
async def test_warnings_before_the_outage(redis_server: RedisServer) -> None:
    await redis_server.config_set("maxclients", 60)
    await redis_server.config_set("timeout", 60)
    await redis_server.config_set("maxmemory", "1gb")
    await redis_server.config_set("maxmemory-policy", "allkeys-lru")
    ended = await run("doctor", "--json", "--workers", "4", REDIS_URL=redis_server.url)

    clients = ended.step("clients")
    assert clients["outcome"] == "warn"
    assert (clients["facts"]["wanted"], clients["facts"]["maxclients"]) == (4 * 30, 60)
    assert "raise maxclients above 120, or lower REDIS_POOL__MAX_CONNECTIONS" in clients["fix"]
    assert "set REDIS_POOL__MAX_IDLE below 60" in ended.step("server")["fix"]
    assert "right for a cache, not for a queue" in ended.step("eviction")["said"]
    assert ended.code == Exit.OK


async def test_a_full_memory(redis_server: RedisServer) -> None:
    await redis_server.config_set("maxmemory", 1000)
    ended = await run("doctor", "--json", REDIS_URL=redis_server.url)

    assert ended.failed == ["eviction"]
    assert "raise maxmemory" in ended.document["first"]
    assert ended.code == Exit.UNREACHABLE


async def test_odd_variables_are_told(redis_server: RedisServer) -> None:
    variables = {"REDIS_HOST": "elsewhere", "REDIS_POOL__MAX_IDEL": "3"}
    ended = await run("doctor", REDIS_URL=redis_server.url, **variables)

    said = " ".join(ended.out.split())
    assert "REDIS_HOST is set and has no effect; REDIS_URL goes first" in said
    assert "the nearest known name is REDIS_POOL__MAX_IDLE" in said
    assert ended.code == Exit.OK


async def test_a_socket_that_is_not_there() -> None:
    ended = await run("doctor", "--json", REDIS_UNIX_SOCKET="/nowhere/redis.sock")

    assert ended.failed == ["answer"]
    assert "correct REDIS_UNIX_SOCKET" in ended.document["first"]
    assert ended.code == Exit.UNREACHABLE


async def test_a_unix_socket() -> None:
    async with RedisServer(unix_socket=True) as server:
        ended = await run("doctor", "--json", REDIS_URL=server.unix_url)

    assert outcomes(ended)["connect"] == "ok"
    assert ended.code == Exit.OK


async def test_sentinels_and_the_primary_that_they_name() -> None:
    async with SentinelDeployment(replicas=1) as deployment:
        ended = await run("doctor", "--json", REDIS_URL=deployment.url)
        primary = deployment.servers[0]
        await deployment.sentinels[0].kill()
        one_down = await run("doctor", "--json", REDIS_URL=deployment.url)
        wrong = await run("doctor", "--json", REDIS_URL=deployment.url + "-other")

    sentinels = [each for each in ended.document["steps"] if each["step"] == "sentinel"]
    assert [each["facts"]["primary"] for each in sentinels] == [f"127.0.0.1:{primary.port}"] * 3
    assert ended.step("quorum")["facts"] == {"quorum": 2, "sentinels": 3, "answered": 3}
    assert (ended.code, outcomes(ended)["role"]) == (Exit.OK, "ok")
    assert one_down.step("sentinel")["outcome"] == "warn"
    assert one_down.step("quorum")["facts"]["answered"] == 2
    assert one_down.code == Exit.OK
    assert "knows no service 'mymaster-other'" in " ".join(
        each["said"] for each in wrong.document["steps"]
    )


async def test_no_sentinel_answers() -> None:
    ended = await run("doctor", "--json", REDIS_URL="redis+sentinel://127.0.0.1:1/0/mymaster")

    assert ended.failed == ["sentinel"]
    assert "correct the hosts in REDIS_URL" in ended.document["first"]
    assert ended.code == Exit.UNREACHABLE


@needs("CLUSTER SHARDS", redis="7.0")
async def test_nodes_of_a_cluster_and_lost_slots() -> None:
    async with ClusterDeployment(replicas=0) as deployment:
        ended = await run("doctor", "--json", REDIS_URL=deployment.url)
        lost = deployment.primaries[2]
        await lost.kill()
        broken = await run("doctor", "--json", REDIS_URL=deployment.url)

    nodes = [each for each in ended.document["steps"] if each["step"] == "node"]
    assert sum(each["facts"]["slots"] for each in nodes) == 16_384
    assert ended.step("cluster")["outcome"] == "ok"
    assert ended.code == Exit.OK
    assert f"start 127.0.0.1:{lost.port}" in broken.document["first"]
    assert broken.code == Exit.UNREACHABLE


async def test_a_single_server_given_as_a_cluster(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("redis://", "redis+cluster://").removesuffix("/0")
    ended = await run("doctor", "--json", REDIS_URL=url)

    assert "cluster" in ended.failed
    assert ended.code == Exit.SETTINGS
