"""Commands that somebody observes: the way through redis-py's own methods.

OpenTelemetry's, Sentry's and Datadog's instrumentations replace a few methods of redis-py's
classes, such as `Redis.execute_command`, by functions that call them in turn.  This library's
clients override those methods, so such a function would never be called.  As soon as a method
is no longer redis-py's own, or redis-py's metrics are on, a command takes this way: redis-py's
method, and whatever has replaced it, runs on a stand-in for the client.  Where it would send
the command on a connection it meets a `Carrier`, which has the client deliver it as ever.

One client alone is instrumented by functions that are set on it.  A copy of it keeps them as
its `observers`: its commands run through them, and are delivered by the copy.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any

from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.observe.spans import host_and_port

Deliver = Callable[..., Awaitable[Any]]

_METHODS = ("execute_command", "pipeline")

_NOBODY = (None, None)

# A client, and the copy of it for which its method runs.
_MEANT: ContextVar[tuple[Any, Any]] = ContextVar("meant", default=_NOBODY)


class Carrier:
    """Stands where redis-py's code expects a connection, and hands over what it would send.

    Attributes:
        host: Where the command goes, for redis-py's metrics.
        port: The same.
        db: The same.

    Args:
        session: The client's.
        deliver: Executes the command, or the pipeline.
    """

    def __init__(self, session: Session[Any], deliver: Deliver, slot: int | None = None) -> None:
        self._deliver, self._where = deliver, session.deployment.where(slot)
        self.host, self.port = host_and_port(self._where)
        self.db = session.connection_kwargs["db"]

    @property
    def retry(self) -> "Carrier":
        """What redis-py's code asks to make its attempts; the contract makes them."""
        return self

    async def call_with_retry(self, do: Callable[[], Awaitable[Any]], *_: Any, **__: Any) -> Any:
        """Make the one attempt."""
        return await do()

    async def send(self, _: Any, name: Any, *args: Any, **options: Any) -> Any:
        """Execute a command, in the place of redis-py's sending and parsing."""
        return await self._deliver(args, options)

    async def execute(self, _: Any, commands: Any, raise_on_error: bool) -> Any:
        """Execute a pipeline, in the place of redis-py's sending and parsing."""
        return await self._deliver(raise_on_error)

    async def reset(self) -> None:
        """Do nothing: what was delivered has left no trace on the stand-in."""

    def should_reconnect(self) -> bool:
        """Return False: there is nothing to reconnect."""
        return False


def span_of_command(
    session: Session[Any], args: Sequence[Any], slot: int | None = None
) -> AbstractContextManager[object]:
    """Return the block for a command; a span, if the deployment has a tracer."""
    tracer = session.deployment.tracer
    return tracer.command(args, slot) if tracer is not None else nullcontext()


def span_of_batch(
    session: Session[Any],
    commands: Iterable[Sequence[Any]],
    size: int,
    *,
    transaction: bool,
) -> AbstractContextManager[object]:
    """Return the same for a pipeline, or a transaction."""
    tracer = session.deployment.tracer
    if tracer is None:
        return nullcontext()
    return tracer.batch(commands, size, transaction=transaction)


def stand_in_for_client(client: Any) -> Any:
    """Return a copy of *client* whose commands redis-py's code hands to `client.deliver`."""
    return _carried(client, Carrier(client.session, client.deliver))


def stand_in_for_pipeline(pipe: Any, session: Session[Any], deliver: Deliver) -> Any:
    """Return a copy of *pipe* that redis-py's code hands over to *deliver*, whole."""
    carrier = Carrier(session, deliver)
    copy = _carried(pipe, carrier)
    copy.scripts, copy.reset = set(), carrier.reset
    copy._execute_transaction = copy._execute_pipeline = carrier.execute  # noqa: SLF001
    return copy


def _carried(client: Any, carrier: Carrier) -> Any:
    copy: Any = object.__new__(type(client))
    copy.__dict__ = client.__dict__.copy()
    copy.connection, copy.single_connection_client = carrier, False
    copy._send_command_parse_response = carrier.send  # noqa: SLF001
    return copy


class Observers:
    """What was set on one client to observe it, and runs for a copy of it.

    Args:
        origin: The client that the copy was made of.
    """

    def __init__(self, origin: Any) -> None:
        self._origin = origin
        self.execute_command: Callable[..., Awaitable[Any]] = origin.execute_command
        self.pipeline: Callable[..., Any] = origin.pipeline

    @contextmanager
    def run_for(self, copy: object) -> Iterator["Observers"]:
        """Within it methods of the origin run for *copy*."""
        token = _MEANT.set((self._origin, copy))
        try:
            yield self
        finally:
            with suppress(ValueError):  # a task that is collected ends in another context
                _MEANT.reset(token)


def leave_observers(copy: Any, origin: Any) -> None:
    """Have what was set on *origin* run for *copy*, which has taken it over as its own."""
    found = [vars(copy).pop(name, None) for name in _METHODS]
    if any(found):
        copy.observers = Observers(origin)
        origin.session.deployment.note_observers()


def meant(client: Any) -> Any:
    """Return the client for which a method of *client* runs: itself, or a copy of it."""
    origin, copy = _MEANT.get()
    if origin is not client:
        return client
    _MEANT.set(_NOBODY)
    return copy
