"""What a host name leads to, asked for in threads of its own.

asyncio asks in the few threads that it has for the whole process: for files, and for
`asyncio.to_thread` as well; and it waits for them at its end.  A resolver that hangs for half
a minute, and is asked again each second, takes all of them.  An event loop with a resolver of
its own is asked, as redis-py does.
"""

import asyncio
import socket
from contextlib import suppress
from threading import Thread
from typing import Any

from redis_manager_fastapi.tasks import see

# For how long (seconds) whoever asks is joined to a question that is out: by then its answer
# may have been lost, and another one may be answered sooner.
_FRESH = 1.0

# How many questions about one name are out at most.
_AT_ONCE = 4

_ASYNCIOS = asyncio.BaseEventLoop.getaddrinfo

Found = list[tuple[Any, ...]]


class Resolver:
    """Asks for the addresses of names, for each one seldom while it is not answered."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], list[asyncio.Future[Found]]] = {}
        self._last: dict[tuple[str, int], float] = {}

    async def resolve(self, host: str, port: int) -> Found:
        """Return what `socket.getaddrinfo` does for TCP.

        Raises:
            OSError: The name does not resolve.
        """
        now, place = asyncio.get_running_loop().time(), (host, port)
        asked = self._asked.get(place, [])
        out = [each for each in asked if not each.done()]
        # What was asked before an answer that has come may be answered with what was so then.
        joins = asked[-1:] == out[-1:] and now - self._last.get(place, now) < _FRESH
        if not out or (not joins and len(out) < _AT_ONCE):
            out.append(_ask(host, port))
            self._last[place] = now
        self._asked[place] = out
        return await asyncio.shield(out[-1])


def _ask(host: str, port: int) -> asyncio.Future[Found]:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Found]
    if getattr(loop.getaddrinfo, "__func__", None) is _ASYNCIOS:
        answer = loop.create_future()
        question = _Question(host, port, loop, answer)
        Thread(target=question.ask, name=f"redis-resolver-{host}", daemon=True).start()
    else:
        answer = asyncio.ensure_future(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    answer.add_done_callback(see)
    return answer


class _Question:
    """One question, which nothing but its answer ends."""

    def __init__(
        self,
        host: str,
        port: int,
        loop: asyncio.AbstractEventLoop,
        answer: asyncio.Future[Found],
    ) -> None:
        self._place, self._loop, self._answer = (host, port), loop, answer

    def ask(self) -> None:
        """Ask, in this thread, and hand the answer to the loop's."""
        found: Found | Exception
        try:
            found = socket.getaddrinfo(*self._place, type=socket.SOCK_STREAM)
        except Exception as error:
            found = error
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._take, found)

    def _take(self, found: Found | Exception) -> None:
        if self._answer.done():
            return
        if isinstance(found, Exception):
            self._answer.set_exception(found)
        else:
            self._answer.set_result(found)
