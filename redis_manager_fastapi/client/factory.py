"""From settings to a client, and the deployment that it speaks to."""

from typing import Any

from redis.credentials import CredentialProvider
from redis.himport import HImportRegistry

from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.delivery.session import CallOptions, Session
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.supervision.deployment import Deployment, Single
from redis_manager_fastapi.supervision.replica import WithReplica
from redis_manager_fastapi.topology.interface import Topology
from redis_manager_fastapi.topology.sentinel import Sentinel
from redis_manager_fastapi.topology.sentinel_replica import SentinelReplica
from redis_manager_fastapi.topology.standalone import Standalone
from redis_manager_fastapi.topology.tls_context import SharedTLSContext
from redis_manager_fastapi.topology.tokens import streaming


def make_client(
    settings: RedisSettings, credentials: CredentialProvider | None, bus: Bus, *, instance: str
) -> Any:
    """Return a `Redis`, or a `RedisCluster`, over a deployment that is not open yet."""
    credentials = streaming(credentials, instance)
    if settings.topology == "cluster":
        # Imported here, so that only those who use a Cluster depend on redis-py's cluster client.
        from redis_manager_fastapi.client.cluster.redis_cluster import RedisCluster
        from redis_manager_fastapi.cluster.cluster import Clustered

        return RedisCluster(_session(Clustered(settings, credentials, bus, instance=instance)))
    return Redis(_session(_single(settings, credentials, bus, instance)))


def _single(
    settings: RedisSettings, credentials: CredentialProvider | None, bus: Bus, instance: str
) -> Single:
    tls = SharedTLSContext()

    def make_topology() -> Topology:
        if settings.topology == "sentinel":
            return Sentinel(settings, credentials, tls)
        return Standalone(settings, credentials)

    def make_replica() -> SentinelReplica:
        return SentinelReplica(settings, credentials, tls)

    if settings.sentinel.reads == "primary":
        return Single(make_topology, settings, bus, instance=instance, tls=tls)
    return WithReplica(make_topology, make_replica, settings, bus, instance=instance, tls=tls)


def _session(deployment: Deployment[Any]) -> Session[Any]:
    settings = deployment.settings
    options = CallOptions(
        decode=settings.decode_responses,
        timeout=settings.timeout.command,
        pipelining=settings.pipelining.enabled,
        shared=settings.pipelining.enabled,
    )
    # What redis-py's code looks up in a pool's `connection_kwargs`; no secrets.
    kwargs = {
        **_address(settings),
        "db": settings.db,
        "protocol": settings.protocol,
        "decode_responses": settings.decode_responses,
        "legacy_responses": True,
        "encoding": "utf-8",
        "encoding_errors": "strict",
        "himport_registry": HImportRegistry(),
    }
    return Session(deployment, options, kwargs, {})


def _address(settings: RedisSettings) -> dict[str, Any]:
    """Return where the server is, as a connection class takes it; empty where others say so."""
    if settings.topology != "standalone":
        return {}
    if settings.unix_socket is not None:
        return {"path": str(settings.unix_socket)}
    return {"host": settings.host, "port": settings.port}
