"""What `manager.subscribe` returns."""

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self

from redis_manager_fastapi.errors import ListenerTooSlowError
from redis_manager_fastapi.observe.words import counted
from redis_manager_fastapi.pool.pacing import paced, turnstile
from redis_manager_fastapi.realtime.buffer import Buffer, Overflow
from redis_manager_fastapi.realtime.items import Gap, Message, check_sendable
from redis_manager_fastapi.realtime.subscriptions.channel import Key, Kind, Listener, MessageBuffer
from redis_manager_fastapi.realtime.subscriptions.hub import Subscriptions
from redis_manager_fastapi.realtime.until import Connected, Until

logger = logging.getLogger("redis_manager_fastapi")


class Subscription:
    """Messages of some channels: `async with` subscribes, `async for` yields.

    It is for one block and one task.  The items are each a `Message`, or a `Gap` where
    messages may be missing.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        keys: Iterable[Key],
        *,
        buffer: int,
        overflow: Overflow,
        until: Connected | None,
    ) -> None:
        instance = subscriptions.instance

        def too_slow(size: int) -> ListenerTooSlowError:
            behind = counted(size, "message")
            message = f"a listener to redis {instance!r} was more than {behind} behind"
            return ListenerTooSlowError(message, instance=instance)

        self._subscriptions = subscriptions
        self._buffer: MessageBuffer = Buffer(buffer, overflow, too_slow)
        self._listener = Listener(keys, self._buffer)
        self._until = Until(until)
        self._entered = self._inside = False
        self._forgotten: weakref.finalize[Any, Any] | None = None

    @paced
    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a subscription is for one block: call `manager.subscribe` again")
        self._entered = True
        await self._subscriptions.enter(self._listener)
        loop = asyncio.get_running_loop()
        self._forgotten = weakref.finalize(
            self, _leave_from_anywhere, loop, self._subscriptions, self._listener
        )
        self._forgotten.atexit = False
        self._inside = True
        self._until.begin(self._buffer.end)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._inside = False
        if self._forgotten is not None:
            self._forgotten.detach()
        self._subscriptions.leave(self._listener)
        await self._until.aclose()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Message | Gap]:
        return self._buffer.take() if self._inside else self._refuse()

    async def _refuse(self) -> NoReturn:
        await turnstile().refused()
        raise RuntimeError("a subscription is heard within its `async with` block")


def _leave_from_anywhere(
    loop: asyncio.AbstractEventLoop, subscriptions: Subscriptions, listener: Listener
) -> None:
    """Forget a listener whose block was never left; objects are collected in any thread."""
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(_leave, subscriptions, listener)


def _leave(subscriptions: Subscriptions, listener: Listener) -> None:
    logger.warning(
        "redis %r: closed a subscription whose block was never left",
        subscriptions.instance,
        extra={
            "event": "redis_left_open",
            "instance": subscriptions.instance,
            "left": ["a subscription"],
        },
    )
    subscriptions.leave(listener)


def subscription(
    subscriptions: Subscriptions,
    channels: tuple[str, ...],
    patterns: Iterable[str],
    *,
    sharded: bool,
    buffer: int,
    overflow: Overflow,
    until: Connected | None,
) -> Subscription:
    """Return a subscription, if its arguments make one.

    Raises:
        TypeError: A name is not a str, or *patterns* is one, or *buffer* is no int.
        ValueError: There is no name, or one cannot be sent, or *buffer* is less than 1, or
            *overflow* unknown.
    """
    if isinstance(patterns, str | bytes):
        raise TypeError('patterns is a list, such as patterns=["room:*"]')
    names = (*channels, *(patterns := tuple(patterns)))
    if not names:
        raise ValueError("subscribe needs a channel, or patterns=[...]")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a channel is a str, not {type(name).__name__}")
        check_sendable("a channel", name)
    if sharded and patterns:
        raise ValueError("there are no sharded patterns; subscribe to them without sharded=True")
    if isinstance(buffer, bool) or not isinstance(buffer, int):
        raise TypeError(f"buffer is an int, not {type(buffer).__name__}")
    if buffer < 1:
        raise ValueError(f"buffer is at least 1, not {buffer}")
    if overflow not in ("drop", "end"):
        raise ValueError(f'overflow is "drop" or "end", not {overflow!r}')
    kind = Kind.SHARDED if sharded else Kind.CHANNEL
    keys = [(kind, name) for name in channels] + [(Kind.PATTERN, name) for name in patterns]
    return Subscription(subscriptions, keys, buffer=buffer, overflow=overflow, until=until)
