"""OpenTelemetry's spans, as tests look at them: of a request, its commands and their order."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

REQUEST = "request"


class Recorder:
    """Keeps every span.

    Attributes:
        provider: Whose spans it keeps.
    """

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def around(self, app: Any) -> Any:
        """Return *app* with a span around each request, as a server's instrumentation makes it."""
        tracer = self.provider.get_tracer("tests")

        async def traced(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            with tracer.start_as_current_span(REQUEST, kind=SpanKind.SERVER):
                await app(scope, receive, send)

        return traced

    def take(self) -> tuple[ReadableSpan, list[ReadableSpan]]:
        """Return the span of the one request and those of its commands, by their beginning."""
        commands = self.commands()
        request = next(span for span in commands if span.name == REQUEST)
        commands.remove(request)
        return request, commands

    def commands(self) -> list[ReadableSpan]:
        """Return all spans since the last look, by their beginning."""
        spans = sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        self._exporter.clear()
        return spans


@contextmanager
def instrumented(recorder: Recorder) -> Iterator[None]:
    """Within it redis-py's classes are instrumented by OpenTelemetry."""
    instrumentor: Any = RedisInstrumentor()
    instrumentor.instrument(tracer_provider=recorder.provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def seconds(span: ReadableSpan) -> float:
    """Return how long a span took."""
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e9


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes."""
    return dict(span.attributes or {})
