"""Settings: what the environment and the constructor say, checked and resolved.

Nothing here connects to anything, and nothing is cached: every
`RedisSettings()` reads the environment again, so that two apps in one process
can differ.
"""

from redis_manager_fastapi.settings.address import Address
from redis_manager_fastapi.settings.arguments import SettingsArguments
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
from redis_manager_fastapi.settings.layers import Origin, Source
from redis_manager_fastapi.settings.model import RedisSettings, Topology

__all__ = [
    "Address",
    "ClientCacheSettings",
    "ClusterSettings",
    "HealthSettings",
    "Origin",
    "OutageSettings",
    "PipeliningSettings",
    "PoolSettings",
    "RedisSettings",
    "SentinelSettings",
    "SettingsArguments",
    "ShutdownSettings",
    "Source",
    "StartupSettings",
    "TLSSettings",
    "TimeoutSettings",
    "Topology",
]
