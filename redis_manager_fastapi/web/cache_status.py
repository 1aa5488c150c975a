"""The response header that tells of last known values: `Cache-Status`, RFC 9211."""

from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from redis_manager_fastapi.caching.reads import REPORT, Report


class CacheStatusMiddleware:
    """Labels each response that was made of last known values, while Redis was away.

    `Cache-Status: "redis"; hit; ttl=-42` says that the oldest of them was last known to be true
    42 seconds ago.  A response without it was made of values that are as fresh as asked for.

    Args:
        app: The app.
        name: What the cache is called in the header.
    """

    def __init__(self, app: ASGIApp, name: str = "redis") -> None:
        self.app = app
        self._name = name.replace("\\", "").replace('"', "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, and add the header to its response."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        report = Report()

        async def labelled(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                age = report.close()
                if age > 0:
                    value = f'"{self._name}"; hit; ttl=-{max(1, round(age))}'
                    message["headers"] = [
                        *message.get("headers", ()),
                        (b"cache-status", value.encode("latin-1")),
                    ]
            await send(message)

        token = REPORT.set(report)
        try:
            await self.app(scope, receive, labelled)
        finally:
            report.close()
            with suppress(ValueError):  # a task that is collected ends in another context
                REPORT.reset(token)
