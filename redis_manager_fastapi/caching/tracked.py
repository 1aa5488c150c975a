"""A shared connection on which the server tells which keys have changed."""

from functools import partial
from typing import Any, Protocol

from redis_manager_fastapi.caching.reader import LaneReader
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.request import Heartbeat, Interrupted, Reply


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

    def _take(self, data: bytes) -> None:
        """Match replies; what was pushed in between is no part of the one that is awaited."""
        super()._take(data)
        if not self._reader.has_data():
            self._partial = 0

    def _answered(self, sent_at: float, reply: Reply) -> None:
        if not reply.cancelled() and not isinstance(reply.result(), Interrupted):
            self._tracker.confirmed(self, sent_at)
