"""What a host name leads to, asked for in threads of its own.

asyncio and uvloop ask in the few threads that they have for the whole process: for files,
and for `asyncio.to_thread` as well.  A resolver that hangs for half a minute, and is asked
again each second, takes all of them.
"""

import asyncio
import socket
from contextlib import suppress
from threading import Thread
from typing import Any

# For how long (seconds) whoever asks is joined to a question that is out: by then its answer
# may have been lost, and another one may be answered sooner.
_FRESH = 1.0

Found = list[tuple[Any, ...]]


class Resolver:
    """Asks for the addresses of names, for each one once at a time."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], tuple[float, asyncio.Future[Found]]] = {}

    async def resolve(self, host: str, port: int) -> Found:
        """Return what `socket.getaddrinfo` does for TCP.

        Raises:
            OSError: The name does not resolve.
        """
        loop = asyncio.get_running_loop()
        at, answer = self._asked.get((host, port), (0.0, None))
        if answer is None or answer.done() or loop.time() - at >= _FRESH:
            answer = loop.create_future()
            answer.add_done_callback(asyncio.Future.exception)  # nobody may wait for it any more
            self._asked[host, port] = loop.time(), answer
            question = _Question(host, port, loop, answer)
            Thread(target=question.ask, name=f"redis-resolver-{host}", daemon=True).start()
        return await asyncio.shield(answer)


class _Question:
    """One question, which nothing but its answer ends."""

    def __init__(
        self,
        host: str,
        port: int,
        loop: asyncio.AbstractEventLoop,
        answer: "asyncio.Future[Found]",
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
        if isinstance(found, Exception):
            self._answer.set_exception(found)
        else:
            self._answer.set_result(found)
