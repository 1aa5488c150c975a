"""What all commands of one client have in common: where they go, how, and until when."""

import asyncio
import sys
import threading
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, cast

from redis.client import NEVER_DECODE, CaseInsensitiveDict

from redis_manager_fastapi.caching.reads import CachedReads
from redis_manager_fastapi.commands.packing import LARGE_REQUEST, pack
from redis_manager_fastapi.commands.sharing import SharedCommand
from redis_manager_fastapi.errors import ClientEndedError, RedisManagerError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.pacing import turnstile
from redis_manager_fastapi.supervision.deployment import Deployment, Opened

P = TypeVar("P", bound=Opened)

Callbacks = MutableMapping[Any, Any]

_this_thread = threading.get_ident
_running_loop = asyncio.get_running_loop


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How a client's commands are carried out.

    Attributes:
        decode: Whether replies are `str` rather than `bytes`.
        timeout: Each command's deadline, in seconds.
        pipelining: Whether commands may share a connection at all.
        shared: Whether this client's listed commands do.
        grace: How long they wait in an outage, in seconds; None for `outage.grace`.
        limit: When a blocking command that went out before has to end, on the loop's
            clock; None for its own time and *timeout* from its call.
        keep: Takes XREAD's arguments once ids are in the place of `$`, for whoever may send
            it to another node; None if nobody does.
    """

    decode: bool
    timeout: float
    pipelining: bool
    shared: bool
    grace: float | None = None
    limit: float | None = field(default=None, repr=False)
    keep: Callable[[tuple[Any, ...]], None] | None = field(default=None, repr=False)

    def changed(
        self,
        decode_responses: bool | None = None,
        timeout: float | None = None,
        dedicated: bool | None = None,
        grace: float | None = None,
    ) -> "CallOptions":
        """Return these options with the given ones in their place; None leaves one as it is.

        Raises:
            ValueError: *timeout* is not a number above 0, or *grace* not one from 0.
        """
        if timeout is not None and not (_is_number(timeout) and timeout > 0):
            raise ValueError(f"timeout must be a number of seconds above 0, not {timeout!r}")
        if grace is not None and not (_is_number(grace) and grace >= 0):
            raise ValueError(f"grace must be a number of seconds, 0 or more, not {grace!r}")
        return CallOptions(
            decode=self.decode if decode_responses is None else bool(decode_responses),
            timeout=self.timeout if timeout is None else timeout,
            pipelining=self.pipelining,
            shared=self.shared if dedicated is None else self.pipelining and not dedicated,
            grace=self.grace if grace is None else grace,
            limit=self.limit,
            keep=self.keep,
        )


def _is_number(value: object) -> bool:
    """Whether *value* can be added to a time: an int may be larger than any float."""
    return isinstance(value, float) or (isinstance(value, int) and value <= sys.float_info.max)


class Scope:
    """The life of a client: a request, or an `async with` block.

    Attributes:
        ended: Whether it is over.
        leases: Connections that were leased through the client and not returned yet.
        instance: The manager's name.
    """

    __slots__ = ("ended", "instance", "leases")

    ended: bool
    instance: str
    leases: list[DedicatedConnection] | None

    def check(self) -> None:
        """Raise `ClientEndedError` once the scope has ended."""
        if self.ended:
            message = (
                "this Redis client was used after its request or `async with` block had ended;"
                " take a new one: `async with manager.client() as r:`"
            )
            raise ClientEndedError(message, instance=self.instance)

    def note(self, connection: DedicatedConnection) -> None:
        """Remember a connection that was leased through the client."""
        if self.leases is None:
            self.leases = []
        self.leases.append(connection)

    def forget(self, connection: DedicatedConnection) -> None:
        """Forget a connection that was returned."""
        if self.leases is not None and connection in self.leases:
            self.leases.remove(connection)


@dataclass(slots=True, repr=False, eq=False)
class Session(Generic[P]):
    """What a client's commands need to know of their client.

    It never changes, but for callbacks that are set on a client which shares them with
    no other: see `with_own_callbacks`.

    Attributes:
        deployment: Where they go.
        options: How they are carried out.
        connection_kwargs: What redis-py's code looks up in a pool; no secrets.
        callbacks: What makes values of replies, by command; redis-py's.
        own_callbacks: The commands whose callback is the user's.
        scope: What ends the client; None for one that lasts.
        call_type: What a listed command becomes: the client layer's `Call`, or None for that.
        cached: How the client reads by way of the cache; None for one that does not.
    """

    deployment: Deployment[P]
    options: CallOptions
    connection_kwargs: dict[str, Any]
    callbacks: Callbacks
    own_callbacks: set[str] = field(default_factory=set)
    scope: Scope | None = None
    call_type: Any = None
    cached: CachedReads | None = None

    def __repr__(self) -> str:
        return f"<Session {self.instance!r} {self.options}>"

    @property
    def instance(self) -> str:
        """The manager's name."""
        return self.deployment.instance

    @property
    def opened(self) -> P:
        """The pool, or the Cluster.

        Raises:
            RedisNotStartedError: The manager has never been opened.
        """
        return self.deployment.opened or self.deployment.require()

    @property
    def ended(self) -> bool:
        """Whether the client's scope is over."""
        return self.scope is not None and self.scope.ended

    def check(self) -> None:
        """Raise `ClientEndedError` once the client's scope has ended."""
        if self.scope is not None:
            self.scope.check()

    def failed(self, error: BaseException) -> None:
        """Count an error that a caller meets."""
        self.deployment.counters.failed(error)

    def begin(self) -> tuple[P, float]:
        """Return where a command goes that begins now, and when its time is up on the loop's clock.

        Raises:
            ClientEndedError, RedisNotStartedError: The client's block
                is over, or its manager is not open.
        """
        if self.scope is not None and self.scope.ended:
            self.scope.check()
        opened = self.deployment.opened or self.deployment.require()
        affinity = opened.affinity
        if _this_thread() != affinity.thread or _running_loop() is not affinity.loop:
            opened.check_usable()
        return opened, affinity.clock() + self.options.timeout

    async def admit(self) -> tuple[P, float]:
        """Do the same as `begin`; a refusal lets the event loop turn first."""
        opened = self.deployment.opened
        if opened is None or opened.refusing:
            await turnstile().turn()
        try:
            return self.begin()
        except RedisManagerError as error:
            self.failed(error)
            await turnstile().refused()
            raise

    def request(
        self,
        request: Any,
        command: SharedCommand,
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> P | None:
        """Fill in *request*, a `Request`, for a listed command; its future is the caller's to set.

        Return where it may be sent; None if it is too large to share a connection.

        Raises:
            ClientEndedError, RedisNotStartedError, PoolClosedError: The client's block
                is over, or its manager is not open.
            redis.DataError: An argument cannot be packed.
        """
        scope, deployment = self.scope, self.deployment
        if scope is not None and scope.ended:
            scope.check()
        packed = pack(command, args)
        if len(packed) > LARGE_REQUEST:
            return None
        opened = deployment.opened or deployment.require()
        affinity = opened.affinity
        if _this_thread() != affinity.thread:
            opened.check_usable()
        call = self.options
        request.packed = packed
        request.began = now = affinity.clock()
        request.deadline = now + call.timeout
        request.decodes = call.decode and NEVER_DECODE not in options
        request.read_only = command.read_only
        return opened

    def with_options(self, options: CallOptions) -> "Session[P]":
        """Return the same session with these options."""
        kwargs = self.connection_kwargs | {"decode_responses": options.decode}
        cached = self.cached.same(decode=options.decode) if self.cached is not None else None
        return replace(self, options=options, connection_kwargs=kwargs, cached=cached)

    def reading(self, cached: CachedReads | None, call_type: Any) -> "Session[P]":
        """Return the same session, which reads by way of a cache, or does not."""
        return Session(
            self.deployment,
            self.options,
            self.connection_kwargs,
            self.callbacks,
            self.own_callbacks,
            self.scope,
            call_type,
            cached,
        )

    def scoped(self, scope: "Scope | None", options: CallOptions | None) -> "Session[P]":
        """Return the same session for a client that ends with *scope*."""
        cached = self.cached.same(decode=self.cached.decode) if self.cached is not None else None
        return replace(self, scope=scope, options=options or self.options, cached=cached)

    def with_callbacks(self, callbacks: Callbacks) -> "Session[P]":
        """Return the same session with these callbacks."""
        own = {name.upper() for name, callback in callbacks.items() if not is_redis_py_s(callback)}
        return replace(self, callbacks=callbacks, own_callbacks=own)

    def with_callbacks_of(self, other: "Session[Any]") -> "Session[P]":
        """Return the same session with those of *other*."""
        return replace(self, callbacks=other.callbacks, own_callbacks=other.own_callbacks)

    def with_own_callbacks(self) -> "Session[P]":
        """Return the same session with a table of callbacks that no other client shares."""
        callbacks = CaseInsensitiveDict({})
        dict.update(callbacks, self.callbacks)  # its own `update` converts each name
        return replace(self, callbacks=callbacks, own_callbacks=set(self.own_callbacks))

    def add_callback(self, command: str, callback: Any) -> None:
        """Have *callback* parse the replies to *command*, in a table of its own."""
        name, table = command.upper(), cast("dict[str, Any]", self.callbacks)
        dict.__setitem__(table, name, callback)  # its own would convert the name again
        if is_redis_py_s(callback):
            self.own_callbacks.discard(name)
        else:
            self.own_callbacks.add(name)


def is_redis_py_s(callback: Any) -> bool:
    """Whether *callback* is redis-py's or a built-in, and so needs no context of its caller's.

    The clients of modules, as `r.json()`, set redis-py's when they are made.
    """
    module = getattr(callback, "__module__", None) or ""
    return module == "builtins" or module == "redis" or module.startswith("redis.")
