"""Events as log lines: one for each change of state, one a minute for what goes on.

Each line has a stable name in its record's `event`, and what it says in fields
beside it (`logging`'s `extra`), so that a reader of JSON needs no pattern.
"""

import asyncio
import logging
import sys
import time
from collections import Counter
from typing import Any

from redis.exceptions import RedisError, ResponseError

from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    RedisAuthError,
    RedisManagerError,
    ReplyLostError,
)
from redis_manager_fastapi.observe.events import (
    CacheChanged,
    EntryDeadLettered,
    Event,
    GroupRemade,
    ProbeFailed,
    Resubscribed,
    StartDelayed,
    StartFailed,
    StateChanged,
    StreamGap,
    SubscriptionsBroken,
    SubscriptionsHealed,
    WorkerFailed,
)
from redis_manager_fastapi.observe.words import NOT_OBTAINED, counted, one_line
from redis_manager_fastapi.settings import RedisSettings

logger = logging.getLogger("redis_manager_fastapi")

REPEAT = 60.0  # seconds between two lines about the same thing that goes on
SETTLED = 0.5  # seconds after a heal, by which who was refused before it has been answered
APART = 1.0  # seconds between two lines about pub/subs: after one outage many are subscribed again

RealTimeEvent = (
    Resubscribed
    | SubscriptionsBroken
    | SubscriptionsHealed
    | StreamGap
    | GroupRemade
    | EntryDeadLettered
    | WorkerFailed
)


class LogListener:
    """Writes a manager's events to the logger `redis_manager_fastapi`.

    Args:
        addresses: Whether lines name the servers that they are about.
    """

    def __init__(self, *, addresses: bool = False) -> None:
        self._addresses = addresses
        self._last: dict[str, tuple[str, float]] = {}
        self._realtime = RealTimeLog(REPEAT)

    def __call__(self, event: Event) -> None:
        """Log *event*, or leave it out when the same was said less than a minute ago."""
        if isinstance(event, ProbeFailed):
            self._probe_failed(event)
        elif isinstance(event, StateChanged):
            self._state_changed(event)
        elif isinstance(event, StartDelayed):
            self._start_delayed(event)
        elif isinstance(event, StartFailed):
            self._start_failed(event)
        elif isinstance(event, CacheChanged):
            self._cache_changed(event)
        else:
            self._realtime(event)

    def _cache_changed(self, event: CacheChanged) -> None:
        """Say that a server does not track; that a lane comes and goes follows from the state."""
        if event.refused:
            text = f"redis {self._who(event)} is read without a cache: {event.reason}"
            _log(logging.WARNING, "redis_cache_off", text, self._fields(event))

    def _state_changed(self, event: StateChanged) -> None:
        name, fields = self._who(event), self._fields(event)
        if event.state == "down":
            _log(logging.WARNING, "redis_down", f"redis {name} is down: {event.reason}", fields)
            self._last[event.node] = (event.reason, time.monotonic())
        elif event.state == "ready" and (event.previous == "down" or event.elsewhere):
            self._last.pop(event.node, None)
            where = " from another server" if event.elsewhere else ""
            text = f"redis {name} serves again{where} after {event.outage:.2f} s: {_met(event)}"
            word = "redis_failed_over" if event.elsewhere else "redis_recovered"
            _log(logging.WARNING, word, text, fields)
            tallies.settle(event.instance)
        else:
            if event.state == "closed":
                tallies.close(event.instance)
            text = f"redis {name} is {event.state}: {event.reason}"
            _log(logging.INFO, f"redis_{event.state}", text, fields)

    def _probe_failed(self, event: ProbeFailed) -> None:
        words = _server_words(event.error)
        reason, now = str(event.error) + (f" ({words!r})" if words else ""), time.monotonic()
        said, at = self._last.get(event.node, ("", 0.0))
        if reason == said and now - at < REPEAT:
            return
        self._last[event.node] = (reason, now)
        fields = {**self._fields(event), "reason": reason, "attempt": event.attempt}
        if event.attempt == 1 and words:
            text = f"redis {self._who(event)} said: {words}"
            _log(logging.INFO, "redis_said", text, fields)
        elif event.attempt > 1:
            text = f"redis {self._who(event)} is still down after {event.attempt} probes: {reason}"
            _log(logging.WARNING, "redis_still_down", text, fields)

    def _start_delayed(self, event: StartDelayed) -> None:
        text = (
            f"still waiting after {event.seconds:g} s, at most {event.timeout:g} s: {event.reason};"
            f" it is looked for {event.place.words(with_address=self._addresses)}"
        )
        fields = {"reason": event.reason, "source": event.place.source, "seconds": event.seconds}
        _log(logging.WARNING, "redis_start_delayed", text, self._fields(event) | fields)

    def _start_failed(self, event: StartFailed) -> None:
        text = (
            f"{event.reason}; it was looked for {event.place.words(with_address=self._addresses)}:"
            f" {event.fix} (`redis-manager-fastapi doctor` finds out more)"
        )
        fields = {"reason": event.reason, "source": event.place.source, "fix": event.fix}
        _log(logging.ERROR, "redis_start_failed", text, self._fields(event) | fields)

    def _who(self, event: Event) -> str:
        """The instance as a log line names it, with the Cluster node and the server's address."""
        name = _who(event)
        address = getattr(event, "address", "") if self._addresses else ""
        return f"{name} ({address})" if address and address != event.node else name

    def _fields(self, event: Event) -> dict[str, Any]:
        fields = _fields(event)
        if isinstance(event, StateChanged):
            fields |= {
                name: getattr(event, name)
                for name in ("previous", "state", "reason", "waited", "refused", "lost")
            }
            fields["outage"] = round(event.outage, 3)
            if self._addresses:
                fields["address"] = event.address
        elif isinstance(event, StartDelayed | StartFailed) and self._addresses:
            fields["address"] = event.place.address
        return fields


class RealTimeLog:
    """Writes the events of subscriptions, tails, consumers and workers.

    Args:
        repeat: Seconds between two lines about the same thing.
    """

    def __init__(self, repeat: float) -> None:
        self._repeat = repeat
        self._repeats, self._resubscriptions = Repeats(repeat), Repeats(APART)
        self._breaks: dict[str, tuple[str, float]] = {}
        self._quiet: set[str] = set()  # nodes whose last break was not logged
        self._gaps: dict[tuple[str, str], float] = {}

    def __call__(self, event: RealTimeEvent) -> None:
        """Log *event*, or leave it out when the same was said a moment ago."""
        if isinstance(event, Resubscribed):
            self._resubscribed(event)
        elif isinstance(event, SubscriptionsBroken):
            self._subscriptions_broken(event)
        elif isinstance(event, SubscriptionsHealed):
            self._subscriptions_healed(event)
        elif isinstance(event, StreamGap):
            self._stream_gap(event)
        elif isinstance(event, GroupRemade):
            self._group_remade(event)
        elif isinstance(event, EntryDeadLettered):
            self._dead_lettered(event)
        else:
            self._worker_failed(event)

    def _subscriptions_broken(self, event: SubscriptionsBroken) -> None:
        now = time.monotonic()
        said, at = self._breaks.get(event.node, ("", 0.0))
        if event.reason == said and now - at < self._repeat:
            self._quiet.add(event.node)
            return
        self._breaks[event.node] = (event.reason, now)
        self._quiet.discard(event.node)
        which = counted(event.channels, "subscription is", "subscriptions are")
        text = f"redis {_who(event)}: {which} not heard: {event.reason}"
        fields = {"channels": event.channels, "reason": event.reason}
        _log(logging.WARNING, "redis_not_heard", text, _fields(event) | fields)

    def _subscriptions_healed(self, event: SubscriptionsHealed) -> None:
        if event.node not in self._quiet:
            seconds = event.seconds
            text = f"redis {_who(event)}: the subscriptions are heard again after {seconds:.2f} s"
            fields = {"reason": event.reason, "seconds": round(seconds, 3)}
            _log(logging.WARNING, "redis_heard_again", text, _fields(event) | fields)

    def _resubscribed(self, event: Resubscribed) -> None:
        if self._resubscriptions.unlogged((event.node, "")) is None:
            return
        channels = counted(event.channels, "channel")
        text = (
            f"redis {_who(event)}: a pub/sub ({channels}) is subscribed again;"
            f" it heard nothing for {event.seconds:.2f} s"
        )
        fields = {"channels": event.channels, "seconds": round(event.seconds, 3)}
        _log(logging.WARNING, "redis_resubscribed", text, _fields(event) | fields)

    def _stream_gap(self, event: StreamGap) -> None:
        """Log the first of a minute for each stream and reason."""
        key, now = (event.stream, event.reason), time.monotonic()
        # There may be a stream for each room: what is old is forgotten.
        self._gaps = {said: at for said, at in self._gaps.items() if now - at < self._repeat}
        if key in self._gaps:
            return
        self._gaps[key] = now
        text = (
            f"redis {_who(event)}: listeners to the stream {event.stream!r} may have missed"
            f" entries: {event.reason}"
        )
        fields = {"stream": event.stream, "reason": event.reason, "listeners": event.listeners}
        _log(logging.WARNING, "redis_stream_gap", text, _fields(event) | fields)

    def _group_remade(self, event: GroupRemade) -> None:
        text = (
            f"redis {event.instance!r}: group {event.group!r} of stream {event.stream!r} was lost"
            f" and is made again; it goes on after {event.start}"
        )
        fields = {"stream": event.stream, "group": event.group, "start": event.start}
        _log(logging.WARNING, "redis_group_remade", text, _fields(event) | fields)

    def _dead_lettered(self, event: EntryDeadLettered) -> None:
        # One that no stream takes is found again by its ID alone: each has its line.
        unlogged = self._repeats.unlogged((event.stream, event.group)) if event.dead_letter else 0
        if unlogged is None:
            return
        became = f"moved to {event.dead_letter!r}" if event.dead_letter else "given up"
        text = (
            f"redis {event.instance!r}: entry {event.id} of stream {event.stream!r} was delivered"
            f" {counted(event.deliveries, 'time')} to group {event.group!r} and is {became}:"
            f" {event.reason}{_more(unlogged)}"
        )
        fields = {"stream": event.stream, "entry": event.id, "dead_letter": event.dead_letter}
        _log(logging.WARNING, "redis_entry_dead_lettered", text, _fields(event) | fields)

    def _worker_failed(self, event: WorkerFailed) -> None:
        outage = isinstance(event.error, RedisManagerError)
        kind = "outage" if outage else type(event.error).__name__
        unlogged = self._repeats.unlogged((event.worker, kind))
        if unlogged is None:
            return
        entry = f" (entry {event.id} of stream {event.stream!r})" if event.id else ""
        text = (
            f"redis {event.instance!r}: {event.worker} raised {type(event.error).__name__}:"
            f" {event.error}{entry}{_more(unlogged)}"
        )
        fields = {"worker": event.worker, "stream": event.stream, "entry": event.id}
        cause = None if outage else event.error
        _log(logging.WARNING, "redis_worker_failed", text, _fields(event) | fields, cause)


class Repeats:
    """Leaves out what was said a moment ago, and counts it."""

    def __init__(self, repeat: float) -> None:
        self._repeat = repeat
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def unlogged(self, key: tuple[str, str]) -> int | None:
        """Return how many times were left out since the last line; None to leave out this one."""
        now = time.monotonic()
        at, count = self._said.get(key, (now - self._repeat, 0))
        if now - at < self._repeat:
            self._said[key] = at, count + 1
            return None
        self._said[key] = now, 0
        return count


def _more(unlogged: int) -> str:
    return f" ({unlogged} more before it)" if unlogged else ""


_MISTAKES = (500, 1011)
"""The answers to a mistake in the app, which is logged as any other error of the app."""


class Tallies:
    """What requests were answered in an outage: the first in a line, the others counted.

    One line a minute says how many there were, and one soon after Redis serves again:
    who was refused just before is answered just after.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._endings = Repeats(REPEAT)

    def answered(self, error: RedisManagerError, status: int) -> None:
        """Note that a request was answered *status*, or a WebSocket closed, because of *error*."""
        if status in _MISTAKES:
            return
        counts, told = self._counts.get(error.instance), _told(error)
        if counts is not None:
            cause = f" ({told['cause']})" if told else ""
            counts[f"{status} {error.code}{cause}"] += 1
            return
        self._begin(error.instance)
        text = (
            f"redis {error.instance!r}: a request was answered {status} ({error.code}: {error});"
            f" further ones are counted, and told in {REPEAT:g} s or when Redis serves again"
        )
        fields = {"instance": error.instance, "status": status, "code": error.code, **told}
        _log(logging.WARNING, "redis_request_refused", text, fields)

    def ended(self, error: RedisManagerError) -> None:
        """Note that a response which had begun was ended because of *error*."""
        unlogged = self._endings.unlogged((error.instance, ""))
        if unlogged is None:
            return
        text = (
            f"redis {error.instance!r}: ended a response that had begun ({error.code}: {error});"
            f" further ones within {REPEAT:g} s are not logged{_more(unlogged)}"
        )
        fields = {"instance": error.instance, "code": error.code, "unlogged": unlogged}
        _log(logging.WARNING, "redis_response_ended", text, fields)

    def settle(self, instance: str) -> None:
        """Tell what has been counted once the last answers of an outage are out."""
        timer = self._timers.pop(instance, None)
        if timer is not None:
            timer.cancel()
            loop = asyncio.get_running_loop()
            self._timers[instance] = loop.call_later(SETTLED, self.close, instance)

    def close(self, instance: str) -> None:
        """Tell what has been counted, and begin anew."""
        timer, counts = self._timers.pop(instance, None), self._counts.pop(instance, None)
        if timer is not None:
            timer.cancel()
        if counts:
            self._tell(instance, counts)

    def _begin(self, instance: str) -> None:
        loop = asyncio.get_running_loop()
        self._counts[instance] = Counter()
        self._timers[instance] = loop.call_later(REPEAT, self._minute, instance)

    def _minute(self, instance: str) -> None:
        counts = self._counts.get(instance)
        self.close(instance)
        if counts:
            self._begin(instance)

    def _tell(self, instance: str, counts: Counter[str]) -> None:
        words = ", ".join(f"{count} with {what}" for what, count in counts.most_common())
        more = counted(sum(counts.values()), "more request was", "more requests were")
        text = f"redis {instance!r}: {more} answered: {words}"
        fields = {"instance": instance, "answers": dict(counts)}
        _log(logging.WARNING, "redis_requests_refused", text, fields)


tallies = Tallies()


class InternalErrors:
    """Logs what a task of this library's own did not expect, each once while it repeats.

    Args:
        instance: The manager's name.
        part: What met it, and goes on, in words.

    Attributes:
        told: What was logged last; None to log it again.
    """

    def __init__(self, instance: str, part: str) -> None:
        self._fields = {"instance": instance, "part": part}
        self.told: str | None = None

    def tell(self, error: Exception) -> None:
        """Log *error*, unless it was the last one."""
        if self.told != repr(error):
            self.told = repr(error)
            text = "redis {instance!r}: internal error ({part}); it continues"
            text = text.format_map(self._fields)
            _log(logging.ERROR, "redis_internal_error", text, self._fields, error)


class FallbackHandler(logging.StreamHandler[Any]):
    """Prints warnings, with time and level, where an app has set up no logging of its own.

    uvicorn and gunicorn set up their own loggers only; Python would print the bare words.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print, unless the root logger or this one has got another handler by now."""
        if logger.handlers == [self] and not logging.getLogger().handlers:
            self.stream = sys.stderr
            super().emit(record)


# From the import on: settings are read, and warned about, before any manager opens.
logger.addHandler(FallbackHandler())


def tell_of_grace(instance: str, settings: RedisSettings) -> None:
    """Say at the start that commands wait for less time than `outage.grace` says."""
    grace, command = settings.outage.grace, settings.timeout.command
    if grace > command:
        text = (
            f"redis {instance!r}: in an outage a command waits for {command:g} s at most, its"
            f" timeout, though {settings.variable('outage.grace')} is {grace:g}; raise"
            f" {settings.variable('timeout.command')} too, or give single callers more time by"
            " r.with_options(timeout=...)"
        )
        _log(logging.WARNING, "redis_grace_cut_short", text, {"instance": instance})


def _who(event: Event) -> str:
    """Return the instance as a log line names it, with the Cluster node if it is one."""
    return f"{event.instance!r} node {event.node}" if event.node else repr(event.instance)


def _fields(event: Event) -> dict[str, Any]:
    """Return the fields that every line about *event* has."""
    fields: dict[str, Any] = {"instance": event.instance}
    return {**fields, "node": event.node} if event.node else fields


def _log(
    level: int, event: str, text: str, fields: dict[str, Any], error: Exception | None = None
) -> None:
    """Log one line, with the stable name of its *event* and what it says in fields beside it."""
    if not text.isprintable():
        text = one_line(text)
    logger.log(level, "%s", text, extra={"event": event, **fields}, exc_info=error)


def _met(event: StateChanged) -> str:
    """How callers met the outage, in words."""
    words = []
    if event.waited:
        words.append(f"{counted(event.waited, 'command')} waited")
    if event.refused:
        words.append(counted(event.refused, "command was refused", "commands were refused"))
    if event.lost:
        became = counted(event.lost, "lost its reply", "lost their reply")
        words.append(f"{became} and may have run")
    return ", ".join(words) or "no command met it"


def _told(error: RedisManagerError) -> dict[str, str]:
    """What an error says of its cause, as fields of a line; nothing for one that names none."""
    fields = {}
    if isinstance(error, CommandTimeoutError | ReplyLostError):
        fields["cause"] = str(error.cause)
    if isinstance(error, CommandTimeoutError) and error.blocked_at:
        fields["blocked_at"] = error.blocked_at
    return fields


def _server_words(error: BaseException | None) -> str:
    """What the server itself said, which nobody but the log is told."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, RedisAuthError) and NOT_OBTAINED in str(error):
            return ""  # a provider may ask a Redis of its own
        replied = isinstance(error, RedisError) and (
            isinstance(error, ResponseError) or getattr(error, "status_code", None)
        )
        if replied and not isinstance(error, RedisManagerError):
            return str(error)
        error = error.__cause__
    return ""
