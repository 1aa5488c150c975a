"""The thing an app holds: opens, composes and closes everything below."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack, cast

from redis.credentials import CredentialProvider

from redis_manager_fastapi.client.factory import make_client
from redis_manager_fastapi.client.parameters import NoParameter
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.client.scope import ClientScope
from redis_manager_fastapi.delivery.connection_pool import LeasedConnections
from redis_manager_fastapi.lifespan import Openable, state_of
from redis_manager_fastapi.observe.bus import Bus, History, checked
from redis_manager_fastapi.observe.events import Listener
from redis_manager_fastapi.observe.log import LogListener, tell_of_grace
from redis_manager_fastapi.pool.pacing import paced
from redis_manager_fastapi.pool.state import PoolStats
from redis_manager_fastapi.realtime.manager import RealTimeManager
from redis_manager_fastapi.settings import RedisSettings, SettingsArguments
from redis_manager_fastapi.settings.given import GivenSettings, check_alone
from redis_manager_fastapi.supervision.deployment import Deployment

if TYPE_CHECKING:
    from redis_manager_fastapi.client.cluster.redis_cluster import RedisCluster

_NO_SINGLE_CONNECTION = (
    "a Cluster has its own connections to each node; use one node's: `manager.cluster.on(node)`"
)


class RedisManager(NoParameter, RealTimeManager, Openable):
    """One Redis deployment, from the app's start to its end.

    Creating one does no I/O and needs no event loop.  Open it with the app's
    lifespan, `FastAPI(lifespan=manager.lifespan)`, or with `async with manager:`.
    A closed manager can be opened again, on another event loop too.

    Args:
        settings: The settings, or a Redis URL; read from the environment when left out.
        name: Stands in logs, errors and metrics.
        credential_provider: Asked for user name and password at every connect; not with a
            user name or a password in the settings.
        listeners: Called with each `Event` of the pool's life.
        overrides: Fields of `RedisSettings`, such as `pool=`; not with a `RedisSettings`.

    Raises:
        RedisConfigError: A setting is wrong.
    """

    as_parameter = "Annotated[RedisManager, Depends(get_redis_manager)]"

    def __init__(
        self,
        settings: RedisSettings | str | None = None,
        *,
        name: str = "default",
        credential_provider: CredentialProvider | None = None,
        listeners: Iterable[Listener] = (),
        **overrides: Unpack[SettingsArguments],
    ) -> None:
        if not name or not isinstance(name, str):
            raise TypeError(f"name is {name!r}, and takes a text; write RedisManager(name='cache')")
        self.name = name
        given = GivenSettings(settings, overrides)
        del settings, overrides
        resolved = given.resolved()
        if credential_provider is not None:
            check_alone(resolved, name)
        history, heard = History(), checked(listeners)
        bus = Bus((history, LogListener(addresses=resolved.log_addresses), *heard), history.note)
        client = make_client(resolved, credential_provider, bus, instance=name)
        super().__init__(client, resolved, bus, history)
        self._deployment: Deployment[Any] = client.session.deployment

    def __repr__(self) -> str:
        # An error reporter looks at a manager whose settings are wrong, too.
        deployment: Deployment[Any] | None = getattr(self, "_deployment", None)
        opened = deployment.opened if deployment is not None else None
        return f"<RedisManager {self.name!r} {opened.state.value if opened else 'not started'}>"

    @property
    def redis(self) -> Redis:
        """A client for the life of the app, for libraries that want to keep one.

        You can take it before the manager opens; closing it closes nothing.
        With a Cluster it is a `RedisCluster`, which has the same commands.
        """
        return cast(Redis, self._client)

    @property
    def cluster(self) -> "RedisCluster":
        """The same client, typed as a `RedisCluster`.

        Raises:
            TypeError: The deployment is not a Cluster.
        """
        if self.settings.topology != "cluster":
            fix = f"set {self.settings.variable('cluster.nodes')}, or a redis+cluster:// URL"
            raise TypeError(f"redis {self.name!r} is not a Cluster; {fix}")
        return cast("RedisCluster", self._client)

    @property
    def connection_pool(self) -> LeasedConnections:
        """The dedicated connections as a `connection_pool` for redis-py's own classes.

        Raises:
            TypeError: The deployment is a Cluster, which has a pool for each node.
        """
        self._check_single()
        return cast(LeasedConnections, self.redis.connection_pool)

    @property
    def is_ready(self) -> bool:
        """Whether a command would be sent now, and every subscribed channel is heard.

        It answers from the known state, without I/O.
        """
        return self._deployment.is_ready and self._subscriptions.hears

    def client(self) -> ClientScope[Redis]:
        """Return a context manager that hands out a client: `async with manager.client() as r:`.

        With a Cluster it is a `RedisCluster`, which has the same commands.
        """
        return ClientScope(self._deployment, self.redis.scoped)

    def cached_client(self) -> ClientScope[Redis]:
        """Return the same as `client()`; its client reads by the settings' `client_cache`.

        That is `with_options(cache=client_cache.ttl, stale=client_cache.stale)`.
        """
        asked = self.settings.client_cache
        cached = self.redis.with_options(cache=asked.ttl, stale=asked.stale)
        return ClientScope(self._deployment, cached.scoped)

    def optional_client(self) -> ClientScope[Redis] | None:
        """Return the same for a caller that can do without; None while no command would go out.

        Its client does not wait in an outage: it has `with_options(grace=0)`.
        """
        if not self._deployment.serves_in_part:
            return None
        hasty = self.redis.session.options.changed(grace=0)
        return ClientScope(self._deployment, partial(self.redis.scoped, options=hasty))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Redis]:
        """Hand out a client pinned to one dedicated connection, leased until the block ends.

        Raises:
            PoolTimeoutError: None became free within `pool.acquire_timeout`.
            TypeError: The deployment is a Cluster: take `manager.cluster.on(node).client()`.
        """
        self._check_single()
        async with self.client() as client, client.client() as pinned:
            yield pinned

    def stats(self) -> PoolStats:
        """Return the pool's counters as they are now; with a Cluster, `ClusterStats` by shard.

        Raises:
            RedisNotStartedError: The manager is not open.
        """
        cache = self._deployment.cache
        return replace(
            self._deployment.stats(),
            realtime=self._realtime_stats(),
            cache=cache.stats() if cache is not None else None,
        )

    # Opening and closing.

    @paced
    async def open(self, *, workers: bool = True) -> None:
        """Open the pool as the start-up policy says, and keep it healthy until `aclose()`.

        Args:
            workers: Whether registered handlers and loops begin now; else `working()` runs them.

        Raises:
            RedisUnavailableError: Policy "fail": the first attempt failed; policy
                "wait": none succeeded within `startup.timeout`.
            RedisManagerError: It is already open.
        """
        tell_of_grace(self.name, self.settings)
        await self._deployment.open()
        self._start_realtime(workers=workers)

    async def aclose(self) -> None:
        """Refuse new work, give running commands `shutdown.drain` seconds to finish, and close."""
        left = 0.0
        try:
            left = await self._close_realtime(self.settings.shutdown.drain)
        finally:
            try:
                await self._deployment.aclose(left)
            finally:
                self._end_events()

    @paced
    async def wait_ready(self, timeout: float) -> None:
        """Wait until the pool serves.

        Raises:
            RedisUnavailableError: It still does not after *timeout* seconds.
            PoolClosedError: It was closed meanwhile.
        """
        await self._deployment.require().wait_ready(timeout)

    def lifespan_state(self) -> dict[str, Any]:
        """Return the lifespan state in which apps find the manager."""
        return state_of(self)

    def _check_single(self) -> None:
        if self.settings.topology == "cluster":
            raise TypeError(_NO_SINGLE_CONNECTION)
