"""One socket for many callers.

Commands queue, leave in a write or two per turn of the event loop, and replies are
matched first in, first out.  Anything that makes a match doubtful (an error
while parsing, a reply with nobody waiting, a heartbeat's answer that is not where
it belongs) kills the connection before another reply is matched: a wrong match
would hand one user's data to another.

The connection decides nothing about healing.  It tells its `LinkEvents` that it was
lost or heard again, and fails what it held with `Interrupted`.
"""

import asyncio
import math
import secrets
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import hiredis

from redis_manager_fastapi.errors import Cause
from redis_manager_fastapi.pool import errors
from redis_manager_fastapi.pool.causes import Connection, Finding
from redis_manager_fastapi.pool.counters import BOUNDS
from redis_manager_fastapi.pool.deadline import STALL
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.flow import FLOW_WINDOW, Flow
from redis_manager_fastapi.pool.link_events import LinkEvents
from redis_manager_fastapi.pool.pacing import PER_TURN, turnstile
from redis_manager_fastapi.pool.proof import with_proof
from redis_manager_fastapi.pool.reader import TolerantReader
from redis_manager_fastapi.pool.request import (
    Batch,
    DoubtfulReplyError,
    Heartbeat,
    Reply,
    Request,
    first_piece,
    new_request,
)
from redis_manager_fastapi.pool.room import LARGE_REPLY, Room
from redis_manager_fastapi.pool.slices import SLICE, read_in_slices
from redis_manager_fastapi.pool.turn import MANY, WHOLE, answered_together
from redis_manager_fastapi.redis_py import is_unacknowledged

# hiredis' default marker, False, is also a RESP3 boolean.
_INCOMPLETE = object()

_running_loop = asyncio.get_running_loop
_PUSH = hiredis.PushNotification
_LOST = Cause.CONNECTION_LOST

# The most bytes of requests in flight on one connection, beside `pipelining.max_in_flight`.
MAX_BYTES_IN_FLIGHT = 64 * 1024 * 1024

# The most bytes handed to the socket at once; what comes after can still be called unsent.
_PIECE = 64 * 1024

# With so many commands in flight, no more bytes of replies are matched in one turn of the loop.
_CROWD = 500

# Most commands take no longer, and are counted without a search for their bucket.
_FAST = BOUNDS[0]


class MultiplexedConnection(asyncio.Protocol):
    """A connection that every caller shares, on the socket of an authenticated one.

    The redis-py connection is kept, because its writer closes the socket when
    it is collected, and is closed with this one.

    Attributes:
        batch: How many commands leave ahead of the others of this turn of the loop.
        last_beat: The heartbeat that was sent last; None before the first.
        last_heard: When bytes last came, on the loop's clock.
        suspected: Set by the pool; makes the next bytes call `LinkEvents.link_heard`.
        lost: Whether the connection is gone.
        full: Whether no further command may be submitted now: what comes has to wait in `Room`.
        opened_at: When the connection was made, on the loop's clock.
        uncounted: How many of the replies that are being matched answer nobody's command.
    """

    # They are more than CPython 3.11 finds at their places in instances without slots.
    __slots__ = (
        *("batch", "full", "last_beat", "last_heard", "loop", "lost", "opened_at", "suspected"),
        *("uncounted", "writes", "_beats", "_bytes", "_connection", "_counters", "_due"),
        *("_events", "_excused", "_flow", "_heartbeat", "_in_flight", "_instance", "_last_bytes"),
        *("_make_reader", "_max_bytes", "_max_in_flight", "_numbers", "_partial", "_paused"),
        *("_places", "_queue", "_reader", "_retiring", "_room", "_timer", "_together"),
        *("_transport", "_turn_ends", "_turnstile"),
    )

    def __init__(
        self,
        events: "LinkEvents[MultiplexedConnection]",
        connection: DedicatedConnection,
        room: Room,
        *,
        max_in_flight: int,
        max_bytes: int = MAX_BYTES_IN_FLIGHT,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.last_heard = self.loop.time()
        self.opened_at = connection.opened_at
        self.suspected = False
        self.lost = self.full = False
        self._events = events
        self._instance = connection.instance
        make = partial(
            hiredis.Reader,
            encoding="utf-8",
            notEnoughData=_INCOMPLETE,
            protocolError=ValueError,
            replyError=connection.parse_error,
        )
        self._make_reader: Callable[[], Any] = make
        self._reader: Any = make() if connection.protocol == 2 else TolerantReader(make)
        self._connection, self._counters = connection, connection.counters
        self._transport = connection.transport
        self._queue: list[Request] = []
        self._in_flight: deque[Request] = deque()
        self._max_in_flight = self._places = max_in_flight
        self._bytes, self._max_bytes, self._room = 0, max_bytes, room
        self.batch = WHOLE
        self._turn_ends = self._paused = self._retiring = False
        self._timer: asyncio.TimerHandle | None = None
        self._due, self._excused = math.inf, False
        self._heartbeat: Heartbeat | None = None
        self.last_beat: Heartbeat | None = None
        self._numbers, self._beats, self._last_bytes = secrets.token_hex(8), 0, b""
        self._partial, self._flow, self.uncounted = 0, Flow(), 0
        self._turnstile = turnstile()
        self._together = answered_together(self.loop)
        self._transport.set_protocol(self)

    def __repr__(self) -> str:
        state = "lost" if self.lost else "retiring" if self._retiring else "serving"
        return f"<MultiplexedConnection {state} in_flight={self.in_flight}>"

    @property
    def in_flight(self) -> int:
        """Commands queued or sent whose reply is still to come."""
        return len(self._queue) + len(self._in_flight)

    def submit(self, request: Request) -> None:
        """Queue *request*: it leaves when this turn of the loop ends.

        After replies it leaves as soon as a batch has come together, if nothing is in
        flight: the server is idle then.  The caller has seen that it runs on the loop's
        thread and that the connection is not `full`.

        Raises:
            RedisNotStartedError: Another loop runs on this thread.
        """
        if self.lost:
            request.interrupt(self.loop.time(), written=False)
            return
        queue = self._queue
        if not queue and _running_loop() is not self.loop:
            raise errors.wrong_loop(self._instance)
        queue.append(request)
        self._bytes += len(request.packed)
        if len(queue) >= self._places or self._bytes >= self._max_bytes:
            self.full = True
        if request.deadline < self._due:
            self._arm(request.deadline)
        if not self._in_flight and len(queue) >= self.batch:
            self._flush()
        elif not self._turn_ends:
            self._await_end_of_turn()

    def admit(self) -> None:
        """Take in those who wait for room, as many as there is room for."""
        self._count_places()

    def ask(self, timeout: float) -> Heartbeat:
        """Send a heartbeat among the callers' commands, if none is on its way; return it.

        Its answer proves that the replies before it went to their own callers.
        """
        if self._heartbeat is None or self._heartbeat.future.done():
            self._beats += 1
            now = self.loop.time()
            number, deadline = f"{self._numbers}-{self._beats}", now + timeout
            beat = Heartbeat(number.encode(), self.loop.create_future(), now, deadline)
            self._heartbeat, self.last_beat, self._last_bytes = beat, beat, b""
            self.submit(beat)
            return beat
        return self._heartbeat

    def authenticate(self, token: int, command: bytes, deadline: float) -> Reply | None:
        """Send AUTH for the *token* of that number, unless it has been sent; return its reply."""
        if self.lost or self._connection.token == token:
            return None
        self._connection.token, reply = token, self.loop.create_future()
        self.submit(new_request(command, reply, deadline, decode=True, read_only=True))
        return reply

    def check_flow(self) -> None:
        """Drop the connection if the reply at the head is late, and its rest hardly comes."""
        head, now = self._in_flight[0] if self._in_flight else None, self.loop.time()
        if head is None or head.deadline > now:
            self._flow.in_time()
        elif self._flow.has_stuck(head, self._partial, now, begun=self._reader.has_data()):
            self._lose("a reply was not complete in time", Cause.NETWORK_SILENT)

    def leave(self) -> None:
        """Write what is queued: the turn has ended."""
        self._turn_ends, self.batch = False, WHOLE
        if self._queue:
            self._flush()

    def retire(self) -> None:
        """Take no more work; close when nobody waits for a reply any more."""
        self._retiring = True
        if self._heartbeat is not None:
            self._heartbeat.future.cancel()
        self._close_if_done()

    def abort(self, reason: str, cause: Cause | None = None) -> None:
        """Drop the connection at once; without a *cause*, callers hear what the probes saw."""
        if not self.lost:
            self._lose(reason, cause or self._why_silent(), notify=False)

    def pushed(self, push: Any) -> None:
        """Take what the server sent by itself, in its place among the replies."""

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        """Match replies to the callers at the head of the queue."""
        self.last_heard = self.loop.time()
        self._counters.bytes_received += len(data)
        if self.suspected:
            self._events.link_heard(self)
        if self._partial > LARGE_REPLY and self._in_flight:
            self._room.note_large(self._in_flight[0].packed)
        if len(data) <= SLICE or len(self._in_flight) <= _CROWD:
            self._take(data)
            return
        read_in_slices(self._transport, data, self._take_slice)

    def _take_slice(self, data: bytes) -> bool:
        if not self.lost:
            self._take(data)
        return not self.lost

    def _take(self, data: bytes) -> None:
        began, beat = self._in_flight[0].began if self._in_flight else 0.0, self._heartbeat
        try:
            if beat is None:
                self._reader.feed(data)
                answered = matched = self._match()
            else:
                matched = self._match_heartbeat(beat, data)
                answered = matched - (self._heartbeat is None)  # that answer is no caller's
        except Exception as error:
            doubt = error if isinstance(error, DoubtfulReplyError) else type(error).__name__
            self._lose(f"the reply stream is broken: {doubt}", Cause.BAD_REPLY)
            return
        answered, self.uncounted = answered - self.uncounted, 0
        if answered:
            counters, seconds = self._counters, self.last_heard - began
            counters.commands += answered
            counters.seconds += seconds * answered
            counters.buckets[bisect_left(BOUNDS, seconds) if seconds > _FAST else 0] += answered
            if counters.observe is not None:
                counters.observe(seconds, answered)
        self._partial = 0 if matched or not self._in_flight else self._partial + len(data)
        self.batch = matched if matched < MANY else matched // 2
        if not self._turn_ends:
            if self._together:
                self.batch = self._together[0].batch = WHOLE
            self._together.append(self)
            self._await_end_of_turn()
        self._count_places()
        if self._retiring:
            self._close_if_done()

    def eof_received(self) -> bool:
        """The server closed its side; the transport closes ours."""
        self._lose("the server closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        cause = Cause.NETWORK_SILENT if isinstance(exc, TimeoutError) else Cause.CONNECTION_LOST
        self._lose("the connection was reset" if exc else "the connection was closed", cause)

    def pause_writing(self) -> None:
        """Hold further commands here, where they still count as unsent."""
        self._paused = True

    def resume_writing(self) -> None:
        """Write what was held."""
        self._paused = False
        self._flush()

    # Inside.

    def _await_end_of_turn(self) -> None:
        """Have `_end_turn` called after what the loop has to do already."""
        self._turn_ends = True
        self.loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """End the turn; the last of those that were answered together ends it for all of them."""
        together = self._together
        if self in together:
            if together[-1] is not self:
                return
            together.pop()
            while together:
                together.pop().leave()
        self.leave()

    def _flush(self) -> None:
        """Write what is queued, in pieces: what does not fit into the socket stays unsent."""
        while self._queue and not (self._paused or self.lost):
            queue, self._queue = self._queue, []
            live = [request for request in queue if not request.future.done()]
            if len(live) < len(queue):
                self._bytes -= sum(len(r.packed) for r in queue if r.future.done())
            if self._bytes > _PIECE:
                live, self._queue = first_piece(live, _PIECE)
            self._in_flight.extend(live)
            packed = b"".join([request.packed for request in live])
            self._counters.bytes_sent += len(packed)
            self._transport.write(packed)
        self._count_places()

    def _match(self) -> int:
        """Hand every complete reply to its caller; return how many were for the app."""
        gets, in_flight = self._reader.gets, self._in_flight
        matched = 0
        while in_flight:
            head = in_flight[0]
            try:
                reply = gets(head.decodes)
            except UnicodeDecodeError as error:
                reply = head.no_text(error)
            if reply is _INCOMPLETE:
                return matched
            if type(reply) is _PUSH:
                self.pushed(reply)
                continue
            if type(head) is Batch:
                if head.add(reply):
                    matched += not head.own
                    self._end_batch(head)
                continue
            in_flight.popleft()
            self._bytes -= len(head.packed)
            matched += 1
            head.finish(reply)
        while (reply := gets(False)) is not _INCOMPLETE:
            if type(reply) is not _PUSH:
                raise ValueError("a reply that no command was waiting for")
            self.pushed(reply)
        return matched

    def _match_heartbeat(self, beat: Heartbeat, data: bytes) -> int:
        """Match *data*; once it holds the answer to *beat*, nothing before that may be incomplete.

        The number is not to be guessed, so no other reply can contain it.
        """
        start, self._last_bytes = beat.found_in(self._last_bytes, data)
        matched = 0
        if start >= 0:
            self._reader.feed(data[:start])
            matched, data = self._match(), data[start:]
            if not self._in_flight or self._in_flight[0] is not beat:
                raise DoubtfulReplyError("replies are missing, or one was not complete")
        self._reader.feed(data)
        matched += self._match()
        if beat.future.done():
            self._heartbeat = None
        return matched

    def _end_batch(self, batch: Batch) -> None:
        """Hand its replies over; part with the connection if a transaction was refused in part."""
        self._in_flight.popleft()
        self._bytes -= len(batch.packed)
        self._counters.commands += 0 if batch.own else batch.expected - 1
        batch.finish(batch.replies)
        if batch.unended:
            raise DoubtfulReplyError("a transaction did not end")
        if batch.refused:
            self._events.link_worn(self)

    def _count_places(self) -> None:
        """Bring `full` up to date; until the next time, only `submit` takes places."""
        self._places = self._max_in_flight - len(self._in_flight)
        waiting = self._room.waiting
        if waiting:
            self._take_waiting()
        crowded = len(self._queue) >= self._places or self._bytes >= self._max_bytes
        self.full = crowded or bool(waiting)

    def _take_waiting(self) -> None:
        """Queue the requests that have waited longest, as long as there are places."""
        if self.lost or self.suspected or self._retiring:
            return
        while len(self._queue) < self._places and self._bytes < self._max_bytes:
            request = self._room.next()
            if request is None:
                return
            for each in with_proof(self, request):
                self._queue.append(each)
                self._bytes += len(each.packed)
            if request.deadline < self._due:
                self._arm(request.deadline)
            if not self._turn_ends:
                self._await_end_of_turn()

    def _lose(self, reason: str, cause: Cause = _LOST, *, notify: bool = True) -> None:
        if self.lost:
            return
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._connection.abort()
        in_flight, self._in_flight = self._in_flight, deque()
        queue, self._queue = self._queue, []
        if notify:
            self._events.link_lost(self, reason)
        if in_flight or queue:
            now = self.loop.time()
            self._turnstile.spread(
                partial(request.interrupt, now, cause, written=written)
                for requests, written in ((in_flight, True), (queue, False))
                for request in requests
            )

    def _close_if_done(self) -> None:
        if self._retiring and all(r.future.done() for r in (*self._in_flight, *self._queue)):
            self._lose("retired")

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = deadline
        self._timer = self.loop.call_at(deadline, self._expire, deadline)

    def _expire(self, due: float) -> None:
        self._timer, self._due = None, math.inf
        now = self.loop.time()
        if now - due > STALL:
            self._events.timer_fired(due)
            if not self._excused:
                self._excused = True
                self._arm(now + STALL)
                return
        self._excused = False
        deadlines, held_up = self._tell_late(now)
        self.check_flow()
        if self.lost:
            return
        if held_up:
            self._events.link_worn(self)
        if held_up or self._flow.late:
            deadlines.append(now + FLOW_WINDOW)
        if deadlines:
            self._arm(max(min(deadlines), now))
        else:
            self._close_if_done()

    def _tell_late(self, now: float) -> tuple[list[float], bool]:
        """Tell those whose time is up; return the deadlines to come, and whether one is held up."""
        deadlines, left, held_up = [], PER_TURN, False
        head = self._in_flight[0] if self._in_flight else None
        flows = head is not None and self._flow.goes_on(head, self._partial, now)
        for requests, written in ((self._in_flight, True), (self._queue, False)):
            for request in requests:
                if request.future.done():
                    continue
                if request.deadline > now or not left:
                    deadlines.append(request.deadline)
                    continue
                if flows and written and request not in (head, self._heartbeat):
                    held_up = True
                    continue
                left -= 1
                request.expire(self._instance, self._why_late(request, now), written=written)
        return deadlines, held_up

    def _why_late(self, request: Request, now: float) -> Finding:
        """Return why *request* has no reply yet."""
        begun = bool(self._partial) and request is self._in_flight[0]
        lost = is_unacknowledged(self._transport)
        seen = Connection(self.last_heard, self._partial, begun, lost)
        return self._events.why_late(request.began, now, seen, self)

    def _why_silent(self) -> Cause:
        """Return why the oldest command has no reply yet."""
        oldest = next((each for each in self._in_flight if type(each) is not Heartbeat), None)
        return self._why_late(oldest, self.loop.time()).cause if oldest else Cause.CLOSED
