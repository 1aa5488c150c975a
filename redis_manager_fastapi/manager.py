"""The thing an app holds: opens, composes and closes everything below."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self, cast

from redis.credentials import CredentialProvider
from redis.himport import HImportRegistry

from redis_manager_fastapi.client.binding import (
    Attachment,
    Binding,
    CallOptions,
    ClusterBinding,
    ReplicatedBinding,
)
from redis_manager_fastapi.client.cluster.redis_cluster import RedisCluster
from redis_manager_fastapi.client.connections import LeasedConnections
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.client.replicas import ReplicatedRedis
from redis_manager_fastapi.client.scope import ClientScope
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.errors import RedisManagerError, RedisUnavailableError
from redis_manager_fastapi.observe.events import Bus, Listener
from redis_manager_fastapi.observe.log import LogListener
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import PoolState, PoolStats
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.supervision.replica import ReplicatedPool
from redis_manager_fastapi.supervision.supervised import SupervisedPool
from redis_manager_fastapi.topology.protocol import Topology
from redis_manager_fastapi.topology.sentinel import Sentinel
from redis_manager_fastapi.topology.sentinel_replica import SentinelReplica
from redis_manager_fastapi.topology.standalone import Standalone
from redis_manager_fastapi.web.lifespan import (
    AppLifespan,
    StatefulLifespan,
    run_lifespan,
    wrap_lifespan,
)

_CLUSTER_VARIABLE = "REDIS_CLUSTER__NODES, or a redis+cluster:// URL"
_NO_SINGLE_CONNECTION = (
    "a Cluster has its own connections to each node; use one node's: `manager.cluster.on(node)`"
)


class RedisManager:
    """One Redis deployment, from the app's start to its end.

    Creating one does no I/O and needs no event loop.  Open it with the app's
    lifespan, `FastAPI(lifespan=manager.lifespan)`, or with `async with manager:`.
    A closed manager can be opened again, on another event loop too.

    Args:
        settings: The settings; read from the environment when left out.
        name: Stands in logs, errors and metrics.
        credential_provider: Asked for user name and password at every connect.
        listeners: Called with each `Event` of the pool's life.
        overrides: Fields of `RedisSettings`, such as `url=`; only without *settings*.

    Raises:
        RedisConfigError: A setting is wrong.
    """

    def __init__(
        self,
        settings: RedisSettings | None = None,
        *,
        name: str = "default",
        credential_provider: CredentialProvider | None = None,
        listeners: Iterable[Listener] = (),
        **overrides: Any,
    ) -> None:
        if settings is not None and overrides:
            raise TypeError("pass either settings or single fields, not both")
        if settings is not None and not isinstance(settings, RedisSettings):
            raise TypeError("settings is not a RedisSettings; give a URL as url=...")
        self.name = name
        self.settings = settings if settings is not None else RedisSettings(**overrides)
        self._credentials = credential_provider
        self._bus = Bus((LogListener(), *listeners))
        self._supervised: SupervisedPool | Cluster | None = None
        self._binding: Attachment[Any]
        self._redis: Redis | RedisCluster
        options, kwargs = self._call_options(), self._connection_kwargs()
        if self.settings.topology == "cluster":
            self._binding = ClusterBinding(name)
            replicas = self.settings.cluster.reads != "primary"
            self._redis = RedisCluster(self._binding, options, kwargs, replicas=replicas)
        elif self.settings.sentinel.reads != "primary":
            self._binding = ReplicatedBinding(name)
            spread = self.settings.sentinel.reads == "any"
            self._redis = ReplicatedRedis(self._binding, options, kwargs, spread=spread)
        else:
            self._binding = Binding(name)
            self._redis = Redis(self._binding, options, kwargs)

    def __repr__(self) -> str:
        pool = self._binding.pool
        return f"<RedisManager {self.name!r} {pool.state.value if pool else 'not started'}>"

    @property
    def redis(self) -> Redis:
        """A client for the life of the app, for libraries that want to keep one.

        You can take it before the manager opens; closing it closes nothing.
        With a Cluster it is a `RedisCluster`, which has the same commands.
        """
        return cast(Redis, self._redis)

    @property
    def cluster(self) -> RedisCluster:
        """The same client, typed as a `RedisCluster`.

        Raises:
            TypeError: The deployment is not a Cluster.
        """
        if isinstance(self._redis, RedisCluster):
            return self._redis
        raise TypeError(f"redis {self.name!r} is not a Cluster; set {_CLUSTER_VARIABLE}")

    @property
    def connection_pool(self) -> LeasedConnections:
        """The dedicated connections as a `connection_pool` for redis-py's own classes.

        Raises:
            TypeError: The deployment is a Cluster, which has a pool for each node.
        """
        if isinstance(self._redis, RedisCluster):
            raise TypeError(_NO_SINGLE_CONNECTION)
        return self._redis.connection_pool  # type: ignore[return-value]

    @property
    def is_ready(self) -> bool:
        """Whether a command would be sent now; answers from the known state, without I/O."""
        pool = self._binding.pool
        return pool is not None and pool.is_serving

    def client(self) -> ClientScope:
        """Return a context manager that hands out a client: `async with manager.client() as r:`.

        With a Cluster it is a `RedisCluster`, which has the same commands.
        """
        return ClientScope(self._redis)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Redis]:
        """Hand out a client pinned to one dedicated connection, leased until the block ends.

        Raises:
            PoolTimeoutError: None became free within `pool.acquire_timeout`.
            TypeError: The deployment is a Cluster: take `manager.cluster.on(node).client()`.
        """
        if isinstance(self._redis, RedisCluster):
            raise TypeError(_NO_SINGLE_CONNECTION)
        async with self.client() as client, client.client() as pinned:
            yield pinned

    def stats(self) -> PoolStats:
        """Return the pool's counters as they are now; with a Cluster, `ClusterStats` by shard.

        Raises:
            RedisNotStartedError: The manager is not open.
        """
        return self._binding.stats()

    # Opening and closing.

    async def open(self) -> None:
        """Open the pool as the start-up policy says, and keep it healthy until `aclose()`.

        Raises:
            RedisUnavailableError: Policy "fail": the first attempt failed; policy
                "wait": none succeeded within `startup.timeout`.
            RedisManagerError: It is already open.
        """
        old = self._binding.pool
        if old is not None and not old.loop.is_closed() and old.state is not PoolState.CLOSED:
            message = f"redis {self.name!r} is already open; make one manager for each app"
            raise RedisManagerError(message, instance=self.name)
        self._supervised = supervised = self._deployment()
        pool = supervised if isinstance(supervised, Cluster) else supervised.pool
        self._binding.pool = pool
        if isinstance(supervised, ReplicatedPool) and isinstance(self._binding, ReplicatedBinding):
            self._binding.replica = supervised.replica.pool
        try:
            supervised.start()
            await self._started(pool)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Refuse new work, give running commands `shutdown.drain` seconds to finish, and close."""
        supervised, self._supervised = self._supervised, None
        if supervised is not None:
            await supervised.aclose(self.settings.shutdown.drain)

    async def wait_ready(self, timeout: float) -> None:
        """Wait until the pool serves.

        Raises:
            RedisUnavailableError: It still does not after *timeout* seconds.
            PoolClosedError: It was closed meanwhile.
        """
        await self._binding.require().wait_ready(timeout)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def lifespan(self, app: Any) -> AbstractAsyncContextManager[Mapping[str, Any]]:
        """Open and close with an app: `FastAPI(lifespan=manager.lifespan)`."""
        return run_lifespan(self)

    def wrap(self, lifespan: AppLifespan) -> StatefulLifespan:
        """Return a lifespan that runs *lifespan* while the manager is open; its state is kept."""
        return wrap_lifespan(self, lifespan)

    async def _started(self, pool: Pool | Cluster) -> None:
        startup = self.settings.startup
        if startup.policy == "fail":
            await pool.wait_settled()
            if not pool.is_serving:
                raise pool.unavailable()
        elif startup.policy == "wait":
            try:
                await pool.wait_ready(startup.timeout)
            except RedisUnavailableError as error:
                message = f"{error} (waited {startup.timeout:g} s, policy 'wait')"
                raise type(error)(message, instance=self.name) from error

    def _deployment(self) -> SupervisedPool | Cluster:
        settings, credentials, bus = self.settings, self._credentials, self._bus
        if settings.topology == "cluster":
            return Cluster(settings, credentials, bus, instance=self.name)
        if settings.sentinel.reads != "primary":
            replica = SentinelReplica(settings, credentials)
            return ReplicatedPool(self._topology(), replica, settings, bus, instance=self.name)
        return SupervisedPool(self._topology(), settings, bus, instance=self.name)

    def _topology(self) -> Topology:
        if self.settings.topology == "sentinel":
            return Sentinel(self.settings, self._credentials)
        return Standalone(self.settings, self._credentials)

    def _call_options(self) -> CallOptions:
        settings = self.settings
        return CallOptions(
            decode=settings.decode_responses,
            timeout=settings.timeout.command,
            pipelining=settings.pipelining.enabled,
            shared=settings.pipelining.enabled,
        )

    def _connection_kwargs(self) -> dict[str, Any]:
        """What redis-py's code looks up in a pool's `connection_kwargs`; no secrets."""
        settings = self.settings
        return {
            "host": settings.host,
            "port": settings.port,
            "db": settings.db,
            "protocol": settings.protocol,
            "legacy_responses": True,
            "encoding": "utf-8",
            "encoding_errors": "strict",
            "himport_registry": HImportRegistry(),
        }
