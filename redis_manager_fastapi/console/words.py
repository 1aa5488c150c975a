"""Says in words what happened, by named fields of each event.

What an app's own exceptions say is never shown, and neither is a value: a handler that
raised is told by the class of its error.
"""

from typing import Any

from redis_manager_fastapi.observe.events import (
    CacheChanged,
    EntryDeadLettered,
    Event,
    GroupRemade,
    Resubscribed,
    StartDelayed,
    StartFailed,
    StateChanged,
    StreamGap,
    SubscriptionsBroken,
    SubscriptionsHealed,
    WorkerFailed,
)

# How many characters of a name or a reason are shown.
_LONGEST = 120

_STATES = {
    "starting": "opening",
    "ready": "ready",
    "draining": "closing, and letting commands finish",
    "closed": "closed",
}


def in_words(event: Event) -> str:
    """Return what happened, such as "ready again after 1.20 s"."""
    if isinstance(event, StateChanged):
        return _changed(event)
    if isinstance(event, WorkerFailed | EntryDeadLettered | GroupRemade | StreamGap):
        return _of_streams(event)
    if isinstance(event, CacheChanged):
        return "the cache serves" if event.serving else f"the cache is off: {short(event.reason)}"
    if isinstance(event, Resubscribed | SubscriptionsBroken | SubscriptionsHealed):
        return _of_channels(event)
    if isinstance(event, StartDelayed):
        return f"still waiting for Redis after {event.seconds:.0f} s: {short(event.reason)}"
    if isinstance(event, StartFailed):
        return f"gave up opening: {short(event.reason)}"
    return "a probe failed"


def short(value: str) -> str:
    """Return *value*, cut where it is long."""
    return value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "..."


def _changed(event: StateChanged) -> str:
    if event.state == "ready" and event.outage and event.previous != "starting":
        lost = "1 reply lost" if event.lost == 1 else f"{event.lost} replies lost"
        counts = ((event.waited, f"{event.waited} waited"), (event.lost, lost))
        met = [words for count, words in counts if count]
        if event.refused:
            met.insert(1 if event.waited else 0, f"{event.refused} refused")
        elsewhere = ", on another server" if event.elsewhere else ""
        told = f": {', '.join(met)}" if met else ""
        return f"ready again after {event.outage:.2f} s{elsewhere}{told}"
    if event.state in _STATES:
        return _STATES[event.state]
    return f"{event.state}: {short(event.reason)}" if event.reason else event.state


def _of_streams(event: WorkerFailed | EntryDeadLettered | GroupRemade | StreamGap) -> str:
    stream = f"stream {short(event.stream)}" if event.stream else ""
    if isinstance(event, WorkerFailed):
        of = f", at an entry of {stream}" if stream else ""
        return f"{short(event.worker)} raised {type(event.error).__name__}{of}"
    if isinstance(event, EntryDeadLettered):
        became = f"moved to {short(event.dead_letter)}" if event.dead_letter else "given up"
        after = f"after {_many(event.deliveries, 'delivery', 'deliveries')}"
        of = f"of {stream}, group {short(event.group)}"
        return f"an entry {of}, was {became} {after}{_raised(event.reason)}"
    if isinstance(event, GroupRemade):
        return f"group {short(event.group)} of {stream} was lost, and is made again"
    told = f"{_many(event.listeners, 'listener')} told of a gap"
    return f"{told} in {stream}: {short(event.reason)}{_after(event.seconds, ', over')}"


def _of_channels(event: Resubscribed | SubscriptionsBroken | SubscriptionsHealed) -> str:
    if isinstance(event, SubscriptionsBroken):
        heard = "is" if event.channels == 1 else "are"
        return f"{_many(event.channels, 'channel')} {heard} not heard: {short(event.reason)}"
    if isinstance(event, SubscriptionsHealed):
        return f"all channels are heard again{_after(event.seconds, ' after')}"
    channels = _many(event.channels, "channel")
    return f"{channels} of redis-py's pub/sub heard again{_after(event.seconds, ' after')}"


def _after(seconds: float, word: str) -> str:
    return f"{word} {seconds:.2f} s" if seconds else ""


def _raised(reason: str) -> str:
    """Return the class of the error that a dead letter's reason begins with."""
    kind, found, _ = reason.partition(":")
    return f": {kind}" if found and kind.isidentifier() else ""


def _many(count: Any, one: str, more: str = "") -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {more or f'{one}s'}"
