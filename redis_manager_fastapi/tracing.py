"""Spans for OpenTelemetry: one for each command, named and filled by its conventions.

`instrument(manager)` asks for them.  An app that does not ask for them needs no OpenTelemetry,
and pays nothing for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any

from redis.exceptions import WatchError

from redis_manager_fastapi.commands.blocking import upper_word
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.observe.spans import Where
from redis_manager_fastapi.supervision.deployment import Deployment
from redis_manager_fastapi.topology.failures import server_code

try:
    from opentelemetry import context, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:
    message = "redis_manager_fastapi.tracing needs: pip install 'redis_manager_fastapi[otel]'"
    raise ImportError(message) from error

_SCHEMA = "https://opentelemetry.io/schemas/1.33.0"

# Within a block with this key, OpenTelemetry's own instrumentations make no spans.
_SUPPRESSED = "suppress_instrumentation"
_THEIRS = "opentelemetry.instrumentation.redis"

# What has subcommands: their names say more, and hold no data.
_CONTAINERS = frozenset(
    {
        *("ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "HIMPORT"),
        *("LATENCY", "MEMORY", "MODULE", "OBJECT", "PUBSUB", "SCRIPT", "SLOWLOG", "XGROUP"),
        *("XINFO",),
    }
)
_STORED = frozenset({"EVALSHA", "EVALSHA_RO", "FCALL", "FCALL_RO"})

# Commands whose arguments may be passwords.
_SECRET = frozenset({"ACL", "AUTH", "CONFIG", "HELLO", "MIGRATE"})

# How many commands of a pipeline are looked at.
_LOOKED_AT = 100

# The longest text of an argument, and of all commands of a span.
_LONGEST_ARGUMENT = 100
_LONGEST_TEXT = 2_000


def instrument(
    managers: RedisManager | Mapping[str, RedisManager],
    tracer_provider: trace.TracerProvider | None = None,
    *,
    query_text: bool = False,
) -> None:
    """Make a span of each command of a manager, or of all managers of a registry.

    It takes effect at once, for clients that were made before as well.

    Args:
        managers: A `RedisManager`, or a `RedisRegistry`.
        tracer_provider: Makes the tracer; OpenTelemetry's global one if left out.
        query_text: Whether spans have the commands with keys and values, shortened, in
            `db.query.text`; passwords never.
    """
    tracer = trace.get_tracer("redis_manager_fastapi", None, tracer_provider, _SCHEMA)
    for deployment in _deployments(managers):
        deployment.trace(CommandTracer(deployment, tracer, query_text=query_text))


def uninstrument(managers: RedisManager | Mapping[str, RedisManager]) -> None:
    """Make no more spans."""
    for deployment in _deployments(managers):
        deployment.trace(None)


def _deployments(
    managers: RedisManager | Mapping[str, RedisManager],
) -> list[Deployment[Any]]:
    several = managers.values() if isinstance(managers, Mapping) else (managers,)
    return [manager.redis.session.deployment for manager in several]


class CommandTracer:
    """Makes the spans of one deployment's commands.

    Args:
        deployment: Where the commands go.
        tracer: Of OpenTelemetry.
        query_text: Whether spans have the text of the commands.
    """

    def __init__(
        self, deployment: Deployment[Any], tracer: trace.Tracer, *, query_text: bool
    ) -> None:
        self.tracer = tracer
        self.where = deployment.where
        self._query_text = query_text
        self._always = {
            "db.system.name": "redis",
            "db.namespace": str(deployment.settings.db),
        }

    def command(self, args: Sequence[Any], slot: int | None = None) -> "SpanBlock":
        """Return the block for one command, of *slot* with a Cluster."""
        name = operation_name(args)
        attributes = self._always | {"db.operation.name": name}
        if name.upper() in _STORED and len(args) > 1:
            attributes["db.stored_procedure.name"] = _text(args[1])
        if self._query_text:
            attributes["db.query.text"] = query_text(args)
        return SpanBlock(self, name, attributes, slot)

    def batch(
        self, commands: Iterable[Sequence[Any]], size: int, *, transaction: bool
    ) -> "SpanBlock":
        """Return the block for a pipeline of *size* commands, or for a transaction."""
        first = list(islice(commands, _LOOKED_AT))
        names = {operation_name(args) for args in first}
        same = f" {names.pop()}" if len(names) == 1 and size == len(first) else ""
        name = ("MULTI" if transaction else "PIPELINE") + same
        attributes: dict[str, Any] = self._always | {"db.operation.name": name}
        if size > 1:
            attributes["db.operation.batch.size"] = size
        if self._query_text:
            attributes["db.query.text"] = _texts(first, size)
        return SpanBlock(self, name, attributes, None)


class SpanBlock:
    """The block that a command, or a batch, is executed in, from its call to its end."""

    __slots__ = ("_attributes", "_name", "_slot", "_span", "_token", "_tracer", "_where")

    def __init__(
        self, tracer: CommandTracer, name: str, attributes: dict[str, Any], slot: int | None
    ) -> None:
        self._tracer, self._name, self._attributes = tracer, name, attributes
        self._slot, self._where = slot, tracer.where(slot)
        self._span: trace.Span | None = None

    def __enter__(self) -> None:
        if context.get_value(_SUPPRESSED) or _is_theirs(trace.get_current_span()):
            return
        attributes = self._attributes | _server(self._where)
        self._span = span = self._tracer.tracer.start_span(
            self._name, kind=SpanKind.CLIENT, attributes=attributes
        )
        # Their instrumentation of redis-py's classes would make another span of this command.
        within = context.set_value(_SUPPRESSED, value=True)
        self._token = context.attach(trace.set_span_in_context(span, within))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        span, self._span = self._span, None
        if span is None:
            return
        context.detach(self._token)
        if span.is_recording():
            where = self._tracer.where(self._slot)
            if where != self._where:
                span.set_attributes(_server(where))
            # That a watched key has changed is an answer; a cancelled caller has not failed.
            if isinstance(exc, Exception) and not isinstance(exc, WatchError):
                _note(span, exc)
        span.end()


def operation_name(args: Sequence[Any]) -> str:
    """Return a command's name, with that of its subcommand, and nothing else that was passed."""
    first, *rest = _text(args[0]).split(" ")
    if first.upper() in _CONTAINERS and (rest or len(args) > 1):
        return f"{first} {rest[0] if rest else _text(args[1])}"
    return first


def query_text(args: Sequence[Any]) -> str:
    """Return a command as one would type it, each argument shortened; passwords are never in it."""
    if upper_word(args[0]).partition(" ")[0] in _SECRET:
        return " ".join([operation_name(args), *("?" for _ in args[1:])])
    rest = (_quoted(_text(arg, _LONGEST_ARGUMENT)) for arg in args[1:])
    return " ".join([_text(args[0], _LONGEST_ARGUMENT), *rest])


def _texts(first: Sequence[Sequence[Any]], size: int) -> str:
    text = "; ".join(map(query_text, first))
    return (
        text if size == len(first) and len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
    )


def _text(value: Any, longest: int | None = None) -> str:
    """Return an argument as text, cut if it is long."""
    if isinstance(value, bytes | bytearray | memoryview):
        piece = bytes(value[: longest + 1] if longest is not None else value)
        value = piece.decode(errors="backslashreplace")
    text = str(value)
    return text if longest is None or len(text) <= longest else f"{text[:longest]}..."


def _quoted(text: str) -> str:
    plain = text.isprintable() and text and not set(text) & set(" \"'")
    return text if plain else repr(text)


def _server(where: Where) -> dict[str, Any]:
    return dict(zip(("server.address", "server.port"), where, strict=False))


def _is_theirs(span: trace.Span) -> bool:
    """Whether it is a span of OpenTelemetry's own instrumentation, for this very command."""
    scope = getattr(span, "instrumentation_scope", None)
    return scope is not None and scope.name == _THEIRS


def _note(span: trace.Span, error: Exception) -> None:
    """Note what a command ended with; none of a server's words, which may repeat what was sent."""
    cause, ours = error.__cause__ or error, isinstance(error, RedisManagerError)
    code = server_code(cause if ours else error)
    if code is not None:
        span.set_attribute("db.response.status_code", code)
    name = type(error).__qualname__
    span.set_attribute("error.type", name if ours or code is None else code)
    span.set_status(Status(StatusCode.ERROR, str(error) if ours else code))
