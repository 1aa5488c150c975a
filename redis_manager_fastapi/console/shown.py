"""What the console shows of a manager, as values that JSON has.

No password, key or value is in it, and a server's address only where the log may name it.
"""

import time
from dataclasses import asdict, fields
from typing import Any

from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.observe.events import Event, Happened, StateChanged
from redis_manager_fastapi.observe.realtime import RealTimeStats
from redis_manager_fastapi.pool.counters import BOUNDS
from redis_manager_fastapi.pool.state import PoolStats

_NUMBERS = (
    *("commands", "retried", "lost", "waited", "refused", "grace_used", "grace_longest"),
    *("bytes_sent", "bytes_received", "connects", "generation", "links", "in_flight"),
    *("idle", "leased", "opening", "waiting", "clients"),
)

# How many characters of a name or a reason are shown.
_LONGEST = 120


def limits(manager: RedisManager) -> dict[str, Any]:
    """Return what does not change while a manager is open."""
    settings = manager.settings
    return {
        "name": manager.name,
        "topology": settings.topology,
        "critical": settings.critical,
        "grace": settings.outage.grace,
        "pool": settings.pool.max_connections,
        "bounds": BOUNDS,
        "sentinels": len(settings.sentinel.nodes),
        "service": settings.sentinel.service if settings.topology == "sentinel" else "",
    }


def states(manager: RedisManager) -> list[dict[str, Any]]:
    """Return the states that a Cluster as a whole was in lately; of others, news tell them."""
    return [{"at": at, "state": state} for at, state in manager.history.states]


def snapshot(manager: RedisManager) -> dict[str, Any]:
    """Return how a manager stands now."""
    stats = manager.stats()
    shown = _pool(stats)
    shown |= {"name": manager.name, "at": time.time(), "ready": manager.is_ready}
    if manager.settings.log_addresses:
        shown["address"] = manager.history.address
    if manager.settings.topology == "sentinel":
        shown["sentinels"] = stats.sentinels
    if stats.replica is not None:
        shown["replica"] = _pool(stats.replica)
    if stats.realtime is not None and stats.realtime != RealTimeStats():
        shown["realtime"] = _realtime(stats.realtime)
    if stats.cache is not None:
        # A monotonic clock's reading means nothing in a browser; the reason says enough.
        shown["cache"] = {**asdict(stats.cache), "off_since": None}
        shown["cache"]["reason"] = _short(stats.cache.reason)
    if manager.settings.topology == "cluster":
        shown["shards"] = _shards(stats, named=manager.settings.log_addresses)
    return shown


def happened(entry: Happened, *, named: bool) -> dict[str, Any]:
    """Return an event in words, *named* with its server's address."""
    event = entry.event
    kind = event.state if isinstance(event, StateChanged) else ""
    return {
        "at": entry.at,
        "kind": kind,
        "state": "" if event.node else kind,
        "node": event.node if named else "",
        "words": in_words(event),
    }


def in_words(event: Event) -> str:
    """Return what happened as a sentence's rest, such as "ready again after 1.20 s"."""
    if isinstance(event, StateChanged):
        return _state_in_words(event)
    about = {
        name: getattr(event, name)
        for name in (each.name for each in fields(event))
        if name not in ("instance", "node", "id", "error", "start")
    }
    said = ", ".join(f"{name} {_short(value)}" for name, value in about.items() if value)
    return f"{_spaced(type(event).__name__)}: {said}" if said else _spaced(type(event).__name__)


def _state_in_words(event: StateChanged) -> str:
    if event.state == "ready" and event.outage and event.previous != "starting":
        counts = (("waited", event.waited), ("refused", event.refused), ("lost", event.lost))
        met = ", ".join(f"{count} {word}" for word, count in counts if count)
        elsewhere = ", on another server" if event.elsewhere else ""
        return f"ready again after {event.outage:.2f} s{elsewhere}" + (f": {met}" if met else "")
    reason = f": {_short(event.reason)}" if event.reason and event.state != "ready" else ""
    return f"{event.state}{reason}"


def _spaced(name: str) -> str:
    return "".join(f" {each.lower()}" if each.isupper() else each for each in name).strip()


def _short(value: Any) -> str:
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _pool(stats: PoolStats) -> dict[str, Any]:
    return {
        **{name: getattr(stats, name) for name in _NUMBERS},
        "state": stats.state.value,
        "serving": stats.serving,
        "reason": _short(stats.reason),
        "errors": stats.errors,
        "latency": stats.latency.buckets,
    }


def _realtime(stats: RealTimeStats) -> dict[str, Any]:
    subscriptions = asdict(stats.subscriptions)
    subscriptions["deaf"] = [_short(each) for each in stats.subscriptions.deaf[:10]]
    return {
        "subscriptions": subscriptions,
        "consumers": [asdict(each) for each in stats.consumers],
        "tails": asdict(stats.tails),
        "workers": [asdict(each) for each in stats.workers],
    }


def _shards(stats: PoolStats, *, named: bool) -> list[dict[str, Any]]:
    return [
        {
            "slots": shard.slots,
            "serving": shard.serving,
            "reason": _short(shard.reason),
            "nodes": [
                {
                    "address": node.address if named else "",
                    "primary": node.primary,
                    "state": node.pool.state.value if node.pool is not None else "",
                    "in_flight": node.pool.in_flight if node.pool is not None else 0,
                    "commands": node.pool.commands if node.pool is not None else 0,
                }
                for node in shard.nodes
            ],
        }
        for shard in getattr(stats, "shards", ())
    ]
