"""A command from its call to its reply, as an object that can be awaited.

The value goes straight to whoever awaits the call: neither a coroutine nor, in
`asyncio.gather`, a task stands between them, which costs as much as the
command itself.  To everyone else a call is a coroutine: it behaves as one, and
looking at it does not send it.
"""

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import CoroutineType
from typing import Any, ClassVar, NoReturn, TypeVar, cast

from redis_manager_fastapi.client.call_coroutine import NOTHING, CallCoroutine, described
from redis_manager_fastapi.client.call_future import (
    ISFUTURE,
    PRIVATE,
    Absent,
    CallFuture,
    change_type,
    initialize,
)
from redis_manager_fastapi.client.not_awaited import calling_frame
from redis_manager_fastapi.commands.sharing import SharedCommand
from redis_manager_fastapi.delivery.contract import kind_of
from redis_manager_fastapi.delivery.leased import exchange_listed, execute
from redis_manager_fastapi.delivery.replica_reads import next_link, read
from redis_manager_fastapi.delivery.replies import awaited, callback_of, parse, parsed, recovered
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.delivery.shared import deliver
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pacing import turnstile
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.proof import Proving
from redis_manager_fastapi.pool.request import (
    TOLD_IN_TURN,
    Reply,
    Request,
    ScriptRequest,
    SingleRequest,
)

F = TypeVar("F", bound=Callable[..., Any])

allocate: Any = asyncio.Future.__new__
"""Make a `Call` past its constructor, whose time counts; `Redis.execute_command` fills it."""


def coroutine_function(function: F) -> F:
    """Mark a function that returns a `Call` as what it is to its callers: a coroutine function."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    # CPython 3.11.7: `inspect` reads this flag.  The interpreter makes a coroutine by an
    # instruction, which this code does not contain, so it runs as the function that it is.
    code = function.__code__
    marked: Any = function
    marked.__code__ = code.replace(co_flags=code.co_flags | inspect.CO_COROUTINE)
    return function


class Command(asyncio.Future[Any], Request):
    """A command, and its request.

    Attributes:
        args: The command and its arguments.
        command: What the table says about it.
        future: Where the value arrives; None until the command is sent.
        label: The name that was set on it as a future; unset before.
        options: What redis-py adds to the command for its reply's callback.
        pool: Where it is sent; unset for what is too large to share a connection.
        replica: The connection to a replica that it was sent on, if it was; unset for others.
        session: What the client's commands have in common.
        steps: What drives it as a coroutine; unset for one that leaves at once and is awaited.
        task: What carries on after an error, once there was one.
    """

    __slots__ = (
        *("args", "command", "label", "options", "pool", "replica", "session", "steps", "task"),
        *("began", "deadline", "decodes", "future", "packed", "read_only"),
    )

    args: tuple[Any, ...]
    command: SharedCommand
    options: dict[str, Any]
    pool: Pool
    replica: MultiplexedConnection | None
    session: Session[Pool]
    steps: Any
    task: asyncio.Task[Any]

    @property
    def __name__(self) -> str:
        """The command's name: what a task's `repr` shows."""
        name: str = self.args[0]
        return name

    def __repr__(self) -> str:
        return described(self)

    def finish(self, outcome: Any) -> None:
        """Hand the value over, or carry on after an error; too late for a caller that left."""
        future, self.future = self.future, NOTHING
        if future.done():
            return
        if isinstance(outcome, Exception):
            self._fail(future, outcome)
            return
        if callback_of(self.session.callbacks, self.args[0]) is None:
            future.set_result(outcome)
        else:
            self._parse(future, outcome)
        if future is self:
            self.packed = b""  # kept no longer than needed, whoever keeps the future

    def _fail(self, future: Reply, error: Exception) -> None:
        """Carry on after an error: at once, or in the caller's turn if many fail together."""
        if isinstance(error, TOLD_IN_TURN):
            self._recover(future, error)
        else:
            turnstile().spread(iter([partial(self._recover, future, error)]))

    def _recover(self, future: Reply, error: Exception) -> None:
        """Carry on after an error, unless the caller has left."""
        if not future.done():
            # Its request does not know the future: the error in that would know the request.
            self._carry_on(future, self._after(self._request(NOTHING), error))

    def _request(self, future: Reply) -> SingleRequest:
        """Return a request that can be sent again."""
        request = ScriptRequest() if self.command.script else SingleRequest()
        request.packed, request.future, request.began = self.packed, future, self.began
        request.deadline, request.decodes = self.deadline, self.decodes
        request.read_only = self.read_only
        return request

    def _after(self, request: SingleRequest, error: Exception) -> Coroutine[Any, Any, Any]:
        """Return what gives the value of a command that was sent, and met an error."""
        link = getattr(self, "replica", None)
        return self._value(request, error) if link is None else self._read(request, link, error)

    async def _read(
        self,
        request: SingleRequest,
        link: MultiplexedConnection | None = None,
        error: Exception | None = None,
    ) -> Any:
        """Return the value of a read that may go to a replica, or has met an error on *link*."""
        try:
            outcome = await read(self.session.deployment, request, self._grace(), link, error)
        except RedisManagerError as failure:
            self.pool.counters.failed(failure)
            await turnstile().refused()
            raise
        finally:
            del error  # its traceback has this frame
        return await self._value(request, outcome)

    async def _value(self, request: SingleRequest, outcome: Any) -> Any:
        """Return the value of a reply, or what becomes of an exception by the outage contract."""
        if isinstance(outcome, Exception):
            grace, kind, error, outcome = self._grace(), kind_of(self.args), outcome, None
            try:
                outcome = await recovered(self.pool, request, error, kind, grace, self.options)
            finally:
                del error  # its traceback has this frame
        return await parsed(self.session.callbacks, self.args[0], outcome, self.options)

    def _grace(self) -> float | None:
        """Return how long the command may wait in an outage; None for `outage.grace`."""
        return self.session.options.grace

    def _parse(self, future: Reply, reply: Any) -> None:
        """Hand over what redis-py's callback makes of a reply, an exception included.

        It runs between other callers' replies, so nothing may leave it.
        """
        try:
            value = parse(self.session.callbacks, self.args[0], reply, self.options)
            if hasattr(value, "__await__"):
                self._carry_on(future, awaited(value))
            else:
                future.set_result(value)
        except StopIteration as error:  # which no future takes
            future.set_exception(RuntimeError(f"the callback of {self!r} raised {error!r}"))
        except BaseException as error:
            future.set_exception(error)

    def _carry_on(self, future: Reply, work: Coroutine[Any, Any, Any]) -> None:
        """Hand over what *work* returns or raises, unless the caller leaves before."""
        # Never an eager task: it would begin here, between other callers' replies.
        self.task = task = asyncio.Task(work, loop=future.get_loop())
        task.add_done_callback(partial(self._hand_over, future))
        future.add_done_callback(lambda _: task.cancel())

    def _hand_over(self, future: Reply, task: asyncio.Task[Any]) -> None:
        """Finish *future* as the task ended."""
        del self.task  # else an error, whose traceback knows this call, is kept by the call
        if task.cancelled():
            future.cancel()
            return
        error = task.exception()
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())


class CommandFuture(CallFuture, Command):
    """A command that somebody has asked whether it is a future, and that is one since."""

    __slots__ = ()

    def cancel(self, msg: Any | None = None) -> bool:
        """Give up the value; what was not written yet never is."""
        cancelled = super().cancel(msg)
        if cancelled:
            self.future = NOTHING  # itself until now: no cycle remains
        return cancelled


class Call(CallCoroutine, Command):
    """A command that was called; it is sent when it is awaited, as redis-py's coroutine would be.

    Where a coroutine is expected, as by `asyncio.create_task`, it is one, and shows
    what a coroutine shows.  Functions that take futures as well (`asyncio.gather`,
    `wait_for`, `shield`, `ensure_future`) ask whether it is one: it becomes one then
    and is sent, if it can leave at once.  If it cannot, they make a task of it.

    Attributes:
        future_type: What it becomes.
    """

    __slots__ = ()

    future_type: ClassVar[type[CommandFuture]] = CommandFuture

    @property  # type: ignore[misc]  # it cannot be set
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A coroutine's class; only when `asyncio.isfuture` asks, the call becomes a future.

        `dir` reads this too, so debuggers and `inspect.getmembers` find a coroutine's names.
        """
        future: Any = self.future
        if future is not None or calling_frame(1).f_code is not ISFUTURE:
            return CoroutineType
        try:
            link = self._prepare()
            if link is None:
                return CoroutineType
            initialize(self, loop=link.loop)
            self.future = self
            link.submit(self)
        except Exception:  # whoever awaits the call meets it again
            self.future = None
            return CoroutineType
        future_type = self.future_type
        change_type(self, future_type)  # for `asyncio.wait`, what is a coroutine is no future
        return future_type

    def __await__(self) -> Generator[Any, Any, Any]:
        if self.future is not None:
            raise RuntimeError(f"cannot reuse already awaited {self!r}")
        try:
            link = self._prepare()
        except Exception as error:
            self.session.failed(error)
            self.future = NOTHING
            self.steps = refusal = _refuse(error)
            return refusal.__await__()
        if link is None:
            self.future = NOTHING
            self.steps = later = self._later()
            return later.__await__()
        self.future = future = link.loop.create_future()
        link.submit(self)
        return future.__await__()

    # For code that recognizes a future by its type (`isinstance`) and not by `isfuture`.

    def add_done_callback(self, fn: Any, /, *, context: Any = None) -> None:
        """Become a future, and call *fn* when it is done."""
        self._become().add_done_callback(fn, context=context)

    def cancel(self, msg: Any | None = None) -> bool:
        """Become a future that is cancelled."""
        return self._become().cancel(msg)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Become a future, and return its loop."""
        return self._become().get_loop()

    def _prepare(self) -> MultiplexedConnection | None:
        """Make a request of the command; return the connection that takes it as it is, now.

        Raises:
            ClientEndedError, RedisNotStartedError, PoolClosedError: The client's block
                is over, or its manager is not open.
            redis.DataError: An argument cannot be packed.
        """
        session, command = self.session, self.command
        pool = session.request(self, command, self.args, self.options)
        if pool is None:
            return None
        self.pool = pool
        links = pool.link_set
        link = links.only
        if link is None or link.full or (links.room.alone and links.goes_alone(self.packed)):
            return None
        # A callback of the user's wants the caller's own context.
        own = session.own_callbacks
        if own and self.args[0] in own:
            return None
        if command.replicable:
            return self._replica_or(link) if session.deployment.reads_replicas else link
        return cast(MultiplexedConnection, Proving(link)) if command.script else link

    def _replica_or(self, link: MultiplexedConnection) -> MultiplexedConnection | None:
        """Return the connection for a read: to the replica, if it is its turn, or *link*."""
        self.replica = next_link(self.session.deployment)
        return self.replica or link

    def _become(self) -> asyncio.Future[Any]:
        """Become a future whose value comes from a task."""
        if self.future is not None:
            raise RuntimeError(f"cannot reuse already awaited {self!r}")
        initialize(self, loop=asyncio.get_running_loop())
        work = self._twin()
        self.future = self
        change_type(self, self.future_type)
        self._carry_on(self, work)
        return self

    def _twin(self) -> "Call":
        """Return a second call of the same command."""
        return new_call(self.session, self.command, self.args, self.options)

    async def _later(self) -> Any:
        """Execute in the caller's context what has to wait, or is more than a shared command."""
        session, pool = self.session, getattr(self, "pool", None)
        if pool is None or (pool.link_set.room.alone and pool.link_set.goes_alone(self.packed)):
            exchange = partial(exchange_listed, session)
            return await execute(session, self.args, self.options, exchange)
        request = self._request(pool.loop.create_future())
        if pool.refusing:
            await turnstile().turn()
        if self.command.replicable and session.deployment.reads_replicas:
            return await self._read(request)
        try:
            outcome = await deliver(pool, request, self._grace())
        except RedisManagerError as error:
            pool.counters.failed(error)
            await turnstile().refused()
            raise
        return await self._value(request, outcome)


for _private in PRIVATE:
    setattr(Call, _private, Absent(_private))


def new_call(
    session: Session[Pool],
    command: SharedCommand,
    args: tuple[Any, ...],
    options: dict[str, Any],
) -> Call:
    """Return a call of a listed command."""
    call: Call = allocate(session.call_type)
    call.args, call.session, call.command = args, session, command
    call.future, call.options = None, options
    return call


async def _refuse(error: Exception) -> NoReturn:
    """Raise what the caller is refused with, once the loop has turned."""
    await turnstile().refused()
    raise error
