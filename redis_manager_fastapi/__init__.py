"""The connection layer between FastAPI or Starlette services and Redis."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.console.router import console_router
from redis_manager_fastapi.errors import (
    Cause,
    ClientEndedError,
    CommandTimeoutError,
    ListenerTooSlowError,
    PoolClosedError,
    PoolTimeoutError,
    RedisAuthError,
    RedisConfigError,
    RedisManagerError,
    RedisNotStartedError,
    RedisOutageError,
    RedisOutOfMemoryError,
    RedisPermissionError,
    RedisTLSError,
    RedisUnavailableError,
    RedisWritesRefusedError,
    ReplyLostError,
    TooManyWaitersError,
)
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.observe.caching import CacheStats
from redis_manager_fastapi.observe.events import (
    CacheChanged,
    EntryDeadLettered,
    Event,
    GroupRemade,
    ProbeFailed,
    Resubscribed,
    StartDelayed,
    StartFailed,
    StateChanged,
    StreamGap,
    SubscriptionsBroken,
    SubscriptionsHealed,
    WorkerFailed,
)
from redis_manager_fastapi.pool.counters import Counts, Latency
from redis_manager_fastapi.pool.state import PoolState, PoolStats
from redis_manager_fastapi.realtime.items import Gap, Message, StreamEntry
from redis_manager_fastapi.registry import RedisRegistry
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.web.cache_status import CacheStatusMiddleware
from redis_manager_fastapi.web.dependencies import (
    CachedRedisDep,
    RedisConnectionDep,
    RedisDep,
    get_cached_redis,
    get_redis,
    get_redis_connection,
    get_redis_manager,
    redis_dependency,
)
from redis_manager_fastapi.web.health import HEALTH_ROUTES, health_router
from redis_manager_fastapi.web.responses import (
    REDIS_EXCEPTION_HANDLERS,
    REDIS_RESPONSES,
    redis_error_handler,
)
from redis_manager_fastapi.web.state import get_manager

if TYPE_CHECKING:
    from redis_manager_fastapi.client.cluster.redis_cluster import RedisCluster
    from redis_manager_fastapi.cluster.stats import ClusterStats, NodeStats, ShardStats
    from redis_manager_fastapi.web.cluster import RedisClusterDep

__version__ = "1.0.0"

__all__ = [  # noqa: RUF022 (grouped by who uses it)
    # the app holds
    "RedisManager",
    "RedisRegistry",
    "RedisSettings",
    # handlers depend on
    "CachedRedisDep",
    "Redis",
    "RedisCluster",
    "RedisClusterDep",
    "RedisConnectionDep",
    "RedisDep",
    "get_cached_redis",
    "get_manager",
    "get_redis",
    "get_redis_connection",
    "get_redis_manager",
    "redis_dependency",
    # the web hears
    "CacheStatusMiddleware",
    "HEALTH_ROUTES",
    "REDIS_EXCEPTION_HANDLERS",
    "REDIS_RESPONSES",
    "health_router",
    "redis_error_handler",
    # operators watch
    "CacheChanged",
    "CacheStats",
    "console_router",
    "ClusterStats",
    "Counts",
    "EntryDeadLettered",
    "Event",
    "GroupRemade",
    "Latency",
    "NodeStats",
    "PoolState",
    "PoolStats",
    "ProbeFailed",
    "Resubscribed",
    "ShardStats",
    "StartDelayed",
    "StartFailed",
    "StateChanged",
    "StreamGap",
    "SubscriptionsBroken",
    "SubscriptionsHealed",
    "WorkerFailed",
    # listeners hear
    "Gap",
    "Message",
    "StreamEntry",
    # callers catch
    "Cause",
    "ClientEndedError",
    "CommandTimeoutError",
    "ListenerTooSlowError",
    "PoolClosedError",
    "PoolTimeoutError",
    "RedisAuthError",
    "RedisConfigError",
    "RedisManagerError",
    "RedisNotStartedError",
    "RedisOutageError",
    "RedisOutOfMemoryError",
    "RedisPermissionError",
    "RedisTLSError",
    "RedisUnavailableError",
    "RedisWritesRefusedError",
    "ReplyLostError",
    "TooManyWaitersError",
]

_CLUSTER = {
    "ClusterStats": "cluster.stats",
    "NodeStats": "cluster.stats",
    "RedisCluster": "client.cluster.redis_cluster",
    "RedisClusterDep": "web.cluster",
    "ShardStats": "cluster.stats",
}
"""What is imported when it is first asked for: a change in redis-py's cluster client must
not break the import of an app without a Cluster."""


def __getattr__(name: str) -> Any:
    if name not in _CLUSTER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_CLUSTER[name]}"), name)
    globals()[name] = value
    return value
