"""The client: redis-py's `Redis`, with commands that travel together and outlive an outage."""

import asyncio
from collections.abc import Coroutine
from copy import copy
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import redis.asyncio
from redis.asyncio.client import ResponseCallbackT

from redis_manager_fastapi.client.binding import Binding, CallOptions
from redis_manager_fastapi.client.call import Call, allocate, coroutine_function
from redis_manager_fastapi.client.connections import LeasedConnections
from redis_manager_fastapi.client.dedicated import execute_dedicated
from redis_manager_fastapi.client.listeners import Monitor, PubSub
from redis_manager_fastapi.client.pipeline import Pipeline
from redis_manager_fastapi.pool.commands import find_shared
from redis_manager_fastapi.pool.dedicated import DedicatedConnection

if TYPE_CHECKING:
    from redis_manager_fastapi.client.scope import ClientScope

# Shared, so that most calls keep no dictionary of their own alive.
_NO_OPTIONS: dict[str, Any] = {}


class Redis(redis.asyncio.Redis):
    """A `redis.asyncio.Redis` over the manager's pool.

    Ordinary commands of all callers share a connection and leave in a write or
    two per turn of the event loop; what cannot share (blocking commands, WATCH,
    pub/sub, MONITOR, `client()`) leases a dedicated connection.  The client holds
    no connection between commands, and closing it closes nothing.

    Every command waits out a short outage and raises one of this library's
    errors in a long one; see `redis_manager_fastapi.errors`.

    Attributes:
        binding: Where the pool is.
        call_options: How commands are carried out.
        scope: What ends the client; None for one that lasts.
        holder: The pinned client whose connection this one uses and does not own.
        own_callbacks: The commands for which `set_response_callback` was called.
    """

    own_callbacks: frozenset[str] = frozenset()

    def __init__(
        self, binding: Binding, options: CallOptions, connection_kwargs: dict[str, Any]
    ) -> None:
        kwargs = connection_kwargs | {"decode_responses": options.decode}
        connections: Any = LeasedConnections(binding, kwargs, timeout=options.timeout)
        super().__init__(connection_pool=connections)
        self.binding = binding
        self.call_options = options
        self.scope: ClientScope | None = None
        self.holder: Redis | None = None

    def __repr__(self) -> str:
        return f"<Redis {self.binding.instance!r} {self.call_options}>"

    def with_options(
        self,
        *,
        decode_responses: bool | None = None,
        timeout: float | None = None,
        dedicated: bool | None = None,
    ) -> Self:
        """Return a client on the same pool with the given options changed.

        Args:
            decode_responses: `False` returns `bytes`, `True` returns `str`.
            timeout: Each command's deadline, in seconds.
            dedicated: `True` takes a dedicated connection for every command;
                for values so large that other callers should not wait behind
                them.
        """
        options = self.call_options.changed(decode_responses, timeout, dedicated)
        return self.with_call_options(options)

    def with_call_options(self, options: CallOptions) -> Self:
        """Return a client on the same pool with these options."""
        client = self._copy()
        client.call_options = options
        kwargs = self.connection_pool.connection_kwargs | {"decode_responses": options.decode}
        connections: Any = LeasedConnections(
            self.binding, kwargs, timeout=options.timeout, scope=self.scope
        )
        client.connection_pool = connections
        if self.single_connection_client:
            client._pin(self if self.connection is not None else self.holder)  # noqa: SLF001 (its own)
        return client

    def scoped(self, scope: "ClientScope") -> Self:
        """Return a client that ends with *scope*."""
        client = self._copy()
        client.scope = scope
        return client

    @coroutine_function
    def execute_command(self, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        """Execute a command and return the parsed reply; arguments are redis-py's.

        Raises:
            RedisUnavailableError: Redis did not come back within grace.
            ReplyLostError: A write was sent and not answered; it may have run.
            CommandTimeoutError: The deadline passed.
            redis.ResponseError: The server rejected the command, for the reason in its text.
        """
        command = find_shared(args[0]) if args and self.call_options.shared else None
        if command is None:
            return self._execute_dedicated(args, options)
        if options:
            options.pop("keys", None)  # for redis-py's cache on the client's side
        call: Call = allocate(Call)
        call.args = args
        call.client = self
        call.command = command
        call.future = None  # type: ignore[assignment]
        call.options = options or _NO_OPTIONS
        return call

    async def _execute_dedicated(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if self.scope is not None:
            self.scope.check()
        return await execute_dedicated(self, args, options)

    async def exchange(
        self, connection: DedicatedConnection, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        """Send a command on *connection* and return the parsed reply."""
        connection.decode = self.call_options.decode
        # redis-py 8.1: `_send_command_parse_response` also prepares HIMPORT's fieldsets.
        return await self._send_command_parse_response(connection, args[0], *args, **options)

    def set_response_callback(self, command: str, callback: ResponseCallbackT) -> None:
        """Have *callback* parse the replies to *command*, on this client alone."""
        self.response_callbacks = copy(self.response_callbacks)
        super().set_response_callback(command, callback)
        self.own_callbacks |= {command.upper()}

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return a pipeline; without WATCH it leaves as one write on the shared connection."""
        return Pipeline(self, self._bound("a pipeline"), transaction, shard_hint)

    def pubsub(self, **kwargs: Any) -> PubSub:
        """Return redis-py's `PubSub` on a dedicated connection."""
        return PubSub(self._bound("a pub/sub"), event_dispatcher=self._event_dispatcher, **kwargs)

    def monitor(self) -> Monitor:
        """Return redis-py's `Monitor` on a dedicated connection."""
        return Monitor(self._bound("a monitor"))

    def client(self) -> Self:
        """Return a client pinned to one connection, for `async with`, as redis-py does."""
        client = self._copy()
        client.connection_pool = self._bound("a pinned connection")
        client.call_options = self.call_options.changed(None, None, dedicated=True)
        client._pin(None)  # noqa: SLF001 (its own)
        return client

    async def initialize(self) -> Self:
        """Lease the connection of a pinned client, as redis-py does."""
        if self.holder is None:
            return await super().initialize()
        await self.holder.initialize()
        return self

    @property
    def connections(self) -> LeasedConnections:
        """The pool under its own type; redis-py's annotation knows only its own class."""
        return cast(LeasedConnections, self.connection_pool)

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

    def _pin(self, holder: "Redis | None") -> None:
        """Pin this client to the connection of *holder*, or to one of its own."""
        self.holder, self.connection = holder, None
        self.single_connection_client, self._usage_counter = True, 0
        self._single_conn_lock, self._usage_lock = asyncio.Lock(), asyncio.Lock()

    def _bound(self, purpose: str) -> Any:
        return self.connections.bound(purpose=purpose, scope=self.scope)

    def _copy(self) -> Self:
        """Return a client that shares everything; redis-py's constructor would build it anew."""
        copy = object.__new__(type(self))
        copy.__dict__ = self.__dict__.copy()  # half the time that `update` takes
        return copy
