"""The client: redis-py's `Redis`, with commands that travel together and outlive an outage."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, Unpack, cast, overload

import redis.asyncio
import redis.observability.providers as observability

from redis_manager_fastapi.client.cached_call import caching
from redis_manager_fastapi.client.call import Call, allocate, coroutine_function, new_call
from redis_manager_fastapi.client.call_coroutine import NOTHING, CallCoroutine, described
from redis_manager_fastapi.client.callbacks import OwnCallbacks
from redis_manager_fastapi.client.observed import (
    Observers,
    leave_observers,
    meant,
    span_of_command,
    stand_in_for_client,
)
from redis_manager_fastapi.client.options import OptionArguments
from redis_manager_fastapi.client.parameters import NoParameter
from redis_manager_fastapi.client.pipeline import Pipeline
from redis_manager_fastapi.client.pubsub import Monitor, PubSub
from redis_manager_fastapi.client.typed import RedisCommands, TextT
from redis_manager_fastapi.commands.blocking import upper_word
from redis_manager_fastapi.commands.sharing import (
    ANYWHERE,
    command_of_its_connection,
    find_shared,
    in_words,
    unanswered,
)
from redis_manager_fastapi.delivery import leased
from redis_manager_fastapi.delivery.connection_pool import LeasedConnections
from redis_manager_fastapi.delivery.replicas_acknowledge import wait, wait_aof
from redis_manager_fastapi.delivery.replies import STUMBLES, raise_if_misread
from redis_manager_fastapi.delivery.session import CallOptions, Scope, Session
from redis_manager_fastapi.errors import ReplyLostError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.redis_py import OWN_EXECUTE_COMMAND, measures

theirs = redis.asyncio.Redis

# Shared, so that most calls keep no dictionary of their own alive.
_NO_OPTIONS: dict[str, Any] = {}

_MADE_BY_A_MANAGER = (
    "a client of redis_manager_fastapi comes from a manager: `RedisManager(url).redis`"
)

_WAITING = frozenset({"WAIT", "WAITAOF"})


Carry = Callable[[tuple[Any, ...], dict[str, Any]], Coroutine[Any, Any, Any]]


class CarriedCall(CallCoroutine):
    """A command that cannot share a connection, or is observed: a coroutine carries it out.

    It makes the coroutine when it is awaited, and can say until then that it was not.

    Attributes:
        args: The command and its arguments.
        carry: Makes the coroutine.
        options: What redis-py adds to the command.
    """

    __slots__ = ("__weakref__", "args", "carry", "future", "options", "steps")

    carry: Carry
    options: dict[str, Any]

    @property
    def __name__(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The command's name: what a task's `repr` shows."""
        return self._name()

    def __repr__(self) -> str:
        return described(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or stored, as a coroutine does."""
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def __del__(self) -> None:
        if self.future is None:
            super().__del__()

    def __await__(self) -> Generator[Any, Any, Any]:
        if self.future is not None:
            raise RuntimeError(f"cannot reuse already awaited {self!r}")
        self.future = NOTHING
        self.steps = steps = self._later()
        return steps.__await__()

    def _name(self) -> str:
        """Return the command's first word: whoever writes it as one text may have values behind."""
        name = self.args[0] if self.args else ""
        words = (name.decode(errors="replace") if isinstance(name, bytes) else str(name)).split()
        return words[0].upper() if words else "a command"

    def _later(self) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that executes the command."""
        return self.carry(self.args, self.options)


def carried(carry: Carry, args: tuple[Any, ...], options: dict[str, Any]) -> CarriedCall:
    """Return a call of the command that the coroutine of *carry* executes."""
    call = CarriedCall()
    call.args, call.carry, call.options = args, carry, options
    call.future = None
    return call


class Redis(RedisCommands[TextT], OwnCallbacks, NoParameter, redis.asyncio.Redis):  # type: ignore[misc]  # replies are exact
    """A `redis.asyncio.Redis` over the manager's pool.

    In annotations `Redis` is a client whose replies are `str`, and `Redis[bytes]`
    one whose replies are `bytes`.

    Ordinary commands of all callers share a connection and leave in a write or
    two per turn of the event loop; what cannot share (blocking commands, WATCH,
    pub/sub, MONITOR, `client()`) leases a dedicated connection.  The client holds
    no connection between commands, and closing it closes nothing.

    Every command waits out a short outage and raises one of this library's
    errors in a long one; see `redis_manager_fastapi.errors`.

    Attributes:
        session: Where its commands go, and how.
        holder: The pinned client whose connection this one uses and does not own.
        observers: What observes the client that this one is a copy of, if anything does.
    """

    as_parameter = "RedisDep"

    session: Session[Pool]
    observers: Observers | None = None
    _connections: LeasedConnections

    def __init__(self, session: Session[Pool]) -> None:
        session.call_type = session.call_type or Call
        self.session = session  # redis-py's constructor sets the callbacks
        self._shares_callbacks = True
        connections: Any = LeasedConnections(session)
        super().__init__(connection_pool=connections)
        self.holder: Redis[Any] | None = None
        self._has_met_loss = False

    def __del__(self, *_: Any) -> None:
        """Dropped while it is pinned, its connection is given back by the pool."""

    def __repr__(self) -> str:
        return f"<Redis {self.session.instance!r} {self.session.options}>"

    # In redis-py an attribute.  Most copies of a client never need one.
    @property
    def connection_pool(self) -> Any:
        """The dedicated connections, as redis-py knows pools; those leased end with the client."""
        self._connections = connections = self._connections.of(self.session)
        return connections

    @connection_pool.setter
    def connection_pool(self, connections: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Set it, as redis-py's constructor does."""
        self._connections = connections

    @classmethod
    def from_pool(cls, connection_pool: Any) -> "Redis[Any]":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return a client on a manager's `connection_pool`, as redis-py's class does on its own.

        Raises:
            TypeError: It is another pool.
        """
        if not isinstance(connection_pool, LeasedConnections):
            kind = type(connection_pool).__name__
            raise TypeError(f"a {kind} is no manager's pool; {_MADE_BY_A_MANAGER}")
        return Redis(connection_pool.session)

    @classmethod
    def from_url(cls, url: str, *_: Any, **__: Any) -> NoReturn:
        """Raise TypeError: a client needs a manager, which keeps its connections healthy."""
        raise TypeError(_MADE_BY_A_MANAGER)

    @overload
    def with_options(
        self, *, decode_responses: Literal[True], **options: Unpack[OptionArguments]
    ) -> "Redis[str]": ...
    @overload
    def with_options(
        self, *, decode_responses: Literal[False], **options: Unpack[OptionArguments]
    ) -> "Redis[bytes]": ...
    @overload
    def with_options(
        self, *, decode_responses: None = None, **options: Unpack[OptionArguments]
    ) -> Self: ...
    @overload
    def with_options(
        self, *, decode_responses: bool, **options: Unpack[OptionArguments]
    ) -> "Redis[str] | Redis[bytes]": ...
    def with_options(
        self,
        *,
        decode_responses: bool | None = None,
        timeout: float | None = None,
        dedicated: bool | None = None,
        grace: float | None = None,
        cache: float | None = None,
        stale: float | None = None,
        cache_exact: bool | None = None,
    ) -> Any:
        """Return a client on the same pool with the given options changed.

        Args:
            decode_responses: `False` returns `bytes`, `True` returns `str`.
            timeout: Each command's deadline, in seconds.
            dedicated: `True` takes a dedicated connection for every command;
                for values so large that other callers should not wait behind
                them.
            grace: How long a command waits in an outage, in seconds after the last reply, in
                the place of `outage.grace`; 0 fails at once.
            cache: For how many seconds the reply to a read may come from this process, which
                the server tells of changes; 0 for never. It is for commands that share
                a connection, not in pipelines.
            stale: How many seconds old a last known value may be that a cached read gives
                while Redis is away; `stale_for` says how old it is. 0 for none.
            cache_exact: Whether a cached reply ends when its key expires; else it may
                be there for a moment longer.
        """
        if decode_responses is timeout is dedicated is grace is None and cache is not None:
            client = self._copy()
        else:
            options = self.session.options.changed(decode_responses, timeout, dedicated, grace)
            client = self.with_call_options(options)
            if cache is stale is cache_exact is None:
                return client
        client.session = caching(client.session, cache, stale, cache_exact)
        return client

    @property
    def stale_for(self) -> float:
        """How old the oldest value is that this client gave in an outage, in seconds; else 0.0."""
        cached = self.session.cached
        return cached.stale_for if cached is not None else 0.0

    def with_call_options(self, options: CallOptions) -> Self:
        """Return a client on the same pool with these options."""
        client = self._copy()
        client.session = self.session.with_options(options)
        if self.single_connection_client:
            client._pin(self if self.connection is not None else self.holder)  # noqa: SLF001 (its own)
        return client

    def scoped(self, scope: Scope | None, options: CallOptions | None = None) -> Self:
        """Return a client that ends with *scope*, with other options if they are given."""
        client = self._copy()
        session = self.session
        client.session = Session(
            session.deployment,
            options or session.options,
            session.connection_kwargs,
            session.callbacks,
            session.own_callbacks,
            scope,
            session.call_type,
            session.cached.same(decode=session.cached.decode) if session.cached else None,
        )
        return client

    # In redis-py an `async def`, for which pyright wants CPython's own class of coroutines.
    @coroutine_function
    def execute_command(self, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Execute a command and return the parsed reply; arguments are redis-py's.

        Raises:
            RedisUnavailableError: Redis did not come back within grace.
            ReplyLostError: A write was sent and not answered; it may have run.
            CommandTimeoutError: The deadline passed.
            redis.ResponseError: The server rejected the command, for the reason in its text.
        """
        session = self.session
        # As `measures` has it, whose call would cost more than all this.
        metrics = observability._observability_instance  # noqa: SLF001
        if (
            theirs.execute_command is not OWN_EXECUTE_COMMAND
            or session.deployment.observed
            or (metrics is not None and metrics._provider_manager is not None)  # noqa: SLF001
        ):
            return carried(self._execute_observed, args, options)
        command = find_shared(args[0]) if args and session.options.shared else None
        if command is None:
            return carried(self._execute_leased, args, options)
        if options:
            options.pop("keys", None)  # for redis-py's cache on the client's side
        call: Call = allocate(session.call_type)
        call.args = args
        call.command = command
        call.future = None
        call.options = options or _NO_OPTIONS
        call.session = session
        return call

    def deliver(self, args: tuple[Any, ...], options: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        """Execute a command that nobody observes, or that is observed already."""
        session = self.session
        command = find_shared(args[0]) if args and session.options.shared else None
        if command is None:
            return self._execute_leased(args, options)
        options.pop("keys", None)
        return new_call(session, command, args, options)

    async def _execute_observed(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Execute a command for whoever observes it; see `client/observed.py`."""
        client = meant(self)
        if self.observers is not None:
            with self.observers.run_for(client) as observers:
                return await observers.execute_command(*args, **options)
        with span_of_command(client.session, args):
            if theirs.execute_command is OWN_EXECUTE_COMMAND and not measures():
                return await client.deliver(args, options)
            stand_in: Any = super(Redis, stand_in_for_client(client))
            return await stand_in.execute_command(*args, **options)

    async def _execute_leased(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        session, name = self.session, args[0]
        if name not in ANYWHERE:
            args, about = in_words(args), command_of_its_connection(args)
            if about and (unanswered(args) or not self.single_connection_client):
                await leased.refuse(about)
        send_and_read = partial(self._exchange, name)
        if not self.single_connection_client:
            return await leased.execute(session, args, options, send_and_read)
        begun = False
        holder = self.holder or self

        async def exchange() -> Any:
            nonlocal begun
            await holder._leave_lost_connection()  # noqa: SLF001 (its own)
            await self.initialize()
            # redis-py 8.1: `_single_conn_lock` keeps the replies in order; `initialize` takes it.
            async with holder._single_conn_lock:  # noqa: SLF001 (its own)
                connection, begun = cast(DedicatedConnection, holder.connection), True
                lease = session.opened.leases.of(connection)
                lease.lift_limit()
                lease.set_decoding(session.options.decode)
                try:
                    sent = args
                    if session.options.keep is not None and args[0] in leased.XREAD:
                        sent = await leased.from_last_ids(session, connection, args)
                    return await send_and_read(connection, sent, options)
                finally:
                    holder._has_met_loss = not connection.alive  # noqa: SLF001 (its own)

        def pinned() -> DedicatedConnection | None:
            return cast("DedicatedConnection | None", holder.connection)

        return await leased.execute_pinned(session, args, exchange, lambda: begun, pinned)

    async def _leave_lost_connection(self) -> None:
        """Unpin this client from a connection that was lost, or dropped with a cancelled command.

        The command that met the loss has told of it.

        Raises:
            ReplyLostError: What the client had set on the connection is lost with it.
        """
        if not self._has_met_loss:
            return
        async with self._single_conn_lock:
            connection = cast(DedicatedConnection, self.connection)
            if connection is None or not self._has_met_loss:
                return
            if connection.has_session:
                message = (
                    f"the connection to redis {self.session.instance!r} that this client was pinned"
                    " to is lost, and with it what was set on it: take another client"
                )
                raise ReplyLostError(message, instance=self.session.instance, maybe_executed=False)
            await self.connection_pool.release(connection)
            self.connection, self._has_met_loss = None, False

    async def _exchange(
        self,
        name: Any,
        connection: DedicatedConnection,
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Any:
        """Send a command on *connection* and return the reply, parsed as that of *name*."""
        # redis-py 8.1: `_send_command_parse_response` also prepares HIMPORT's fieldsets.
        exchange = self._send_command_parse_response
        if args[0] not in _WAITING or self.single_connection_client:
            try:
                return await exchange(connection, name, *args, **options)
            except STUMBLES as error:
                raise_if_misread(error, upper_word(name), options)
                raise
        send = partial(exchange, connection, name, *args, **options)
        if args[0] == "WAIT":
            return await wait(connection, args, send)
        return await wait_aof(connection, send)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return a pipeline; without WATCH it leaves as one write on the shared connection."""
        client = meant(self) if self.session.deployment.observed else self
        if self.observers is not None:
            with self.observers.run_for(client) as observers:
                pipe: Pipeline = observers.pipeline(transaction, shard_hint)
            return pipe
        return Pipeline(client.session, transaction, shard_hint)

    def pubsub(self, **kwargs: Any) -> PubSub:
        """Return redis-py's `PubSub` on a dedicated connection."""
        connections: Any = LeasedConnections(self.session, "a pub/sub")
        dispatcher: Any = self._event_dispatcher  # redis-py annotates it by its interface here
        return PubSub(connections, event_dispatcher=dispatcher, **kwargs)

    def monitor(self) -> Monitor:
        """Return redis-py's `Monitor` on a dedicated connection."""
        connections: Any = LeasedConnections(self.session, "a monitor")
        return Monitor(connections)

    def client(self) -> Self:
        """Return a client pinned to one connection, for `async with`, as redis-py does."""
        client = self._copy()
        options = self.session.options.changed(None, None, dedicated=True)
        client.session = self.session.with_options(options)
        client.connection_pool = LeasedConnections(client.session, "a pinned connection")
        client._pin(None)  # noqa: SLF001 (its own)
        return client

    async def initialize(self) -> Self:
        """Lease the connection of a pinned client, as redis-py does."""
        if self.holder is None:
            return await super().initialize()
        await self.holder.initialize()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # redis-py 8.1 shields two awaits here; cancelled in the first, it would keep the lease.
        self._usage_counter -= 1
        if self._usage_counter == 0:
            await self.aclose()

    def _pin(self, holder: "Redis[Any] | None") -> None:
        """Pin this client to the connection of *holder*, or to one of its own."""
        self.holder, self.connection, self._has_met_loss = holder, None, False
        self.single_connection_client, self._usage_counter = True, 0
        self._single_conn_lock, self._usage_lock = asyncio.Lock(), asyncio.Lock()

    def _copy(self) -> Self:
        """Return a client that shares everything; redis-py's constructor would build it anew."""
        copy = object.__new__(type(self))
        self._shares_callbacks = True
        copy.__dict__ = self.__dict__.copy()  # half the time that `update` takes
        if "execute_command" in copy.__dict__ or "pipeline" in copy.__dict__:
            leave_observers(copy, self)
        return copy
