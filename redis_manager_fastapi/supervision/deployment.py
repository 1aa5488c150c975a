"""One server's pool and what keeps it alive, opened and closed together."""

from redis_manager_fastapi.observe.events import Bus
from redis_manager_fastapi.pool.dialer import Dialer
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.supervision.supervisor import Supervisor
from redis_manager_fastapi.topology.interface import Topology


class SupervisedPool:
    """A pool, its supervisor and the watch on where its primary is.

    It is made on the event loop that it serves.

    Attributes:
        pool: The pool.
    """

    def __init__(
        self, topology: Topology, settings: RedisSettings, bus: Bus, *, instance: str
    ) -> None:
        dialer = Dialer(topology, timeout=settings.timeout.connect, instance=instance)
        self.pool = Pool(dialer, settings, bus, instance=instance)
        self._topology = topology
        self._supervisor = Supervisor(self.pool, bus)

    def start(self) -> None:
        """Begin to open the pool, and keep it healed from here on."""
        self.pool.start()
        self._topology.start(self.pool.moved)
        self._supervisor.start()

    async def aclose(self, drain: float) -> None:
        """Refuse new work, let what is in flight finish for *drain* seconds, and close."""
        try:
            await self._topology.aclose()
            await self._supervisor.stop()
            await self.pool.drain(drain)
        finally:
            self.pool.close()
        await self.pool.wait_notified()
