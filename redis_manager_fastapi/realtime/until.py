"""The end of a listener whose client has gone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from redis_manager_fastapi.tasks import end


class Connected(Protocol):
    """A request or a WebSocket, as Starlette has them."""

    def receive(self) -> Awaitable[Mapping[str, Any]]:
        """Return the next ASGI message of the client."""
        ...


class Until:
    """Ends a listener when its client has gone, or cannot be asked.

    Args:
        client: The listener's; None for one that goes on for as long as its block.
    """

    def __init__(self, client: Connected | None) -> None:
        self._client = client
        self._watch: asyncio.Task[None] | None = None

    def begin(self, over: Callable[[], object]) -> None:
        """Call *over* when the client has gone."""
        if self._client is not None:
            watch = _tell(self._client, over)
            self._watch = asyncio.get_running_loop().create_task(watch, name="redis-until")

    async def aclose(self) -> None:
        """Watch for it no more."""
        watch, self._watch = self._watch, None
        if watch is not None:
            await end({watch})


async def _tell(client: Connected, over: Callable[[], object]) -> None:
    try:
        await gone(client)
    finally:
        over()


async def gone(client: Connected) -> None:
    """Return when *client* has closed its connection; what else it sends is passed over.

    So it is for a WebSocket from which the app itself does not receive.
    """
    while True:
        try:
            message = await client.receive()
        except RuntimeError:  # Starlette's: its disconnect was received before
            return
        if message["type"] in ("http.disconnect", "websocket.disconnect"):
            return
