"""What the console shows of a manager, as values that JSON has.

No password and no value is in it; of keys only those of streams that are listened to, and a
server's address only where the log may name it.
"""

import time
from dataclasses import asdict
from typing import Any

from redis_manager_fastapi.console.words import in_words, short
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.observe.bus import Happened
from redis_manager_fastapi.observe.events import StateChanged
from redis_manager_fastapi.observe.realtime import RealTimeStats
from redis_manager_fastapi.pool.counters import BOUNDS
from redis_manager_fastapi.pool.state import PoolStats

_NUMBERS = (
    *("commands", "retried", "lost", "waited", "refused", "grace_used", "grace_longest"),
    *("bytes_sent", "bytes_received", "connects", "generation", "links", "in_flight"),
    *("idle", "leased", "opening", "waiting", "clients"),
)


def limits(manager: RedisManager) -> dict[str, Any]:
    """Return what does not change while a manager is open."""
    settings = manager.settings
    return {
        "name": manager.name,
        "mark": manager.history.mark,
        "topology": settings.topology,
        "critical": settings.critical,
        "grace": settings.outage.grace,
        "pool": settings.pool.max_connections,
        "bounds": BOUNDS,
        "sentinels": len(settings.sentinel.nodes),
        "service": settings.sentinel.service if settings.topology == "sentinel" else "",
    }


def snapshot(manager: RedisManager) -> dict[str, Any]:
    """Return how a manager stands now."""
    stats = manager.stats()
    shown = _pool(stats)
    shown |= {"name": manager.name, "at": time.time(), "ready": manager.is_ready}
    if manager.history.states:
        shown["since"] = manager.history.states[-1].at
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
        shown["cache"]["reason"] = short(stats.cache.reason)
    if manager.settings.topology == "cluster":
        shown["shards"] = _shards(stats, named=manager.settings.log_addresses)
    return shown


def news(manager: RedisManager, seen: int) -> dict[str, Any]:
    """Return the states and events that are news to who has *seen* so much."""
    named = manager.settings.log_addresses
    return {
        "states": [
            {"at": each.at, "state": each.state} for each in manager.history.states_since(seen)
        ],
        "news": [happened(each, named=named) for each in manager.history.since(seen)],
    }


def happened(entry: Happened, *, named: bool) -> dict[str, Any]:
    """Return an event in words, *named* with its server's address."""
    event = entry.event
    kind = event.state if isinstance(event, StateChanged) else ""
    return {
        "at": entry.at,
        "first": entry.first,
        "times": entry.times,
        "kind": kind,
        "state": "" if event.node else kind,
        "node": event.node if named else "",
        "words": in_words(event),
    }


def _pool(stats: PoolStats) -> dict[str, Any]:
    return {
        **{name: getattr(stats, name) for name in _NUMBERS},
        "state": stats.state.value,
        "serving": stats.serving,
        "reason": short(stats.reason),
        "errors": stats.errors,
        "latency": stats.latency.buckets,
    }


def _realtime(stats: RealTimeStats) -> dict[str, Any]:
    subscriptions = asdict(stats.subscriptions)
    subscriptions["deaf"] = [short(each) for each in stats.subscriptions.deaf[:10]]
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
            "reason": short(shard.reason),
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
