"""A single server at a fixed address or unix socket."""

from collections.abc import Callable

from redis.asyncio.connection import AbstractConnection
from redis.credentials import CredentialProvider

from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.topology.interface import Target
from redis_manager_fastapi.topology.options import common_options, target_at


class Standalone:
    """Reaches the one server that the settings name.

    The host name is resolved again at every connect, so a changed address is
    followed by the next generation.  The role is not checked: whoever names a
    replica means it.
    """

    def __init__(
        self, settings: RedisSettings, credentials: CredentialProvider | None = None
    ) -> None:
        self._target = _target(settings, credentials)

    def start(self, on_move: Callable[[str], None]) -> None:
        """Watch nothing: the address never changes."""

    async def aclose(self) -> None:
        """Do nothing."""

    async def locate(self) -> Target:
        """Return the configured address."""
        return self._target

    async def confirm(self, connection: AbstractConnection) -> None:
        """Accept any role."""


def _target(settings: RedisSettings, credentials: CredentialProvider | None) -> Target:
    if settings.unix_socket is not None:
        options = common_options(settings, credentials)
        return Target("unix", options | {"path": str(settings.unix_socket)})
    return target_at(settings, credentials, settings.host, settings.port)
