"""An app whose lifespan runs, for clients that drive an app without a server."""

import asyncio
from typing import Any, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redis_manager_fastapi.tasks import end

_STARTUP, _SHUTDOWN = "lifespan.startup", "lifespan.shutdown"


class RunningApp:
    """Runs the lifespan of *app* until the block ends, and gives its state to every request.

    `httpx.ASGITransport` sends requests to an app, and runs no lifespan; put this between them:

        async with RunningApp(app) as running:
            transport = httpx.ASGITransport(running)

    An app that knows no lifespan runs without one, as under uvicorn.

    Args:
        app: An ASGI app.

    Raises:
        Exception: What the lifespan raised, at its start or at its end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._state: dict[str, Any] = {}
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Future[Message]
        self._lifespan: asyncio.Task[None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the app serve one request or WebSocket."""
        state = {**self._state, **scope.get("state", {})}
        await self._app({**scope, "state": state}, receive, send)

    async def __aenter__(self) -> Self:
        # A task of its own, because a lifespan must end in the task in which it began.
        self._lifespan = asyncio.create_task(self._run())
        try:
            await self._ask(_STARTUP, self._lifespan)
        except BaseException:
            await end({self._lifespan})
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            if not self._lifespan.done():
                await self._ask(_SHUTDOWN, self._lifespan)
        finally:
            await end({self._lifespan})

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self._state}
        await self._app(scope, self._asked.get, self._send)

    async def _send(self, message: Message) -> None:
        if not self._answer.done():
            self._answer.set_result(message)

    async def _ask(self, event: str, lifespan: asyncio.Task[None]) -> None:
        """Send the app an event of its lifespan, and wait for its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._asked.put_nowait({"type": event})
        either: set[asyncio.Future[Any]] = {self._answer, lifespan}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._answer.done():
            if event == _SHUTDOWN:
                await lifespan
            lifespan.exception()  # it knows no lifespan: nothing is wrong
        elif self._answer.result()["type"] != f"{event}.complete":
            await lifespan
            raise RuntimeError(self._answer.result().get("message", f"{event} failed"))
