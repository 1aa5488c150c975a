"""Settings as keyword arguments: what `RedisManager(...)` and `RedisSettings(...)` take.

Type checkers and editors read this; the fields themselves, with what each one
means, are those of `RedisSettings` and its groups.
"""

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Literal, TypedDict

from pydantic import SecretStr

from redis_manager_fastapi.settings.address import Address
from redis_manager_fastapi.settings.groups import (
    ClientCacheSettings,
    ClusterSettings,
    HealthSettings,
    OutageSettings,
    PipeliningSettings,
    PoolSettings,
    SentinelSettings,
    ShutdownSettings,
    StartupSettings,
    TimeoutSettings,
    TLSSettings,
)

Path = str | PathLike[str] | None
Secret = SecretStr | str | None
Nodes = str | Iterable[str | tuple[str, int]]
AddressPairs = Mapping[str, str] | Mapping[tuple[str, int], tuple[str, int]]
AddressMap = str | AddressPairs | Callable[[Address], tuple[str, int]] | None
Reads = Literal["primary", "replica", "any"]


class TLSArguments(TypedDict, total=False):
    """The fields of `TLSSettings`."""

    enabled: bool
    ca_file: Path
    cert_file: Path
    key_file: Path
    verify: Literal["full", "ca", "none"]


class PipeliningArguments(TypedDict, total=False):
    """The fields of `PipeliningSettings`."""

    enabled: bool
    connections: int
    max_in_flight: int


class PoolArguments(TypedDict, total=False):
    """The fields of `PoolSettings`."""

    max_connections: int
    acquire_timeout: float
    max_waiting: int
    max_idle: float
    max_lifetime: float


class TimeoutArguments(TypedDict, total=False):
    """The fields of `TimeoutSettings`."""

    connect: float
    command: float


class HealthArguments(TypedDict, total=False):
    """The fields of `HealthSettings`."""

    interval: float
    timeout: float
    backoff_base: float
    backoff_cap: float


class OutageArguments(TypedDict, total=False):
    """The fields of `OutageSettings`."""

    grace: float


class StartupArguments(TypedDict, total=False):
    """The fields of `StartupSettings`."""

    policy: Literal["fail", "wait", "degraded"]
    timeout: float


class ShutdownArguments(TypedDict, total=False):
    """The fields of `ShutdownSettings`."""

    drain: float


class ClientCacheArguments(TypedDict, total=False):
    """The fields of `ClientCacheSettings`."""

    ttl: float
    max_bytes: int
    stale: float


class SentinelArguments(TypedDict, total=False):
    """The fields of `SentinelSettings`."""

    nodes: Nodes
    service: str | None
    username: str | None
    password: Secret
    tls: bool | None
    reads: Reads


class ClusterArguments(TypedDict, total=False):
    """The fields of `ClusterSettings`."""

    nodes: Nodes
    reads: Reads


class SettingsArguments(TypedDict, total=False):
    """The fields of `RedisSettings`."""

    url: Secret
    host: str
    port: int
    db: int
    unix_socket: Path
    username: str | None
    password: Secret
    password_file: Path
    client_name: str | None
    protocol: Literal[2, 3]
    decode_responses: bool
    address_map: AddressMap
    critical: bool
    log_addresses: bool
    tls: TLSArguments | TLSSettings
    pipelining: PipeliningArguments | PipeliningSettings
    pool: PoolArguments | PoolSettings
    timeout: TimeoutArguments | TimeoutSettings
    health: HealthArguments | HealthSettings
    outage: OutageArguments | OutageSettings
    startup: StartupArguments | StartupSettings
    shutdown: ShutdownArguments | ShutdownSettings
    client_cache: ClientCacheArguments | ClientCacheSettings
    sentinel: SentinelArguments | SentinelSettings
    cluster: ClusterArguments | ClusterSettings
