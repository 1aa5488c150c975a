"""The groups of settings: `settings.pool`, `settings.timeout` and the like.

Pass a group to `RedisSettings` as a mapping, `pool={"max_connections": 50}`:
its mistakes are then reported together with all the others.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, SecretStr

from redis_manager_fastapi.settings.fields import (
    ClusterNodes,
    FilePath,
    Frozen,
    LongSeconds,
    LowerCase,
    NotBool,
    Reads,
    Seconds,
    SecondsOrZero,
    SentinelNodes,
    ServiceName,
    UserName,
)


class Group(Frozen):
    """What all groups share: they are frozen, and refuse an unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TLSSettings(Group):
    """Encryption, `REDIS_TLS__*`.

    Attributes:
        enabled: Whether connections use TLS; a `rediss://` URL turns it on.
        ca_file: The certificates that are trusted; without it, the system's.
        cert_file: The client's own certificate, together with *key_file*.
        key_file: The private key of *cert_file*.
        verify: `full` checks the certificate's chain and the host name, `ca`
            the chain alone, `none` nothing.
    """

    enabled: bool = False
    ca_file: FilePath = None
    cert_file: FilePath = None
    key_file: FilePath = None
    verify: Annotated[Literal["full", "ca", "none"], LowerCase] = "full"


class PipeliningSettings(Group):
    """The multiplexed connections that all callers share, `REDIS_PIPELINING__*`.

    Attributes:
        enabled: Whether ordinary commands share connections at all.
        connections: How many shared connections each worker process opens.
        max_in_flight: How many commands one shared connection may have sent
            without a reply; a further one waits for room.
    """

    enabled: bool = True
    connections: Annotated[int, Field(ge=1, le=1024), NotBool] = 1
    max_in_flight: Annotated[int, Field(ge=1, le=10_000_000), NotBool] = 10_000


class PoolSettings(Group):
    """The dedicated connections, per worker process, `REDIS_POOL__*`.

    Attributes:
        max_connections: How many may be open at once.
        acquire_timeout: Seconds that a caller waits for a free one.
        max_waiting: How many callers may wait; a further one fails at once.
        max_idle: Seconds after which an unused connection is closed.
        max_lifetime: Seconds after which a connection, dedicated or shared, is replaced.
    """

    max_connections: Annotated[int, Field(ge=1, le=100_000), NotBool] = 20
    acquire_timeout: Seconds = 1.0
    max_waiting: Annotated[int, Field(ge=0, le=10_000_000), NotBool] = 1000
    max_idle: LongSeconds = 300.0
    max_lifetime: LongSeconds = 3600.0


class TimeoutSettings(Group):
    """Time limits, `REDIS_TIMEOUT__*`.

    Attributes:
        connect: Seconds for one connection to be made, with its handshake.
        command: Seconds for a command from call to reply, waiting included.
    """

    connect: Seconds = 1.0
    command: Seconds = 2.0


class HealthSettings(Group):
    """Heartbeats and healing, `REDIS_HEALTH__*`.

    Attributes:
        interval: Seconds between two heartbeats on each shared connection.
        timeout: Seconds that a heartbeat's reply may take.
        backoff_base: The longest first pause between two probes, in seconds.
        backoff_cap: The longest pause between two probes, in seconds.
    """

    interval: Annotated[float, Field(ge=0.01, le=3600, allow_inf_nan=False), NotBool] = 0.5
    timeout: Seconds = 0.5
    backoff_base: Seconds = 0.05
    backoff_cap: Seconds = 0.5


class OutageSettings(Group):
    """How long commands wait while Redis is away, `REDIS_OUTAGE__*`.

    Attributes:
        grace: Seconds after the last reply for which commands wait rather
            than fail; 0 fails at once.
    """

    grace: SecondsOrZero = 2.0


class StartupSettings(Group):
    """What happens when Redis is away at start, `REDIS_STARTUP__*`.

    Attributes:
        policy: `fail` tries once, `wait` tries until *timeout*, and both then
            stop the start; `degraded` starts without Redis and heals later.
        timeout: Seconds that the start may wait.
    """

    policy: Annotated[Literal["fail", "wait", "degraded"], LowerCase] = "wait"
    timeout: Seconds = 10.0


class ShutdownSettings(Group):
    """How the manager closes, `REDIS_SHUTDOWN__*`.

    Attributes:
        drain: Seconds that running work gets before connections are cut; 0
            cuts them at once.
    """

    drain: SecondsOrZero = 5.0


class ClientCacheSettings(Group):
    """Replies that are kept in the process, `REDIS_CLIENT_CACHE__*`.

    Attributes:
        ttl: For how many seconds the clients of `CachedRedisDep` are handed the same reply.
        max_bytes: How many bytes the kept replies of a worker process may take.
        stale: How many seconds old a last known value may be that these clients are handed
            while Redis is away; 0 for none.
    """

    ttl: LongSeconds = 30.0
    max_bytes: Annotated[int, Field(ge=4096, le=2**40), NotBool] = 64 * 1024 * 1024
    stale: SecondsOrZero = 0.0


class SentinelSettings(Group):
    """A deployment watched by Sentinels, `REDIS_SENTINEL__*`.

    Attributes:
        nodes: The Sentinels to ask, `h1:26379,h2` in the environment.
        service: The name under which they know the primary.
        username: The user for the Sentinels themselves.
        password: The password for the Sentinels themselves.
        tls: Whether the Sentinels speak TLS; unset means as `tls.enabled`.
        reads: Where read-only commands go: to the `primary`, to a `replica`,
            or to `any` of them. Cached reads go to the primary: a replica lags.
    """

    nodes: SentinelNodes = ()
    service: ServiceName = None
    username: UserName = None
    password: SecretStr | None = None
    tls: bool | None = None
    reads: Reads = "primary"


class ClusterSettings(Group):
    """A Redis Cluster, `REDIS_CLUSTER__*`.

    Attributes:
        nodes: Some of its nodes, `h1:6379,h2` in the environment; the others
            are found through them.
        reads: Where read-only commands go: to the `primary`, to a `replica`,
            or to `any` of them.
    """

    nodes: ClusterNodes = ()
    reads: Reads = "primary"
