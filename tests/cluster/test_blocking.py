"""Blocking commands whose slot moves, or whose primary is demoted or lost, while they wait."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing.cluster import (
    ClusterDeployment,
    begin_move,
    end_move,
    migrate,
    move_slot,
    node_id,
)
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.clusters import PATIENT, keys_in
from tests.kit.lag import TICK, LagMeter
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import eventually, until

SLOT = 7
SLACK = 0.25
Disturbance = Callable[[ClusterDeployment], Any]


async def move(deployment: ClusterDeployment) -> None:
    await move_slot(SLOT, deployment.primaries[0], deployment.primaries[1])


async def demote(deployment: ClusterDeployment) -> None:
    await deployment.failover(deployment.replica_of(0))


async def lose(deployment: ClusterDeployment) -> None:
    await deployment.primaries[0].kill()
    await deployment.replica_of(0).command("CLUSTER FAILOVER", "TAKEOVER")


# Before it, a server that a client blocks on hangs for all of the five seconds that it may take.
FAIL_OVER = needs("a fail-over under a command that blocks", redis="6.2")


@pytest.mark.parametrize("disturb", [move, pytest.param(demote, marks=FAIL_OVER)])
@pytest.mark.parametrize("wait", [5, 0], ids=["limited", "for ever"])
async def test_a_command_that_blocked_longer_than_the_timeout_goes_on_elsewhere(
    deployment: ClusterDeployment, disturb: Disturbance, wait: int
) -> None:
    (queue,) = keys_in(range(SLOT, SLOT + 1), 1)

    async with opened(deployment.url, timeout={"command": 0.5}) as manager:
        popped = asyncio.ensure_future(manager.redis.blpop([queue], timeout=wait))
        await until(lambda: manager.stats().leased == 1)
        await asyncio.sleep(0.7)
        await disturb(deployment)
        assert not popped.done()
        await manager.cluster.with_options(timeout=5).rpush(queue, "item")
        assert await popped == (queue, "item")


async def blocks(server: RedisServer) -> bool:
    info = await server.command("INFO", "clients")
    return int(info["blocked_clients"]) == 1


async def move_then_add(deployment: ClusterDeployment, stream: str) -> str:
    """Add an entry where the slot is now, before the node that had it knows."""
    source, target = deployment.primaries[:2]
    async with source.client() as old, target.client() as new:
        names = await node_id(source), await node_id(target)
        await begin_move(SLOT, old, new, names)
        await migrate(old, target, [stream])
        added = await at_once(new, ("CLUSTER", "SETSLOT", SLOT, "NODE", names[1]), stream)
        await end_move(SLOT, old, new, names)
    return added


async def demote_then_add(deployment: ClusterDeployment, stream: str) -> str:
    async with deployment.replica_of(0).client() as heir:
        return await at_once(heir, ("CLUSTER", "FAILOVER", "TAKEOVER"), stream)


async def lose_then_add(deployment: ClusterDeployment, stream: str) -> str:
    await deployment.primaries[0].kill()
    return await demote_then_add(deployment, stream)


async def at_once(node: Any, take: tuple[Any, ...], stream: str) -> str:
    """Have a node take over and add an entry in one go: nobody learns of it in between."""
    pipe = node.pipeline(transaction=False)
    pipe.execute_command(*take)
    pipe.xadd(stream, {"f": "new"})
    _, added = await pipe.execute()
    return str(added)


@pytest.mark.parametrize(
    "disturb", [move_then_add, pytest.param(demote_then_add, marks=FAIL_OVER), lose_then_add]
)
async def test_xread_from_the_end_skips_nothing_that_comes_while_it_goes_elsewhere(
    steady: ClusterDeployment, disturb: Callable[[ClusterDeployment, str], Any]
) -> None:
    """It goes on from the last id that was there when it began."""
    (stream,) = keys_in(range(SLOT, SLOT + 1), 1)

    async with opened(steady.url, **PATIENT) as manager:
        await manager.redis.xadd(stream, {"f": "old"})
        await steady.replicated()
        reading = asyncio.ensure_future(manager.redis.xread({stream: "$"}, block=0))
        await eventually(lambda: blocks(steady.primaries[0]))
        added = await disturb(steady, stream)
        assert await asyncio.wait_for(reading, 5) == [[stream, [(added, {"f": "new"})]]]


async def test_xread_from_the_end_waits_where_a_slot_is_being_moved_to(
    steady: ClusterDeployment,
) -> None:
    """ASKING holds for one command, and the last id is looked up by another."""
    (stream,) = keys_in(range(SLOT, SLOT + 1), 1)
    source, target = steady.primaries[:2]

    async with opened(steady.url, **PATIENT) as manager:
        async with source.client() as old, target.client() as new:
            await begin_move(SLOT, old, new, (await node_id(source), await node_id(target)))
        reading = asyncio.ensure_future(manager.redis.xread({stream: "$"}, block=0))
        await eventually(lambda: blocks(target))
        added = await manager.redis.xadd(stream, {"f": "new"})
        assert await asyncio.wait_for(reading, 5) == [[stream, [(added, {"f": "new"})]]]


def pop(manager: RedisManager, key: str) -> Any:
    return manager.redis.blpop([key], timeout=3)


def read(manager: RedisManager, key: str) -> Any:
    """What is sent again when a connection is lost that it was sent on."""
    return manager.redis.xread({key: "0"}, block=3000)


@pytest.mark.parametrize(
    ("block", "disturb"),
    [(pop, move), pytest.param(pop, demote, marks=FAIL_OVER), (read, lose)],
)
async def test_a_command_that_goes_on_elsewhere_has_no_more_time_than_before(
    steady: ClusterDeployment, block: Callable[[RedisManager, str], Any], disturb: Disturbance
) -> None:
    """Its own three seconds and the client's one; it has waited for most of them already."""
    (key,) = keys_in(range(SLOT, SLOT + 1), 1)
    lag, clock = LagMeter(), asyncio.get_running_loop().time

    limits: Any = {"timeout": {"command": 1.0}, "outage": {"grace": 10.0}}
    async with opened(steady.url, **limits) as manager:
        began = clock()
        blocked = asyncio.ensure_future(block(manager, key))
        await until(lambda: manager.stats().leased == 1)
        await asyncio.sleep(began + 2.2 - clock())
        await disturb(steady)
        assert not await blocked
        ended = clock()
        await asyncio.sleep(3 * TICK)
        lag.stop()
        assert manager.stats().retried >= 1

    assert 3.0 - SLACK < ended - began < 3.0 + 1.0 + SLACK + lag.within(began, ended)


@pytest.mark.parametrize("time", [-10, float("nan"), 10**400], ids=["negative", "NaN", "huge"])
async def test_a_time_that_no_server_takes_is_refused_by_the_server(
    shared: ClusterDeployment, time: Any
) -> None:
    async with opened(shared.url) as manager:
        with pytest.raises(ResponseError, match="timeout"):
            await manager.redis.blpop(["queue"], timeout=time)
        with pytest.raises(ResponseError, match="timeout"):
            await manager.redis.wait(1, time)
