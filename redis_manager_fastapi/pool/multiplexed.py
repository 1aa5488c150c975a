"""One socket for many callers.

Commands queue, leave in one write per turn of the event loop, and replies are
matched first in, first out.  Anything that makes a match doubtful (an error
while parsing, a reply with nobody waiting) kills the connection before another
reply is matched: a wrong match would hand one user's data to another.

The connection decides nothing about healing.  It tells its `Owner` that it was
lost or heard again, and fails what it held with `Interrupted`.
"""

import asyncio
from collections import deque
from typing import Protocol

import hiredis

from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.request import Batch, Request

# hiredis' default marker, False, is also a RESP3 boolean.
_INCOMPLETE = object()

# A timer that fires this much late (seconds) says that the loop was stalled; replies
# may lie unread in the socket, so they are read before anything is called overdue.
_STALL = 0.05


# The most bytes of requests in flight on one connection, beside `pipelining.max_in_flight`.
MAX_BYTES_IN_FLIGHT = 64 * 1024 * 1024

# The most bytes handed to the socket at once; what comes after can still be called unsent.
_PIECE = 64 * 1024


class Owner(Protocol):
    """Who put the connection into service and hears what becomes of it."""

    def link_lost(self, link: "MultiplexedConnection", reason: str) -> None:
        """*link* is gone; everything that it held has failed."""
        ...

    def link_heard(self, link: "MultiplexedConnection") -> None:
        """A *link* that was suspected of silence has spoken."""
        ...


class MultiplexedConnection(asyncio.Protocol):
    """A connection that every caller shares, on the socket of an authenticated one.

    The redis-py connection is kept, because its writer closes the socket when
    it is collected, and is closed with this one.

    Attributes:
        last_heard: When bytes last came, on the loop's clock.
        suspected: Set by the owner; makes the next bytes call `Owner.link_heard`.
        lost: Whether the connection is gone.
    """

    def __init__(
        self,
        owner: Owner,
        connection: DedicatedConnection,
        *,
        max_in_flight: int,
        max_bytes: int = MAX_BYTES_IN_FLIGHT,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.last_heard = self.loop.time()
        self.suspected = False
        self.lost = False
        self._owner = owner
        self._instance = connection.instance
        self._reader = hiredis.Reader(
            encoding="utf-8",
            notEnoughData=_INCOMPLETE,
            protocolError=ValueError,
            replyError=connection.parse_error,
        )
        self._connection = connection
        self._transport = connection.transport
        self._queue: list[Request] = []
        self._in_flight: deque[Request] = deque()
        self._bytes = 0
        self._max_in_flight = max_in_flight
        self._max_bytes = max_bytes
        self._room: deque[asyncio.Future[None]] = deque()
        self._flushing = False
        self._paused = False
        self._retiring = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._excused = False
        self._transport.set_protocol(self)

    def __repr__(self) -> str:
        state = "lost" if self.lost else "retiring" if self._retiring else "serving"
        return f"<MultiplexedConnection {state} in_flight={self.in_flight}>"

    @property
    def in_flight(self) -> int:
        """Commands queued or sent whose reply is still to come."""
        return len(self._queue) + len(self._in_flight)

    @property
    def waiting(self) -> int:
        """Callers waiting for room."""
        return len(self._room)

    @property
    def full(self) -> bool:
        """Whether no further command may be submitted now."""
        return self.in_flight >= self._max_in_flight or self._bytes >= self._max_bytes

    def submit(self, request: Request) -> None:
        """Queue *request*: it leaves in this turn of the loop, at once when nothing is in flight.

        The caller has seen that the connection is not `full`.
        """
        if self.lost:
            request.interrupt()
            return
        self._queue.append(request)
        self._bytes += len(request.packed)
        if self._flushing:
            return
        if self._in_flight:
            self._flushing = True
            self.loop.call_soon(self._flush)
        else:
            self._flush()
        if self._timer is None or request.deadline < self._due:
            self._arm(request.deadline)

    async def room(self) -> None:
        """Wait until the connection is no longer full, or lost; first in, first out."""
        while self.full and not self.lost:
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._room.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._wake_room()
                raise

    def retire(self) -> None:
        """Take no more work; close when nobody waits for a reply any more."""
        self._retiring = True
        self._close_if_done()

    def abort(self, reason: str) -> None:
        """Drop the connection at once; nothing more is heard from it."""
        if not self.lost:
            self._lose(reason, notify=False)

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        """Match replies to the callers at the head of the queue."""
        self.last_heard = self.loop.time()
        if self.suspected:
            self._owner.link_heard(self)
        self._reader.feed(data)
        try:
            self._match()
        except Exception as error:
            self._lose(f"the reply stream is broken ({type(error).__name__})")
            return
        if self._room:
            self._wake_room()
        if self._retiring:
            self._close_if_done()

    def eof_received(self) -> bool:
        """The server closed its side; the transport closes ours."""
        self._lose("the server closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._lose("the connection was reset" if exc else "the connection was closed")

    def pause_writing(self) -> None:
        """Hold further commands here, where they still count as unsent."""
        self._paused = True

    def resume_writing(self) -> None:
        """Write what was held."""
        self._paused = False
        self._flush()

    # Inside.

    def _flush(self) -> None:
        """Write what is queued, in pieces: what does not fit into the socket stays unsent."""
        self._flushing = False
        queue, taken = self._queue, 0
        while taken < len(queue) and not (self._paused or self.lost):
            packed, size = [], 0
            while taken < len(queue) and size < _PIECE:
                request = queue[taken]
                taken += 1
                if request.future.done():
                    self._bytes -= len(request.packed)
                    continue
                request.written = True
                self._in_flight.append(request)
                packed.append(request.packed)
                size += len(request.packed)
            if packed:
                self._transport.write(packed[0] if len(packed) == 1 else b"".join(packed))
        del queue[:taken]

    def _match(self) -> None:
        gets, in_flight = self._reader.gets, self._in_flight
        push = hiredis.PushNotification
        while True:
            head = in_flight[0] if in_flight else None
            try:
                reply = gets(head.decode) if head is not None else gets(False)
            except UnicodeDecodeError as error:
                reply = error
            if reply is _INCOMPLETE:
                return
            if type(reply) is push:
                continue
            if head is None:
                raise ValueError("a reply that nobody asked for")
            if type(head) is Batch and not head.add(reply):
                continue
            in_flight.popleft()
            self._bytes -= len(head.packed)
            future = head.future
            if not future.done():
                future.set_result(reply if type(head) is not Batch else head.replies)

    def _lose(self, reason: str, *, notify: bool = True) -> None:
        if self.lost:
            return
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._connection.abort()
        in_flight, self._in_flight = self._in_flight, deque()
        queue, self._queue = self._queue, []
        if notify:
            self._owner.link_lost(self, reason)
        for request in (*in_flight, *queue):
            request.interrupt()
        self._wake_room()

    def _wake_room(self) -> None:
        free = len(self._room) if self.lost else self._max_in_flight - self.in_flight
        while self._room and free > 0 and (self.lost or self._bytes < self._max_bytes):
            waiter = self._room.popleft()
            if not waiter.done():
                waiter.set_result(None)
                free -= 1

    def _close_if_done(self) -> None:
        if self._retiring and all(r.future.done() for r in (*self._in_flight, *self._queue)):
            self._lose("retired")

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = deadline
        self._timer = self.loop.call_at(deadline, self._expire, deadline)

    def _expire(self, due: float) -> None:
        self._timer = None
        now = self.loop.time()
        if now - due > _STALL and not self._excused:
            self._excused = True
            self._arm(now)
            return
        self._excused = False
        deadlines = []
        for request in (*self._in_flight, *self._queue):
            if request.deadline <= now:
                request.expire(self._instance)
            elif not request.future.done():
                deadlines.append(request.deadline)
        if self._in_flight and self._in_flight[0].deadline <= now and self._reader.has_data():
            self._lose("a reply did not end in time")
        elif deadlines:
            self._arm(min(deadlines))
        else:
            self._close_if_done()
