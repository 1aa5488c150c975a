"""Making one connection that serves, and remembering why none could be made.

An attempt keeps its limit, and leaves nothing behind when it fails.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from math import inf

from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ResponseError

from redis_manager_fastapi.errors import RedisAuthError, RedisTLSError, RedisUnavailableError
from redis_manager_fastapi.pool.counters import Counters
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.noting import note_connection
from redis_manager_fastapi.pool.written import Writes
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.topology.credentials import Credentials, credentials_of
from redis_manager_fastapi.topology.failures import from_connect, from_reply, serves
from redis_manager_fastapi.topology.interface import Target, Topology
from redis_manager_fastapi.topology.racing import RacingConnection, Reach, by_any_address, place_of
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

logger = logging.getLogger("redis_manager_fastapi")

# Seconds between two lines about a server that cannot save.
REPEAT = 60.0

Ask = Callable[[DedicatedConnection], Awaitable[None]]
"""Asks a server something over a connection that is authenticated."""


class DedicatedTCPConnection(DedicatedConnection, RacingConnection):
    """A dedicated connection over TCP."""


class DedicatedTLSConnection(DedicatedConnection, RacingConnection, SSLConnection):
    """A dedicated connection over TLS."""


class DedicatedUnixConnection(DedicatedConnection, UnixDomainSocketConnection):
    """A dedicated connection over a unix socket."""


_CLASSES: dict[str, type[DedicatedConnection]] = {
    "tcp": DedicatedTCPConnection,
    "tls": DedicatedTLSConnection,
    "unix": DedicatedUnixConnection,
}


class Dialer:
    """Opens connections to where the topology points.

    Attributes:
        counters: Of the server that it connects to.
        second_connect: Held during every attempt but the supervisor's first, so that two
            are in flight at most.
        reach: How far its attempts got.
        beside: Says to which socket's other end it connects, whatever the name leads to by then;
            None is by the name.
    """

    def __init__(
        self,
        topology: Topology,
        settings: RedisSettings,
        *,
        instance: str,
        tls: SharedTLSContext | None = None,
        counters: Counters | None = None,
        writes: Writes | None = None,
    ) -> None:
        self.counters = counters or Counters()
        self.second_connect = asyncio.Lock()
        self.reach = Reach()
        self.beside: Callable[[], object] | None = None
        self._topology = topology
        self._settings = settings
        self._instance = instance
        self._target: Target | None = None
        self._tls = tls or SharedTLSContext()
        self._writes = writes or Writes()
        self._writes.call_when_wanted(self._note_writes)
        self._warned = float("-inf")
        self._clock = asyncio.get_running_loop().time

    async def dial(self, ask: Ask | None = None, *, sticky: bool = False) -> DedicatedConnection:
        """Find the server, connect, authenticate, PING and check the role.

        Args:
            ask: What the server is asked besides; one that has no answer does not serve.
            sticky: Whether nothing speaks against the address that served last, which goes
                first then as long as the name leads there.

        Raises:
            RedisUnavailableError: Or a subclass, with the reason.
        """
        return await self._attempt(None, None, ask, sticky=sticky)

    async def dial_known(self) -> DedicatedConnection:
        """Do the same with the server that was found last: a generation has one server."""
        return await self._attempt(None, self._target)

    async def locate(self) -> Target:
        """Return where the server is that was found last; if none was, ask the topology."""
        return self._target or await self._topology.locate()

    def forget(self) -> None:
        """Ask the topology again at the next connect: another server may be the primary."""
        self._target = None

    async def revive(self, connection: DedicatedConnection) -> None:
        """Do the same with that server and a connection object that has served before."""
        await self._attempt(connection, self._target)

    async def _attempt(
        self,
        connection: DedicatedConnection | None,
        target: Target | None,
        ask: Ask | None = None,
        *,
        sticky: bool = False,
    ) -> DedicatedConnection:
        revived, known = connection is not None, target is not None
        try:
            async with asyncio.timeout(self._settings.timeout.connect) as limit:
                target = target or await self._topology.locate()
                if connection is None:
                    make = _CLASSES[target.transport]
                    connection = make(
                        instance=self._instance, counters=self.counters, **target.options
                    )
                    self._writes.connections.add(connection)
                    if self._writes.listener is not None:
                        self._note_writes()
                connection.aim(target.options)
                provider = connection.credential_provider
                tokens = provider.tokens if isinstance(provider, Credentials) else None
                connection.tokens = tokens
                connection.token = tokens.version if tokens is not None else 0
                if isinstance(connection, DedicatedTLSConnection):
                    self._tls.give_to(connection)
                ends = limit.when() or inf
                await self._make_serve(connection, ask, ends, stays=known, sticky=sticky)
                if revived:
                    await connection.resubscribe()
                self._target = target
        except BaseException as error:
            reason = error if connection is None else connection.give_up(error)
            if _cancelled(error) or not isinstance(error, Exception | asyncio.CancelledError):
                del reason
                raise
            tls = isinstance(connection, DedicatedTLSConnection)
            translated = from_connect(reason, self._instance, self._settings, tls=tls)
            # What was said is understood before secrets are cut out, which may be words of it.
            if target is not None and (credentials := credentials_of(target.options)):
                credentials.clean(error, reason, translated)
            try:
                if translated is error:
                    raise  # not from itself: who follows causes would never end
                raise translated from reason
            finally:
                del reason, translated  # their tracebacks have this frame
        return connection

    def _note_writes(self) -> None:
        for connection in self._writes.connections:
            note_connection(connection, self._writes)

    def serves(self, answer: object) -> bool:
        """Return whether a server that answers PING like that serves.

        One that cannot save refuses writes, and PING with them; that is logged once a minute.
        """
        if not isinstance(answer, Exception):
            return answer in ("PONG", b"PONG")
        now = asyncio.get_running_loop().time()
        if serves(answer) and now - self._warned >= REPEAT:
            self._warned = now
            told = str(from_reply(answer, ""))
            logger.warning(
                "redis %r reads only: %s",
                self._instance,
                told,
                extra={"event": "redis_reads_only", "instance": self._instance, "reason": told},
            )
        return serves(answer)

    async def _make_serve(
        self,
        connection: DedicatedConnection,
        ask: Ask | None,
        ends: float,
        *,
        stays: bool,
        sticky: bool,
    ) -> None:
        """Shake hands; if its host is a name, by whichever address has a server that serves."""
        if isinstance(connection, RacingConnection):
            connection.reach, connection.stays, connection.sticky = self.reach, stays, sticky
            connection.only = None if self.beside is None else place_of(self.beside())
            if _is_name(connection.host):
                shake_hands = partial(self._shake_hands, connection, ask)
                await by_any_address(connection, ends, shake_hands)
                return
        await self._shake_hands(connection, ask)

    async def _shake_hands(self, connection: DedicatedConnection, ask: Ask | None) -> None:
        self.counters.connects += 1
        self.reach.hanging_since = min(self.reach.hanging_since, self._clock())
        if not isinstance(connection, RacingConnection):
            self.reach.hanging_since = inf
        await connection.establish()
        await connection.send_command("PING")
        answer: object
        try:
            answer = await connection.read_response()
        except ResponseError as error:
            answer = error
        self.reach.answered_at = self._clock()
        if not self.serves(answer):
            if isinstance(answer, Exception):
                raise answer
            message = f"redis {self._instance!r} did not answer PING with PONG"
            raise RedisUnavailableError(message, instance=self._instance)
        await self._topology.confirm(connection)
        if ask is not None:
            await ask(connection)
        connection.session_starts()


def _is_name(host: str) -> bool:
    """Whether *host* may have several addresses."""
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


def _cancelled(error: BaseException) -> bool:
    """Whether it is the caller who is cancelled, not something that it awaited."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection that could not be made.

    Attributes:
        since: When the first of the attempts that failed in succession did.
        until: The earliest time to try again.
        generation: The pool's generation then.
        error: What the last attempt raised.
    """

    since: float
    until: float
    generation: int
    error: RedisUnavailableError

    @property
    def final(self) -> bool:
        """Whether the server itself said no, so that asking again would not help soon."""
        answered = getattr(self.error.__cause__, "status_code", None) is not None
        return answered or isinstance(self.error, RedisAuthError | RedisTLSError)

    def repeated(self) -> RedisUnavailableError:
        """Return the error for one more caller."""
        error = type(self.error)(str(self.error), instance=self.error.instance)
        error.__cause__ = self.error
        return error


class ConnectBackoff:
    """The last failure to connect, until a connection is made.

    Args:
        loop: Whose clock it is.
        pause: Seconds before the next attempt.
        grace: Seconds after which a further failure counts as the first again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pause: float, grace: float) -> None:
        self._loop = loop
        self._pause = pause
        self._grace = grace
        self._last: Refusal | None = None

    @property
    def reason(self) -> str:
        """What an error message ends with; empty after a success."""
        return f": {self._last.error}" if self._last is not None else ""

    def fresh(self, generation: int) -> Refusal | None:
        """Return the last failure while it is fresh, so that not every caller connects."""
        last = self._last
        if last is None or last.generation != generation or self._loop.time() >= last.until:
            return None
        return last

    def remember(self, error: RedisUnavailableError, generation: int) -> Refusal:
        """Note that an attempt failed with *error*."""
        now, last = self._loop.time(), self._last
        in_a_row = last and last.generation == generation and now < last.until + self._grace
        since = last.since if last and in_a_row else now
        self._last = Refusal(since, now + self._pause, generation, error)
        return self._last

    def forget(self) -> None:
        """A connection was made."""
        self._last = None
