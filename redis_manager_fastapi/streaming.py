"""What an outage does to a response that has begun: it ends, and the log says so once.

Nothing can be answered any more, and a traceback for each client would bury the line that
explains them all.  This is plain ASGI: the app's framework is not imported.
"""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from redis_manager_fastapi.errors import RedisOutageError
from redis_manager_fastapi.observe.log import tallies

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_FINAL = {"type": "http.response.body", "body": b"", "more_body": False}


class StreamEndings:
    """Around an ASGI app: ends a response that met an outage after it had begun.

    A stream of events ends as if it were over, so that a browser connects again.  Any other
    response is cut off, because what is incomplete must not look complete.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = _Sent(send)
        try:
            await self.app(scope, receive, sent)
        except Exception as error:
            outage = _outage_in(error)
            if sent.start is None or outage is None:
                raise
            tallies.ended(outage)
            if _is_of_events(sent.start) and not sent.is_over:
                await send(_FINAL)


class _Sent:
    """Sends a response, and knows what has been sent of it.

    One object instead of the seven of a nested function and what it shares: as long as a
    request waits for Redis, Python's collector walks them all again and again.

    Attributes:
        start: Its first message; None before.
        is_over: Whether its last message was sent.
    """

    __slots__ = ("_send", "is_over", "start")

    start: Message | None

    def __init__(self, send: Send) -> None:
        self._send, self.start, self.is_over = send, None, False

    def __call__(self, message: Message) -> Awaitable[None]:
        if self.start is None:
            self.start = message
        elif not message.get("more_body", False):
            self.is_over = True
        return self._send(message)


def end_streams(app: Any) -> None:
    """Have *app*, if it is of Starlette's kind, end its responses like this from now on."""
    stack = getattr(app, "middleware_stack", None)
    if stack is not None and not isinstance(stack, StreamEndings):
        app.middleware_stack = StreamEndings(stack)


def _is_of_events(start: Message) -> bool:
    headers = dict(start.get("headers") or ())
    return bytes(headers.get(b"content-type", b"")).startswith(b"text/event-stream")


def _outage_in(error: BaseException) -> RedisOutageError | None:
    """Return the outage that *error* is, if it is nothing else.

    Starlette wraps what it has a handler for in a RuntimeError when the response has begun.
    """
    errors = list(leaves(error))
    if errors and all(isinstance(each, RedisOutageError) for each in errors):
        found: RedisOutageError = errors[0]
        return found
    cause = error.__cause__
    return _outage_in(cause) if type(error) is RuntimeError and cause is not None else None


def leaves(error: BaseException) -> Iterator[Any]:
    """Yield the errors of a group, and of the groups in it; of any other error itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
