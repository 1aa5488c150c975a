"""The end of a listener whose client has gone."""

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol


class Connected(Protocol):
    """A request or a WebSocket, as Starlette has them."""

    def receive(self) -> Awaitable[Mapping[str, Any]]:
        """Return the next ASGI message of the client."""
        ...


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
