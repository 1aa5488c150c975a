"""A client of server-sent events that connects again with its last ID, as browsers do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx

from tests.kit.waiting import TICK

HELLO = "hello"


@dataclass(slots=True)
class EventSource:
    """What one client has received.

    Attributes:
        url: Where the events are.
        data: The data of each event, with "gap" for each of that name.
        last: The ID of the last event.
        connects: How often it has connected with success.
        cut: When it was last cut off, on the loop's clock.
    """

    url: str
    data: list[str] = field(default_factory=list)
    last: str = ""
    connects: int = 0
    cut: float = 0.0

    @property
    def said(self) -> list[str]:
        """The data without what was sent to see whether it listens."""
        return [data for data in self.data if data != HELLO]

    async def follow(self, http: httpx.AsyncClient, end: str) -> None:
        """Receive until an event's data is *end*; connect again whenever it is cut off."""
        while True:
            try:
                async for data in self._events(http):
                    self.data.append(data)
                    if data == end:
                        return
                self.cut = asyncio.get_running_loop().time()
            except httpx.TransportError:
                pass
            await asyncio.sleep(TICK)

    async def _events(self, http: httpx.AsyncClient) -> AsyncIterator[str]:
        headers = {"Last-Event-ID": self.last} if self.last else {}
        async with http.stream("GET", self.url, headers=headers) as response:
            if response.status_code != 200:
                return
            self.connects += 1
            name, data = "", ""
            async for line in response.aiter_lines():
                kind, _, value = line.partition(": ")
                if kind == "event":
                    name = value
                elif kind == "data":
                    data = value.strip('"')
                elif kind == "id":
                    self.last = value
                elif not line and data:
                    yield name or data
                    name, data = "", ""
