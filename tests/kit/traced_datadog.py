"""Sees thirty commands through Datadog's instrumentation: `scripts/datadog` runs this.

Its package brings a pytest plugin that changes how tests run, so it has an environment of its
own.  Nothing is sent: a filter keeps each trace, and drops it.
"""

import asyncio
import sys
from typing import Any

from ddtrace import patch
from ddtrace.trace import TraceFilter, tracer

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer
from tests.kit.serving import serving
from tests.kit.thirty import BLOCKED, COUNT, EXPECTED, app_of

SPANS: list[Any] = []


class Keep(TraceFilter):  # type: ignore[misc]  # ddtrace is elsewhere
    """Keeps every span of a request."""

    def process_trace(self, trace: list[Any]) -> None:
        """Take the spans; returning none has nothing sent."""
        SPANS.extend(trace)


def around(app: Any) -> Any:
    """Return *app* with a span around each request."""

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        with tracer.trace("request"):
            await app(scope, receive, send)

    return traced


async def seen(url: str, *, pipelining: bool) -> list[Any]:
    """Return the spans of one request, the request's own first."""
    manager = RedisManager(url=url, pipelining={"enabled": pipelining})
    async with serving(around(app_of(manager))) as site:
        SPANS.clear()
        response = await site.http.get("/thirty")
    if response.status_code != 200:
        raise SystemExit(f"the request was answered with {response.status_code}")
    return sorted(SPANS, key=lambda span: int(span.start_ns))


def expected(command: str | tuple[str, ...]) -> str:
    """Return the resource that Datadog names for a command: only the first word of each."""
    names = (command,) if isinstance(command, str) else command[1:]
    return "\n".join(name.partition(" ")[0] for name in names)


def faults(spans: list[Any]) -> list[str]:
    """Return what is wrong with the spans of a request."""
    request, *commands = spans
    found = [str(span) for span in commands if span.parent_id != request.span_id]
    if [span.resource for span in commands] != [expected(each) for each in EXPECTED]:
        found.append(f"other commands: {[span.resource for span in commands]}")
    elif commands[19].duration < BLOCKED * 0.9:
        found.append("the blocking command's span ended before its reply")
    return found


async def main() -> int:
    """Instrument after and before the manager is made, with pipelining and without."""
    tracer.configure(trace_processors=[Keep()])
    wrong = 0
    async with RedisServer() as server:
        early = RedisManager(url=server.url)
        async with early:
            await early.redis.ping()
            patch(redis=True)
            SPANS.clear()
            await early.redis.ping()
            wrong += len(SPANS) != 1
        for pipelining in (True, False):
            spans = await seen(server.url, pipelining=pipelining)
            problems = faults(spans)
            wrong += len(problems)
            sys.stdout.write(
                f"pipelining {pipelining}: {len(spans) - 1} spans of {COUNT} commands\n"
                + "".join(f"  {problem}\n" for problem in problems)
            )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
