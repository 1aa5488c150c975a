"""A manager's connections to one server: its shared ones, the tracked one, and holes in either."""

from collections.abc import Iterable

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.supervision.deployment import Single
from redis_manager_fastapi.testing import FaultProxy


class LinkProxy(FaultProxy):
    """A `FaultProxy` that can swallow what passes on some of its connections."""

    async def black_hole_on(
        self, ports: Iterable[int], *, to_server: bool = True, to_client: bool = True
    ) -> None:
        """Lose all bytes of those clients that have these ports, until `pass_through()`."""
        only = list(ports)
        for direction, hole in (("to_server", to_server), ("to_client", to_client)):
            if hole:
                await self._ask("change", direction=direction, new=False, only=only, hole=True)


def tracked_ports(manager: RedisManager, port: int) -> list[int]:
    """The local port of the tracked connection to the server that is reached at *port*."""
    lanes = [each.lane for each in _deployments(manager, port)]
    return [_own_port(each.link) for each in lanes if each is not None and each.link is not None]


def shared_ports(manager: RedisManager, port: int) -> list[int]:
    """The local ports of the shared connections to the server that is reached at *port*."""
    pools = [each.opened for each in _deployments(manager, port)]
    return [_own_port(link) for pool in pools if pool for link in pool.link_set.current]


def _deployments(manager: RedisManager, port: int) -> list[Single]:
    deployment = manager._deployment
    if isinstance(deployment, Single):
        return [deployment]
    opened = deployment.require()
    assert isinstance(opened, Cluster)
    return [each.deployment for each in opened.map.nodes if each.address.port == port]


def _own_port(link: MultiplexedConnection) -> int:
    address = link._transport.get_extra_info("sockname")
    return int(address[1]) if address else 0
