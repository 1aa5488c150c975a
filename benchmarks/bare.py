"""The least that a pipelining client can do: an asyncio protocol around hiredis.

It has no deadlines, no bounds and no healing, and stands for what the event
loop and the parser cost by themselves.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

import hiredis

_INCOMPLETE = object()


class BareProtocol(asyncio.Protocol):
    """Commands leave in one write per turn of the loop; replies are matched in order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(encoding="utf-8", notEnoughData=_INCOMPLETE)
        self._unsent: list[bytes] = []
        self._waiting: deque[asyncio.Future[Any]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport

    def get(self, key: str) -> Coroutine[Any, Any, Any]:
        """Get one value; a coroutine, as in redis-py, so that it can become a task."""
        return self.execute_command("GET", key)

    async def execute_command(self, *args: Any) -> Any:
        """Send one command and return its reply."""
        future = self._loop.create_future()
        self._waiting.append(future)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(hiredis.pack_command(args))
        return await future

    def data_received(self, data: bytes) -> None:
        """Hand each reply to the caller that has waited longest."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not _INCOMPLETE:
            self._waiting.popleft().set_result(reply)

    def close(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        self._transport.write(b"".join(unsent))
