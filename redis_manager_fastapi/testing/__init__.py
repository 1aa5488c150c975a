"""What a test needs to break Redis and see an app survive it.

`RedisServer` is a real server, `FaultProxy` a bad network in front of it, and
`RunningApp` an app without a server; the fixtures `redis_server`, `redis_url`,
`redis_manager`, `fault_proxy` and `run_app` come as a pytest plugin.  Install
the extra `testing`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis_manager_fastapi.testing.binary import ServerVersion, server_binary
    from redis_manager_fastapi.testing.proxy import FaultProxy, ProxyStats
    from redis_manager_fastapi.testing.running import RunningApp
    from redis_manager_fastapi.testing.server import RedisServer

__all__ = [
    "FaultProxy",
    "ProxyStats",
    "RedisServer",
    "RunningApp",
    "ServerVersion",
    "server_binary",
]

_MODULES = {
    "FaultProxy": "proxy",
    "ProxyStats": "proxy",
    "RedisServer": "server",
    "RunningApp": "running",
    "ServerVersion": "binary",
    "server_binary": "binary",
}


def __getattr__(name: str) -> Any:
    """Import at first use: every pytest run imports this package, few need what it holds."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
