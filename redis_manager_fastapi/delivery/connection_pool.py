"""The pool as redis-py knows pools: whatever takes a `connection_pool` takes this."""

from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

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

_FOR_ASYNCIO = (
    "a manager's pool is for asyncio: take `redis.asyncio.Redis(connection_pool=...)`, or"
    " `manager.redis`, and await its commands; in a thread,"
    " `anyio.from_thread.run(...)` reaches them"
)


class Getting(Coroutine[Any, Any, DedicatedConnection]):
    """A connection to come; it tells a client that does not await what to take instead."""

    __slots__ = ("_getting",)

    def __init__(self, getting: Coroutine[Any, Any, DedicatedConnection]) -> None:
        self._getting = getting

    def __await__(self) -> Generator[Any, Any, DedicatedConnection]:
        return self._getting.__await__()

    def send(self, value: Any) -> Any:
        """Do as the coroutine does."""
        return self._getting.send(value)

    def throw(self, *error: Any) -> Any:
        """Do as the coroutine does."""
        return self._getting.throw(*error)

    def close(self) -> None:
        """Do as the coroutine does."""
        self._getting.close()

    if not TYPE_CHECKING:  # checkers name an unknown attribute themselves

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            self._getting.close()
            raise TypeError(_FOR_ASYNCIO)


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
        self.connection_class = DedicatedConnection
        self.himport_registry = session.connection_kwargs["himport_registry"]
        self.session = session
        self._purpose = purpose
        self._lasting = lasting

    def __repr__(self) -> str:
        return f"<LeasedConnections of redis {self.session.instance!r}>"

    @property
    def max_connections(self) -> int:
        """How many connections may be leased at a time, by all callers together."""
        return self.session.deployment.settings.pool.max_connections

    @property
    def connection_kwargs(self) -> dict[str, Any]:
        """What libraries look up in a pool, and tracing reads of it; no secrets.

        The address is that of the settings; with Sentinels, of the primary that serves.
        """
        kwargs, pool = self.session.connection_kwargs, self.session.deployment.opened
        if "host" in kwargs or "path" in kwargs or pool is None or not pool.address:
            return kwargs
        host, port, _ = pool.address
        return {"host": host, "port": port, **kwargs}

    def of(self, session: Session[Pool]) -> "LeasedConnections":
        """Return these, or the same of *session* if they are another's."""
        if session is self.session:
            return self
        return LeasedConnections(session, self._purpose, lasting=self._lasting)

    # In redis-py an `async def`.
    def get_connection(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, command_name: str | None = None, *keys: Any, **options: Any
    ) -> "Getting":
        """Lease a connection within the client's timeout; the arguments are redis-py's, unused."""
        return Getting(self._get())

    @paced
    async def _get(self) -> DedicatedConnection:
        _, deadline = self.session.begin()
        try:
            lease = await self.lease(deadline)
        except RedisManagerError as error:
            self.session.failed(error)
            raise
        lease.set_retry(ContractRetry(self.session, lease.connection))
        return lease.connection

    async def lease(
        self, deadline: float, *, unlimited: bool = False, fieldsets: bool = True
    ) -> Lease:
        """Lease a connection by *deadline*, on the loop's clock.

        *unlimited* is for callers with a deadline over all: redis-py then limits no read.
        Without *fieldsets* it looks for none of HIMPORT's in what is sent.
        """
        session = self.session
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
        return self.session.opened.leases.of(connection)

    # In redis-py an `async def`.
    def release(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, connection: AbstractConnection
    ) -> Coroutine[Any, Any, None]:
        """Give a connection back."""
        if isinstance(connection, Getting):
            raise TypeError(_FOR_ASYNCIO)
        return self._release(connection)

    async def _release(self, connection: AbstractConnection) -> None:
        if not isinstance(connection, DedicatedConnection):
            raise TypeError(f"{connection!r} does not belong to this pool")
        if self.session.scope is not None:
            self.session.scope.forget(connection)
        pool = self.session.deployment.opened
        if pool is not None:
            await pool.leases.of(connection).release()

    @property
    def has_ended(self) -> bool:
        """Whether the pool is draining or closed."""
        return self.session.opened.state in FINAL

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Within it a server's error becomes what the caller sees."""
        try:
            yield
        except RedisManagerError:
            raise
        except RedisError as error:
            translated = self.translated(error)
            try:
                raise translated from translated.__cause__
            finally:
                del translated  # its traceback has this frame

    def translated(self, error: RedisError) -> Exception:
        """Report *error*; return what the caller sees of it."""
        self.report(error)
        return from_reply(error, self.session.instance)

    def report(self, error: RedisError) -> None:
        """Have the server probed if *error* says that it does not serve."""
        pool = self.session.opened
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing; the manager closes the connections."""

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
        pool = self.session.deployment.opened
        idle, leased = (
            (pool.leases.capacity.idle, len(pool.leases.capacity.leased)) if pool else (0, 0)
        )
        name = {"db.client.connection.pool.name": self.session.instance}
        state = "db.client.connection.state"
        return [(idle, {**name, state: "idle"}), (leased, {**name, state: "used"})]
