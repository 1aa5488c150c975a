"""The pool as redis-py knows pools: whatever takes a `connection_pool` takes this."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import AbstractConnection, ConnectionPoolInterface
from redis.asyncio.retry import Retry
from redis.auth.token import TokenInterface
from redis.connection import Encoder
from redis.exceptions import RedisError

from redis_manager_fastapi.client.binding import Binding
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.state import FINAL, Suspicion
from redis_manager_fastapi.topology.failures import from_reply, reconnecting_helps

if TYPE_CHECKING:
    from redis_manager_fastapi.client.scope import ClientScope


class LeasedConnections(ConnectionPoolInterface):
    """Leases dedicated connections to redis-py's own code: pub/sub, WATCH, MONITOR, locks.

    Closing or disconnecting it does nothing: the connections belong to the
    manager, and other callers use them.
    """

    def __init__(
        self,
        binding: Binding,
        connection_kwargs: dict[str, Any],
        *,
        timeout: float,
        purpose: str = "a connection",
        scope: "ClientScope | None" = None,
    ) -> None:
        self.connection_kwargs = connection_kwargs
        self.connection_class = DedicatedConnection
        self.himport_registry = connection_kwargs["himport_registry"]
        self._binding = binding
        self._timeout = timeout
        self._purpose = purpose
        self._scope = scope

    def __repr__(self) -> str:
        return f"<LeasedConnections of redis {self._binding.instance!r}>"

    def bound(self, *, purpose: str, scope: "ClientScope | None") -> "LeasedConnections":
        """Return the same pool, whose leases are taken for *purpose* and end with *scope*."""
        return LeasedConnections(
            self._binding,
            self.connection_kwargs,
            timeout=self._timeout,
            purpose=purpose,
            scope=scope,
        )

    async def get_connection(
        self, command_name: str | None = None, *keys: Any, **options: Any
    ) -> DedicatedConnection:
        """Lease a connection within the client's timeout; the arguments are redis-py's, unused."""
        return await self.lease(self._binding.require().loop.time() + self._timeout)

    async def lease(self, deadline: float, purpose: str = "") -> DedicatedConnection:
        """Lease a connection by *deadline*, on the loop's clock, for *purpose*."""
        if self._scope is not None:
            self._scope.check()
        pool = self._binding.require()
        pool.check_usable()
        connection = await pool.leases.acquire(purpose or self._purpose, deadline)
        connection.decode = self.connection_kwargs["decode_responses"]
        connection.himport_registry = self.himport_registry
        if self._scope is not None:
            if self._scope.ended:
                pool.leases.give_back(connection, reusable=True)
            self._scope.check()
            self._scope.note(connection)
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Give a connection back."""
        if not isinstance(connection, DedicatedConnection):
            raise TypeError(f"{connection!r} does not belong to this pool")
        if self._scope is not None:
            self._scope.forget(connection)
        if self._binding.pool is not None:
            await self._binding.pool.leases.release(connection)

    @property
    def has_ended(self) -> bool:
        """Whether the pool is draining or closed."""
        return self._binding.require().state in FINAL

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Within it a server's error becomes what the caller sees."""
        try:
            yield
        except RedisManagerError:
            raise
        except RedisError as error:
            translated = self.translated(error)
            raise translated from translated.__cause__

    def translated(self, error: RedisError) -> Exception:
        """Return what the caller sees of a server's error; have a server probed that refuses."""
        pool = self._binding.require()
        translated = from_reply(error, pool.instance)
        if reconnecting_helps(error):
            pool.suspect(pool.generation, Suspicion.REFUSING, str(translated))
        return translated

    def get_encoder(self) -> Encoder:
        """Return an encoder that decodes as this client's replies are decoded."""
        return Encoder("utf-8", "strict", self.connection_kwargs["decode_responses"])

    def get_protocol(self) -> int:
        """Return the RESP version."""
        return int(self.connection_kwargs["protocol"])

    def maint_notifications_enabled(self) -> bool:
        """Return False: the supervisor watches the server itself."""
        return False

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Do nothing; the manager closes the connections."""

    async def aclose(self) -> None:
        """Do nothing; the manager closes the connections."""

    def reset(self) -> None:
        """Do nothing; the manager replaces the connections."""

    def set_retry(self, retry: Retry) -> None:
        """Do nothing: a second layer of retries would replay writes."""

    async def re_auth_callback(self, token: TokenInterface) -> None:
        """Do nothing; a new connection asks the credential provider."""

    def get_connection_count(self) -> list[tuple[int, dict[str, Any]]]:
        """Return `(count, attributes)` of idle and of used connections, for redis-py's metrics."""
        pool = self._binding.pool
        idle, leased = (pool.leases.book.idle, len(pool.leases.book.leased)) if pool else (0, 0)
        name = {"db.client.connection.pool.name": self._binding.instance}
        state = "db.client.connection.state"
        return [(idle, {**name, state: "idle"}), (leased, {**name, state: "used"})]
