"""The pool as redis-py knows pools: whatever takes a `connection_pool` takes this."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPoolInterface
from redis.asyncio.retry import Retry
from redis.auth.token import TokenInterface
from redis.connection import Encoder  # pyright: ignore[reportPrivateImportUsage]  # there is no `__all__`
from redis.exceptions import RedisError

from redis_manager_fastapi.delivery.attempts import ContractRetry
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.leases import Lease
from redis_manager_fastapi.pool.pacing import paced
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import FINAL, Suspicion
from redis_manager_fastapi.topology.failures import from_reply, reconnecting_helps


class LeasedConnections(ConnectionPoolInterface):
    """Leases dedicated connections to redis-py's own code: pub/sub, WATCH, MONITOR, locks.

    Closing or disconnecting it does nothing: the connections belong to the
    manager, and other callers use them.

    Args:
        session: Whose leases they are, and what ends them.
        purpose: What they are taken for, in words.
        lasting: Whether they may be held for longer than a command's time.
    """

    def __init__(
        self, session: Session[Pool], purpose: str = "a connection", *, lasting: bool = True
    ) -> None:
        self.connection_kwargs = session.connection_kwargs
        self.connection_class = DedicatedConnection
        self.himport_registry = session.connection_kwargs["himport_registry"]
        self._session = session
        self._purpose = purpose
        self._lasting = lasting

    def __repr__(self) -> str:
        return f"<LeasedConnections of redis {self._session.instance!r}>"

    def of(self, session: Session[Pool]) -> "LeasedConnections":
        """Return these, or the same of *session* if they are another's."""
        if session is self._session:
            return self
        return LeasedConnections(session, self._purpose, lasting=self._lasting)

    @paced
    async def get_connection(
        self, command_name: str | None = None, *keys: Any, **options: Any
    ) -> DedicatedConnection:
        """Lease a connection within the client's timeout; the arguments are redis-py's, unused."""
        _, deadline = self._session.begin()
        try:
            lease = await self.lease(deadline)
        except RedisManagerError as error:
            self._session.failed(error)
            raise
        lease.set_retry(ContractRetry(self._session, lease.connection))
        return lease.connection

    async def lease(
        self, deadline: float, *, unlimited: bool = False, fieldsets: bool = True
    ) -> Lease:
        """Lease a connection by *deadline*, on the loop's clock.

        *unlimited* is for callers with a deadline over all: redis-py then limits no read.
        Without *fieldsets* it looks for none of HIMPORT's in what is sent.
        """
        session = self._session
        pool, _ = await session.admit()
        lease = await pool.leases.acquire(
            self._purpose,
            deadline,
            grace=session.options.grace,
            decode=session.options.decode,
            unlimited=unlimited,
            lasting=self._lasting,
            registry=self.himport_registry if fieldsets else None,
        )
        if session.scope is not None:
            if session.scope.ended:
                lease.give_back(reusable=True)
                session.check()
            session.scope.note(lease.connection)
        return lease

    def lease_of(self, connection: DedicatedConnection) -> Lease:
        """Return the lease on a connection that redis-py's code holds."""
        return self._session.opened.leases.of(connection)

    async def release(self, connection: AbstractConnection) -> None:
        """Give a connection back."""
        if not isinstance(connection, DedicatedConnection):
            raise TypeError(f"{connection!r} does not belong to this pool")
        if self._session.scope is not None:
            self._session.scope.forget(connection)
        pool = self._session.deployment.opened
        if pool is not None:
            await pool.leases.of(connection).release()

    @property
    def has_ended(self) -> bool:
        """Whether the pool is draining or closed."""
        return self._session.opened.state in FINAL

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
        """Report *error*; return what the caller sees of it."""
        self.report(error)
        return from_reply(error, self._session.instance)

    def report(self, error: RedisError) -> None:
        """Have the server probed if *error* says that it does not serve."""
        pool = self._session.opened
        if not isinstance(error, RedisManagerError) and reconnecting_helps(error):
            reason = str(from_reply(error, pool.instance))
            pool.suspect(pool.generation, Suspicion.REFUSING, reason)

    def get_encoder(self) -> Encoder:
        """Return an encoder that decodes as this client's replies are decoded."""
        return Encoder("utf-8", "strict", self.connection_kwargs["decode_responses"])

    # redis-py's interface has no annotation here, and an empty body.
    def get_protocol(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
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
        pool = self._session.deployment.opened
        idle, leased = (
            (pool.leases.capacity.idle, len(pool.leases.capacity.leased)) if pool else (0, 0)
        )
        name = {"db.client.connection.pool.name": self._session.instance}
        state = "db.client.connection.state"
        return [(idle, {**name, state: "idle"}), (leased, {**name, state: "used"})]
