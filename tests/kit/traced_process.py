"""Sees thirty commands through what cannot be undone in a process: run it, and read its JSON.

Sentry's integration patches redis-py for good, and redis-py's own metrics are kept for the
process.  `python -m tests.kit.traced_process before URL` sets both up before this library is
imported; `after`, once an app has served; and `metrics`, the metrics alone then.  It writes
what they have seen of one request.
"""

import asyncio
import json
import sys
from datetime import datetime
from typing import Any

import sentry_sdk
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from redis.observability import get_observability_instance
from redis.observability.config import MetricGroup, OTelConfig
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.asyncio import enable_asyncio_integration
from sentry_sdk.integrations.redis import RedisIntegration
from sentry_sdk.transport import Transport

READER = InMemoryMetricReader()
TRANSACTIONS: list[dict[str, Any]] = []


class Kept(Transport):
    """Keeps each transaction, and sends nothing."""

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_transaction_event()
        if event is not None:
            TRANSACTIONS.append(dict(event))


def begin(*, sentry: bool) -> None:
    """Set up redis-py's metrics, and Sentry if asked, as an app does at its start."""
    if sentry:
        sentry_sdk.init(
            "http://key@127.0.0.1/1",
            transport=Kept,
            traces_sample_rate=1.0,
            integrations=[RedisIntegration()],
        )
    metrics.set_meter_provider(MeterProvider([READER]))
    get_observability_instance().init(OTelConfig(metric_groups=[MetricGroup.COMMAND]))


def counted() -> dict[str, int]:
    """Return how many operations redis-py's metrics have counted, by name."""
    data, found = READER.get_metrics_data(), dict[str, int]()
    resources = data.resource_metrics if data is not None else ()
    scopes = [scope for each in resources for scope in each.scope_metrics]
    for metric in [metric for scope in scopes for metric in scope.metrics]:
        if metric.name == "db.client.operation.duration":
            for point in metric.data.data_points:
                name = str((point.attributes or {})["db.operation.name"])
                found[name] = found.get(name, 0) + getattr(point, "count", 0)
    return found


def began_and_ended(span: dict[str, Any]) -> list[float]:
    """Return when a span, or a transaction, began and ended."""
    stamps = (span["start_timestamp"], span["timestamp"])
    return [datetime.fromisoformat(stamp).timestamp() for stamp in stamps]


def spans() -> list[dict[str, Any]]:
    """Return the spans of the last transaction that Sentry was told of, by their beginning."""
    [*_, transaction] = TRANSACTIONS
    known = {span["span_id"]: span for span in transaction["spans"]}
    first, last = began_and_ended(transaction)

    def is_nested(span: dict[str, Any]) -> bool:
        """Whether only the tasks of `asyncio.gather` stand between it and the request."""
        parent = known.get(span["parent_span_id"])
        if parent is None:
            return bool(span["parent_span_id"] == transaction["contexts"]["trace"]["span_id"])
        return parent["op"] == "function" and is_nested(parent)

    found = []
    for span in sorted(transaction["spans"], key=lambda span: began_and_ended(span)[0]):
        began, ended = began_and_ended(span)
        if span["op"] == "db.redis":
            within = first <= began <= ended <= last
            name = str(span["description"]).partition(" ")[0]
            right = is_nested(span) and within
            found.append({"name": name, "right": right, "seconds": ended - began})
    return found


async def main(when: str, url: str) -> None:
    """Serve the thirty commands, and write what was seen of them."""
    if when == "before":
        begin(sentry=True)
    from redis_manager_fastapi import RedisManager
    from tests.kit.serving import serving
    from tests.kit.thirty import app_of

    manager = RedisManager(url=url)
    async with serving(app_of(manager)) as site:
        await site.http.get("/one")
        if when != "before":
            begin(sentry=when == "after")
        if when != "metrics":
            enable_asyncio_integration()  # as Sentry asks for: its spans nest by tasks then
        before = counted() if when == "before" else {}
        response = await site.http.get("/thirty")
        seen = counted()
    answer = {
        "status": response.status_code,
        "sentry": spans() if when != "metrics" else [],
        "metrics": {name: count - before.get(name, 0) for name, count in seen.items()},
    }
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
