"""A fail-over that a pool has asked about before it is told of it."""

from contextlib import AsyncExitStack
from typing import Any

from redis_manager_fastapi import PoolState
from redis_manager_fastapi.testing import FaultProxy
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.grounds import leading
from tests.kit.managers import opened, pool_of, until_state
from tests.kit.waiting import until

FAR: dict[str, Any] = {"timeout": {"connect": 5.0, "command": 10.0}, "outage": {"grace": 10.0}}


async def test_frozen_primary_that_goes_on_before_the_new_one_is_reached_is_left() -> None:
    """A Sentinel names the new one before it tells of the fail-over, so that is no news then."""
    async with AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(SentinelDeployment(sentinels=1))
        old, *replicas = deployment.servers
        ports: dict[int, int] = {}
        for each in replicas:
            proxy = await stack.enter_async_context(FaultProxy(each.host, each.port))
            await proxy.delay(to_client=0.4)
            ports[each.port] = proxy.port
        manager = await stack.enter_async_context(
            opened(deployment.url, address_map=leading(ports), **FAR)
        )
        pool = pool_of(manager)
        topology: Any = pool.dialer._topology

        old.pause()
        await until_state(manager, PoolState.SUSPECT)
        await until(lambda: topology._known.address.port in ports, 15)
        old.resume()
        await deployment.elected(old)

        await until(lambda: pool.peer[1] in ports.values())  # type: ignore[index]
