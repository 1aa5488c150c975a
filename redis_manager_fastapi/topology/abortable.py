"""redis-py's connection, closed without waiting for a peer that may be stopped."""

import asyncio
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection


class AbortableConnection(AbstractConnection):
    """A redis-py connection whose every closing drops the socket at once.

    Closing politely would wait until the peer has read what is unsent.
    """

    @property
    def transport(self) -> asyncio.Transport:
        """The socket's transport; only while the connection is connected."""
        # redis-py 8.1: `_writer` is the connection's StreamWriter, `_close()` forgets it;
        # tests/client/test_private_names.py fails when one of them goes away.
        if self._writer is None:
            raise RuntimeError("the connection is not connected")
        return cast(asyncio.Transport, self._writer.transport)

    def abort(self) -> None:
        """Drop the connection at once, with whatever is unsent."""
        self._drop()
        self._close()

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """Drop the connection at once; arguments are redis-py's and make no difference."""
        self._drop()
        kwargs["nowait"] = True
        await super().disconnect(**kwargs)

    def _stream(self) -> object:
        """Return the protocol that feeds redis-py's reader, while one does."""
        return self.transport.get_protocol()

    def _drop(self) -> None:
        if self._writer is None:
            return
        transport, stream = self.transport, self._stream()
        transport.abort()
        # asyncio 3.11 to 3.13: a reset leaves an exception for `wait_closed()`, which nobody
        # awaits after an abort; unseen, it would be reported when it is collected.
        if isinstance(stream, asyncio.StreamReaderProtocol):
            waiter = stream._get_close_waiter(self._writer)  # type: ignore[attr-defined]  # noqa: SLF001
            waiter.add_done_callback(_see)


def _see(waiter: "asyncio.Future[None]") -> None:
    if not waiter.cancelled():
        waiter.exception()
