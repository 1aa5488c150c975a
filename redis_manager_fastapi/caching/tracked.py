"""A shared connection on which the server tells which keys have changed."""

from functools import partial
from math import inf
from typing import Any, Protocol

from redis_manager_fastapi.caching.reader import LaneReader
from redis_manager_fastapi.errors import Cause
from redis_manager_fastapi.pool.deadline import STALL
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.request import Heartbeat, Interrupted, Reply, Request


class Tracker(Protocol):
    """Who hears what a tracked connection says."""

    plain: bool
    """Whether replies have to have the form of RESP2."""

    def changed(self, link: "TrackedConnection", keys: list[bytes] | None) -> None:
        """*keys* have changed; None says that all have."""
        ...

    def confirmed(self, link: "TrackedConnection", at: float) -> None:
        """What had changed by that time, on the loop's clock, has been told."""
        ...

    def doubted(self, link: "TrackedConnection") -> None:
        """Replies may have gone to others than their own callers, and be kept as theirs."""
        ...


class TrackedConnection(MultiplexedConnection):
    """A `MultiplexedConnection` whose server tracks what is read over it."""

    def __init__(self, *args: Any, tracker: Tracker, **kwargs: Any) -> None:
        self._tracker = tracker
        self._asked: Heartbeat | None = None
        super().__init__(*args, **kwargs)
        self._reader = LaneReader(self._make_reader, plain=tracker.plain)

    def pushed(self, push: Any) -> None:
        """Pass on which keys have changed, before the replies that come after."""
        self._partial = 0
        if push[0] == b"invalidate":
            self._tracker.changed(self, push[1])

    def ask(self, timeout: float) -> Heartbeat:
        """Send a heartbeat; its answer proves that all changes before it have been told."""
        beat = super().ask(timeout)
        if beat is not self._asked:
            self._asked = beat
            beat.future.add_done_callback(partial(self._answered, beat.deadline - timeout))
        return beat

    def expire_in_time(self, request: Request, sent: Request) -> None:
        """End in time the wait of *request* for the reply to what another one *sent*."""
        self.loop.call_at(request.deadline, self._expire_joined, request, sent, request.deadline)

    def _expire_joined(self, request: Request, sent: Request, due: float) -> None:
        """Tell that its time is up; after a stall, what was received meanwhile comes first."""
        now = self.loop.time()
        if sent.future.done() or self.lost:  # what was lost is told in one of the next turns
            return
        if now - due > STALL:
            self._events.timer_fired(due)
            self.loop.call_at(now + STALL, self._expire_joined, request, sent, inf)
            return
        request.expire(self._instance, self._why_late(sent, now), written=True)

    def _take(self, data: bytes) -> None:
        """Match replies; what was pushed in between is no part of the one that is awaited."""
        super()._take(data)
        if not self._reader.has_data():
            self._partial = 0

    def _lose(self, reason: str, cause: Cause = Cause.CONNECTION_LOST, **kwargs: Any) -> None:
        if cause is Cause.BAD_REPLY and not self.lost:
            self._tracker.doubted(self)
        super()._lose(reason, cause, **kwargs)

    def _answered(self, sent_at: float, reply: Reply) -> None:
        if not reply.cancelled() and not isinstance(reply.result(), Interrupted):
            self._tracker.confirmed(self, sent_at)
