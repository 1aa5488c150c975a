"""A connection on which somebody waits for as long as it takes, and that notices when it is dead.

A flow that a NAT or a balancer has forgotten looks like one on which nothing happens.  A
subscription is therefore asked by a PING within it, and a blocking command is sent in parts
(`commands/blocking.py`), so that the server owes an answer all the time.  If one does not
come, although the same server answers on a shared connection, the connection is dropped, and
whoever reads from it learns that it was lost.  So it is if the answer comes as a part of a
message that is not complete: that will never end.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from redis.exceptions import ResponseError

from redis_manager_fastapi.commands.blocking import new_only, stream_of
from redis_manager_fastapi.errors import Cause, ReplyLostError
from redis_manager_fastapi.pool.deadline import STALL
from redis_manager_fastapi.pool.exchange import ExchangeConnection, Pieces

QUESTION = "redis-manager-heartbeat"
"""With what a PING within a subscription begins, so that its answer is known from an app's own."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How soon a silent flow is noticed.

    Attributes:
        interval: Seconds of silence before the server is asked; also how long a part of a
            blocking command lasts.
        timeout: Seconds that an answer may take.
        server_heard: When the server was last heard on a shared connection, on the loop's clock.
    """

    interval: float
    timeout: float
    server_heard: Callable[[], float]


class Question:
    """A PING within a subscription, until its answer is taken in.

    Attributes:
        text: What it carries, and what answers it.
        found_at: When the answer came, whole or as a part of a message; None before.
    """

    def __init__(self) -> None:
        self.text = f"{QUESTION}-{token_hex(8)}"
        self.found_at: float | None = None
        self._answer = f"{self.text}\r\n".encode()  # before its end it cannot be taken in
        self._last = b""

    def look_in(self, data: bytes, now: float) -> None:
        """Look for the answer in what has come, which follows what came before."""
        if self.found_at is None:
            recent = self._last + data
            if self._answer in recent:
                self.found_at = now
            self._last = recent[1 - len(self._answer) :]


class WatchedConnection(ExchangeConnection):
    """A redis-py connection that is dropped when the server owes it an answer for too long.

    Attributes:
        watch: How soon; None is never.
        was_silent: Whether it was dropped for that.
    """

    watch: Watch | None = None
    was_silent = False

    _takes_whole_seconds = False
    _owed: float | None = None
    _asks = _excused = False
    _late_since: float | None = None
    _found_nothing = False
    _timer: asyncio.TimerHandle | None = None
    _whole_at = 0.0

    async def _read(
        self, disable_decoding: bool = False, timeout: float | None = None, **kwargs: Any
    ) -> Any:
        """Read one reply, with this library's errors."""
        raise NotImplementedError

    def misread(self) -> ReplyLostError:
        """Drop the connection: its last reply is none to the command; return the error."""
        self._cause = Cause.BAD_REPLY
        return self._lost("sent a reply that could not be parsed")

    async def resolve(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return XREAD's arguments with the last id of each stream in the place of `$`.

        They stay as they are if the server does not let this user ask for it.
        """
        resolved = list(args)
        for index in new_only(args):
            await self.send_command("XREVRANGE", stream_of(args, index), "+", "-", "COUNT", 1)
            self._owed = asyncio.get_running_loop().time()
            try:
                last = await self._read(True)
            except ResponseError:
                return args
            if last and not (isinstance(last, list) and isinstance(last[0], list) and last[0]):
                raise self.misread()
            resolved[index] = last[0][0] if last else "0-0"
        self._owed = None
        return tuple(resolved)

    def _start_watch(self) -> None:
        """Watch a subscription while a message is being read, which need not come by itself."""
        connected = self._writer is not None  # it may have been dropped since it was read last
        if self.watch is not None and self._pieces is not None and connected:
            self._asks = True
            now, due = asyncio.get_running_loop().time(), self._due(self.watch, self._pieces)
            if due <= now:
                due = self._look_late(self.watch, now)
            else:
                self._late_since = None
            self._arm(due)

    def _look_late(self, watch: Watch, now: float) -> float:
        """Look where nobody was reading when it was time to; return when to look again.

        Somebody who polls is never there in time.  What came meanwhile is not late, whether it
        is still to be taken in, for which the loop gets a turn, or waits behind other messages.
        As long as an answer is there to be taken in, nothing more is owed.
        """
        if self._answer_came_at is not None:
            return now + watch.timeout
        if self._owed is None:
            self._owed, self._late_since = now, None
            self._ask()
            return now + watch.timeout
        if self._late_since is None:
            self._late_since = now
        elif self._found_nothing and now - self._late_since >= STALL and self._is_late(watch):
            self._drop_silent()
        return now + STALL

    def _due(self, watch: Watch, pieces: Pieces) -> float:
        """Return when to look again; what the server owed before it was heard is settled."""
        heard = pieces.heard_at
        if self._owed is not None and heard >= self._owed:
            self._owed = None if self._asks else heard + watch.interval
        if self._owed is not None:
            return self._owed + watch.timeout
        # While a message is long in coming, it is asked once whether that is one.
        asked = not self._asks or pieces.question is not None
        return (heard if asked else min(heard, self._whole_at)) + watch.interval

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._look, when)

    def _look(self, when: float) -> None:
        """Ask, or find out whether the answer is late."""
        watch, pieces = self.watch, self._pieces
        if watch is None or pieces is None or self._writer is None:
            return
        now, due = asyncio.get_running_loop().time(), self._due(watch, pieces)
        if now - when > STALL:  # the loop was stalled, and what came meanwhile is yet to be read
            self._arm(now + STALL)
        elif self._asks and (found_at := self._answer_came_at) is not None:
            due = found_at + watch.timeout
            if due > now:
                self._arm(due)
            else:  # whoever reads would have it by now
                self.misread()
        elif due > now:
            self._arm(due)
        elif self._owed is None:
            self._owed = now
            self._ask()
            self._arm(now + watch.timeout)
        elif self._is_late(watch):
            self._drop_silent()
        else:
            self._arm(now + STALL)

    def _drop_silent(self) -> None:
        self.was_silent, self._late_since = True, None
        self.transport.abort()

    def _is_late(self, watch: Watch) -> bool:
        """Whether the server answers others; if it has just begun to, it gets a moment more."""
        if watch.server_heard() < (self._owed or 0.0):
            self._excused = True
            return False
        excused, self._excused = self._excused, False
        return not excused

    def _ask(self) -> None:
        """Send a PING, if anything may be sent, and none is to be answered still."""
        pieces = self._pieces
        if self._may_ask() and pieces is not None and pieces.question is None:
            pieces.question = Question()
            self.transport.write(b"".join(self.pack_command("PING", pieces.question.text)))

    @property
    def _answer_came_at(self) -> float | None:
        """When the answer came to what was asked, if it is not taken in."""
        pieces = self._pieces
        if pieces is None or pieces.question is None:
            return None
        found_at: float | None = pieces.question.found_at
        return found_at

    def _forget_question(self) -> bool:
        """What was asked is answered; return whether anything was."""
        pieces = self._pieces
        if pieces is None or pieces.question is None:
            return False
        pieces.question = None
        return True

    def _may_ask(self) -> bool:
        return not self.transport.is_closing()


def answers_question(reply: Any) -> bool:
    """Whether *reply* is there because we asked: the answer, or our question in MONITOR."""
    if isinstance(reply, list) and len(reply) == 2 and reply[0] in ("pong", b"pong"):
        reply = reply[1]
    if not isinstance(reply, str | bytes):
        return False
    line = reply if isinstance(reply, str) else reply.decode(errors="replace")
    return line.startswith(QUESTION) or f'"PING" "{QUESTION}-' in line
