"""From settings to the keyword arguments of redis-py's connection classes."""

from typing import Any

from redis.credentials import CredentialProvider
from redis.driver_info import DriverInfo
from redis.maint_notifications import MaintNotificationsConfig

from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.topology.credentials import Credentials, SettingsCredentials
from redis_manager_fastapi.topology.interface import Target
from redis_manager_fastapi.topology.tokens import TokenStream

# Made once: without it redis-py 8.1 reads its own version from disk at every connect.
DRIVER = DriverInfo()


def common_options(
    settings: RedisSettings, credentials: CredentialProvider | None
) -> dict[str, Any]:
    """Return what every transport takes: protocol, limits, session and credentials."""
    options: dict[str, Any] = {
        "db": settings.db,
        "protocol": settings.protocol,
        "decode_responses": True,
        "client_name": settings.client_name,
        "driver_info": DRIVER,
        "socket_timeout": settings.timeout.command,
        "socket_connect_timeout": settings.timeout.connect,
    }
    if settings.protocol == 3:
        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return options | credential_options(settings, credentials)


def target_at(
    settings: RedisSettings,
    credentials: CredentialProvider | None,
    host: str,
    port: int,
    **options: Any,
) -> Target:
    """Return the server at that address, over TLS or not; *options* go before the settings'."""
    options = common_options(settings, credentials) | {"host": host, "port": port} | options
    if settings.tls.enabled:
        return Target("tls", options | tls_options(settings))
    return Target("tcp", options)


def credential_options(
    settings: RedisSettings, credentials: CredentialProvider | None
) -> dict[str, Any]:
    """Return the one source of credentials: the provider, the password file, or the fields."""
    if credentials is None:
        if settings.password_file is None and settings.password is None:
            return {}
        credentials = SettingsCredentials(settings)
    tokens = credentials if isinstance(credentials, TokenStream) else None
    return {"credential_provider": Credentials(credentials, tokens)}


def tls_options(settings: RedisSettings) -> dict[str, Any]:
    """Return redis-py's `ssl_*` arguments; files are read again at every connect."""
    tls = settings.tls
    return {
        "ssl_ca_certs": _path(tls.ca_file),
        "ssl_certfile": _path(tls.cert_file),
        "ssl_keyfile": _path(tls.key_file),
        "ssl_cert_reqs": "none" if tls.verify == "none" else "required",
        "ssl_check_hostname": tls.verify == "full",
    }


def _path(value: Any) -> str | None:
    return None if value is None else str(value)
