"""What is told of a command, or a pipeline, whose parts went to several nodes.

One part's error is the error of the whole; that part may be the only one that did not run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import wraps
from math import inf
from typing import Any

from redis_manager_fastapi.commands.packing import check_packable
from redis_manager_fastapi.delivery.contract import REPEATABLE, Kind, kind_of, may_have_run
from redis_manager_fastapi.errors import RedisManagerError


class Parts:
    """The parts of one command, or of one pipeline.

    Args:
        deadline: When the command's time is up, on the loop's clock; `inf` if that is known
            elsewhere.
    """

    def __init__(self, deadline: float = inf) -> None:
        self.deadline = deadline
        self._under_way = 0
        self._maybe_executed = False

    async def note(self, part: Awaitable[Any], kind: Kind) -> Any:
        """Execute a part of that kind, and note whether it may have run."""
        self._under_way += 1
        try:
            outcome = await part
        except BaseException as error:
            self.ended(error, kind)
            raise
        finally:
            self._under_way -= 1
        self.ended(outcome, kind)
        return outcome

    def ended(self, outcome: object, kind: Kind) -> None:
        """Note what a part of that kind ended with."""
        self._maybe_executed = self._maybe_executed or may_have_run(outcome, kind)

    def told(self, error: RedisManagerError, kind: Kind) -> RedisManagerError:
        """Return *error* as that of the whole."""
        if kind not in REPEATABLE and (self._maybe_executed or self._under_way):
            error.maybe_executed = True
        return error


# Those of the command that is under way: redis-py makes a task of each.
_CURRENT: ContextVar[Parts] = ContextVar("parts")


@contextmanager
def whole(args: tuple[Any, ...], deadline: float) -> Iterator[None]:
    """Within it a command is executed whose parts are each a `part`, with that deadline."""
    parts = Parts(deadline)
    above = _CURRENT.set(parts)
    try:
        yield
    except RedisManagerError as error:
        raise parts.told(error, kind_of(args)) from error.__cause__
    finally:
        with suppress(ValueError):  # a task that is collected ends in another context
            _CURRENT.reset(above)


def part(
    execute: Callable[..., Coroutine[Any, Any, Any]],
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Have a method that executes a command on one node noted as a part of the `whole`.

    It is given the deadline of that as well.
    """

    @wraps(execute)
    async def noted(client: Any, target_node: Any, *args: Any, **options: Any) -> Any:
        parts = _CURRENT.get()
        executed = execute(client, target_node, parts.deadline, *args, **options)
        return await parts.note(executed, kind_of(args))

    return noted


def check_parts(parts: Iterable[Iterable[Any]]) -> None:
    """Raise what packing the arguments of any of *parts* would raise, before one is sent."""
    for args in parts:
        check_packable(args)


async def together(calls: list[Coroutine[Any, Any, Any]], name: str) -> list[Any]:
    """Await the parts of a command side by side; raise the first error once all have ended."""
    parts, kind = Parts(), kind_of((name,))
    noted = [parts.note(call, kind) for call in calls]
    try:
        outcomes = await asyncio.gather(*noted, return_exceptions=True)
    except asyncio.CancelledError:
        for call in calls:
            call.close()  # those whose task had not begun would say that nobody awaited them
        raise
    for outcome in outcomes:
        if isinstance(outcome, RedisManagerError):
            raise parts.told(outcome, kind) from outcome.__cause__
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes
