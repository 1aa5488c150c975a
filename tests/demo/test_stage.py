"""What the demo does to its Redis, and how it is undone."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast
from urllib.parse import urlsplit

import pytest
from redis.exceptions import RedisError

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.demo.load import KEY
from redis_manager_fastapi.demo.stage import Stage
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import cluster_info
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.waiting import TICK, until

PATIENCE = 60.0
HITS = 10
KILLS = 10
MISSED = 500
SOONER = 4.0
"""Seconds that are fewer than an outage of five, and more than anything else takes."""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A Redis of the topology that a test asks for."""
    async with Stage.of(request.param) as made:
        yield made


def of(topology: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stage", [topology], indirect=True)


async def hit(manager: RedisManager) -> int:
    """Count a hit as soon as that is possible; return its number."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with manager.client() as redis:
                    return int(await redis.incr(KEY))
            except RedisError:
                await asyncio.sleep(TICK)


async def accepts(url: str) -> bool:
    """Whether one can connect."""
    at = urlsplit(url)
    try:
        _, writer = await asyncio.open_connection(at.hostname, at.port)
    except OSError:
        return False
    writer.close()
    return True


def wrong(stage: Stage) -> str:
    """What the page says of the only server."""
    return str(stage.report()["members"]["server"])


async def owners(server: RedisServer) -> dict[int, int]:
    """The port of each slot's primary, in one look."""
    slots = await server.command("CLUSTER", "SLOTS")
    return {slot: port for a, b, (_, port, *_), *_ in slots for slot in range(a, b + 1)}


@pytest.mark.parametrize(("stage", "kills"), [("sentinel", 3), ("cluster", 2)], indirect=["stage"])
async def test_restore_brings_back_what_the_last_primary_had(stage: Stage, kills: int) -> None:
    """A primary that died before it comes back later, and with old data takes nothing over."""
    numbers: list[int] = []
    async with RedisManager(stage.url) as manager:
        for _ in range(kills):
            numbers = [await hit(manager) for _ in range(HITS)]
            await stage.do("kill")
        await stage.do("restart")
        numbers.append(await hit(manager))

    assert all(stage.alive().values())
    assert numbers == list(range(numbers[0], numbers[0] + HITS + 1))


@of("sentinel")
@pytest.mark.parametrize("kills", [1, 2])
async def test_what_is_promoted_has_all_that_was_confirmed(stage: Stage, kills: int) -> None:
    """What is back has missed what its successor confirmed meanwhile, and may be promoted."""
    sentinels = cast("SentinelDeployment", stage.redis)
    async with RedisManager(stage.url) as manager:
        confirmed = await hit(manager)
        for _ in range(kills):
            old = await sentinels.primary()
            await stage.do("kill")
            await sentinels.elected(old)
            confirmed = [await hit(manager) for _ in range(MISSED)][-1]
        await stage.do("restart")
        old = await sentinels.primary()
        await stage.do("failover")

        assert stage.report()["failure"] == ""
        await sentinels.elected(old)
        assert await hit(manager) == confirmed + 1


@of("cluster")
async def test_a_cluster_that_was_restored_serves_on_every_node(stage: Stage) -> None:
    await stage.do("kill")
    await stage.do("restart")
    states = [await cluster_info(each) for each in stage.members.values()]

    assert {each["cluster_state"] for each in states} == {"ok"}
    assert stage.report()["failure"] == ""


@of("standalone")
async def test_restore_cuts_an_outage_short(stage: Stage) -> None:
    stage.begin("outage_5")
    await until(lambda: not stage.alive()["server"])

    async with asyncio.timeout(SOONER):
        await stage.do("restart")

    assert stage.alive()["server"]
    assert stage.report()["doing"] == ""


@of("standalone")
async def test_nothing_waits_for_its_turn(stage: Stage) -> None:
    """What is pressed while something is being done is not done later."""
    begun = stage.begin("outage_1")
    again, other = stage.begin("outage_1"), stage.begin("kill")
    doing = stage.report()["doing"]
    await stage.do("restart")

    assert (begun, again, other, doing) == (True, False, False, "outage_1")
    assert stage.alive()["server"]


@of("standalone")
async def test_what_is_gone_refuses(stage: Stage) -> None:
    """No connection to a server that is away is accepted, and then closed without a word."""
    accepted = 0
    for act in ("kill", "restart") * KILLS:
        stage.begin(act)
        while stage.report()["doing"]:
            away = not stage.alive()["server"]
            accepted += await accepts(stage.url) and away and not stage.alive()["server"]
            await asyncio.sleep(0)

    assert accepted == 0


@of("standalone")
async def test_what_is_wrong_with_a_process_is_said(stage: Stage) -> None:
    said = {}
    for act in ("pause", "cut", "fill", "slow", "kill"):
        await stage.do(act)
        said[act] = wrong(stage)
        await stage.do("restart")

        assert wrong(stage) == ""
    assert said == {
        "pause": "Frozen",
        "cut": "Cut off",
        "fill": "Full",
        "slow": "Slow",
        "kill": "Down",
    }


async def takes_clients(server: RedisServer) -> bool:
    """Whether one more may look, beside those that are there."""
    async with server.client() as one, server.client() as another:
        return bool(await one.ping() and await another.ping())


@of("standalone")
@pytest.mark.parametrize("fault", ["pause", "cut", "kill"])
async def test_what_does_not_answer_is_not_filled(stage: Stage, fault: str) -> None:
    await stage.do(fault)
    begun, refusal = stage.begin("fill"), stage.refusal("fill")
    await stage.do("restart")

    assert not begun
    assert refusal.startswith("Fill it up: ")
    assert stage.report()["failure"] == ""
    assert await takes_clients(stage.members["server"])


@of("standalone")
@pytest.mark.parametrize("presses", [1, 2])
async def test_restore_ends_a_fill_that_was_not_confirmed(stage: Stage, presses: int) -> None:
    """The server hangs, and does it when it goes on; others then have every place there is."""
    server = stage.members["server"]
    async with server.client() as other:
        await other.ping()
        server.pause()
        for _ in range(presses):
            await stage.do("fill")
        unconfirmed = stage.report()
        await stage.do("restart")

        assert unconfirmed["failure"] == "Fill it up: the server does not answer"
        assert unconfirmed["broken"] == []
        assert unconfirmed["members"] == {"server": ""}
        assert await takes_clients(server)
    assert stage.report()["failure"] == ""


@of("standalone")
async def test_what_is_down_cannot_be_killed(stage: Stage) -> None:
    await stage.do("kill")
    await stage.do("kill")

    assert stage.report()["failure"] == "Kill: no server runs"


@of("cluster")
async def test_the_visitors_slot_moves_last(stage: Stage) -> None:
    """Whoever is sent elsewhere for it looks at the slots once, and sees all that have moved."""
    node = stage.members["primary 1"]
    before = await owners(node)
    slot = await node.command("CLUSTER", "KEYSLOT", KEY)

    stage.begin("move")
    async with asyncio.timeout(PATIENCE):
        while (now := await owners(node))[slot] == before[slot]:  # noqa: ASYNC110
            await asyncio.sleep(0)

    assert [each for each in before if now[each] != before[each]] == list(range(slot, slot + 50))
    await stage.do("restart")
