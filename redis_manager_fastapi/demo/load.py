"""Visitors of the demo: they count hits over HTTP, and note what they were answered."""

import asyncio
import json
import time
from collections import Counter, deque
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from redis_manager_fastapi.demo.tally import Tally
from redis_manager_fastapi.manager import RedisManager

PATH = "/hits/demo"
KEY = "hits:demo"
_SHOWN = 14
_TURN = 0.02
_PATIENCE = 0.5
_ASKED_EVERY = 0.25
_KEPT = 3.0  # uvicorn closes connections that were idle for 5 s
_REQUEST = f"POST {PATH} HTTP/1.1\r\nHost: demo\r\nContent-Length: 0\r\n\r\n".encode()
_COUNTED = "redis_reply_lost"
"""The error's code after which a hit may have been counted all the same."""


class Answer(NamedTuple):
    """What a visitor was answered.

    Attributes:
        status: The HTTP status; 0 if there was none.
        seconds: How long it took.
        code: The error's code, from the body.
    """

    status: int
    seconds: float
    code: str


class _Idle(NamedTuple):
    since: float
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Load:
    """Asks for a page so many times a second, over keep-alive connections.

    Attributes:
        rate: Visits a second.
        total: The answers by status, since the start.
        tally: What visitors were told of their hits.
        found: How that fits what Redis has counted, by `Tally.compare`; None while it cannot be
            asked.
    """

    def __init__(self, port: int) -> None:
        self.rate = 0
        self.total: Counter[int] = Counter()
        self.tally = Tally()
        self.found: dict[str, Any] | None = None
        self._port = port
        self._last: deque[tuple[float, Answer]] = deque(maxlen=2_000)
        self._idle: list[_Idle] = []
        self._visits: dict[asyncio.Task[None], float] = {}  # and when each began

    async def run(self) -> None:
        """Send visitors, until cancelled."""
        due, before = 0.0, time.monotonic()
        try:
            while True:
                await asyncio.sleep(_TURN)
                now = time.monotonic()
                due = min(due + self.rate * (now - before), float(self.rate))
                before = now
                while due >= 1:
                    due -= 1
                    visit = asyncio.create_task(self._visit())
                    self._visits[visit] = now
                    visit.add_done_callback(self._visits.pop)
        finally:
            for visit in self._visits:
                visit.cancel()
            for idle in self._idle:
                idle.writer.close()

    async def check(self, manager: RedisManager) -> None:
        """Ask Redis what it has counted, again and again, until cancelled."""
        while True:
            asked = self.tally.ask()
            counted = await _counted(manager)
            oldest = next(iter(self._visits.values()), time.monotonic())
            self.found = None
            if counted is not None:
                self.found = self.tally.compare(counted, asked, since=oldest)
            await asyncio.sleep(_ASKED_EVERY)

    def report(self) -> dict[str, Any]:
        """Return what visitors met: in the last second, lately, and since the start."""
        now = time.monotonic()
        recent = [answer for at, answer in self._last if at > now - 1.0]
        times = sorted(each.seconds for each in recent)
        return {
            "rate": self.rate,
            "waiting": len(self._visits),
            "now": Counter(each.status for each in recent),
            "slowest": times[-1] if times else 0.0,
            "last": [answer for _, answer in list(self._last)[-_SHOWN:]][::-1],
            "total": self.total,
            "told": self.tally.told,
            "unsure": self.tally.unsure,
            "found": self.found,
        }

    async def _visit(self) -> None:
        began = time.monotonic()
        try:
            status, body = await self._ask()
        except (OSError, EOFError, ValueError):
            status, body = 0, b""
        told: dict[str, Any] = {}
        with suppress(ValueError):
            told = json.loads(body)
        code = str(told.get("code", ""))
        now = time.monotonic()
        self._last.append((now, Answer(status, round(now - began, 4), code)))
        self.total[status] += 1
        if status == HTTPStatus.OK:
            self.tally.note(int(told["hits"]))
        self.tally.unsure += code == _COUNTED or status in (0, 504)

    async def _ask(self) -> tuple[int, bytes]:
        """Send a request over an idle connection, or a new one; return status and body."""
        reader, writer = self._taken() or await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(_REQUEST)
            status = int((await reader.readuntil(b"\r\n")).split()[1])
            length = 0
            while line := (await reader.readline()).strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        self._idle.append(_Idle(time.monotonic(), reader, writer))
        return status, body

    def _taken(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Take the connection that was used last, unless the server is about to close it."""
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since < _KEPT and not reader.at_eof():
                return reader, writer
            writer.close()
        return None


async def _counted(manager: RedisManager) -> int | None:
    """Return what Redis has counted; None while it cannot be asked."""
    asking = manager.optional_client()
    if asking is not None:
        with suppress(RedisError, TimeoutError):
            async with asyncio.timeout(_PATIENCE), asking as redis:
                return int(await redis.get(KEY) or 0)
    return None
