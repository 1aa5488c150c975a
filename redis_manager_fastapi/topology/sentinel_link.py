"""One connection to one Sentinel: the questions who serves, and its events.

Sentinels speak RESP2 whatever the deployment speaks, know nothing of databases,
and have credentials of their own.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from redis_manager_fastapi.settings import Address, RedisSettings
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.topology.credentials import (
    Credentials,
    HidingHandshake,
    SentinelCredentials,
)
from redis_manager_fastapi.topology.interface import Target
from redis_manager_fastapi.topology.options import tls_options
from redis_manager_fastapi.topology.racing import RacingConnection, Reach, by_any_address
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

# What a Sentinel tells when another server is the primary: by a fail-over, or because an
# operator says so (SENTINEL REMOVE and MONITOR).
EVENTS = ("+switch-master", "+monitor")

# How long (seconds) the answers of a minority wait for the others, and how long one
# Sentinel has where any of them would do.
_HUNG = 0.3

Reaches = MutableMapping[Address, Reach]
"""What is known of the addresses of each Sentinel's name; one that is missing is made."""

_DOWN = frozenset({"s_down", "o_down"})


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica as a Sentinel sees it.

    Attributes:
        address: Where it is.
        down: Whether the Sentinel cannot reach it.
        vouched_for: Whether the Sentinel is connected to it, and it was to its
            primary when the Sentinel asked last; that may be 10 s ago.
    """

    address: Address
    down: bool
    vouched_for: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a Sentinel says of the service.

    Attributes:
        epoch: The configuration epoch; each fail-over has a higher one.
        address: The primary's address.
        replicas: Its replicas; none from a Sentinel that may not be asked for them.
    """

    epoch: int
    address: Address
    replicas: tuple[Replica, ...] = ()


class _Plain(HidingHandshake, RacingConnection):
    """A connection to a Sentinel over TCP."""


class _Encrypted(HidingHandshake, RacingConnection, SSLConnection):
    """A connection to a Sentinel over TLS."""


class SentinelLink:
    """A conversation with one Sentinel about one service; `async with` opens and drops it.

    Args:
        connection: Not yet connected.
        service: The name under which the Sentinels know the primary.

    Attributes:
        connection: What it talks over.
    """

    def __init__(self, connection: "_Plain | _Encrypted", service: str) -> None:
        self.connection = self._connection = connection
        self._service = service

    async def __aenter__(self) -> Self:
        try:
            await self._connection.connect()
        except BaseException as error:
            self._connection.abort()
            self.clean(error)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, stack: object) -> None:
        self._connection.abort()
        if error is not None:
            self.clean(error)

    def clean(self, error: BaseException) -> None:
        """Cut the credentials out of *error*, which the Sentinel may have repeated at any time."""
        if isinstance(self._connection.credential_provider, Credentials):
            self._connection.credential_provider.clean(error)

    async def ask(self) -> Answer:
        """Ask who the primary is, and its replicas.

        Raises:
            redis.RedisError: The Sentinel does not know, or refuses to say.
        """
        await self._send(*self._question(), ("SENTINEL", "REPLICAS", self._service))
        answer = await self._answer()
        try:
            listed = await self._reply()
        except ResponseError:
            return answer
        return replace(answer, replicas=tuple(map(_replica, listed)))

    async def service(self) -> dict[str, str]:
        """Ask for all that the Sentinel knows of the service.

        Raises:
            redis.RedisError: It knows no such service, or refuses to say.
        """
        await self._send(("SENTINEL", "MASTER", self._service))
        fields = await self._reply()
        return dict(zip(fields[::2], fields[1::2], strict=True))

    async def ask_by_any_address(self, reach: Reach) -> Answer:
        """Open it, ask who the primary is and drop it; where the Sentinel's name is known to be."""

        async def ask() -> Answer:
            async with self:
                return await self.ask()

        self.connection.reach = reach
        return await self._by_any_address(ask)

    async def subscribe_by_any_address(self, reach: Reach) -> Answer:
        """Open it and subscribe, likewise."""

        async def subscribe() -> Answer:
            try:
                return await (await self.__aenter__()).subscribe()
            except BaseException:
                self.connection.abort()
                raise

        self.connection.reach = reach
        return await self._by_any_address(subscribe)

    async def _by_any_address(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        limit = self.connection.socket_connect_timeout or 1.0
        ends = asyncio.get_running_loop().time() + limit
        try:
            return await by_any_address(self.connection, ends, attempt)
        except asyncio.CancelledError:  # it was too late
            self.leave_address()
            raise

    def leave_address(self) -> None:
        """Try the other addresses of its name first the next time."""
        reach, place = self.connection.reach, self.connection.place
        if reach is not None and place is not None:
            reach.failed[place] = asyncio.get_running_loop().time()

    async def subscribe(self) -> Answer:
        """Ask who the primary is and, in the same write, to be told when that changes."""
        await self._send(*self._question(), ("SUBSCRIBE", *EVENTS))
        answer = await self._answer()
        for _ in EVENTS:
            await self._connection.read_response()
        return answer

    async def heard(self, interval: float) -> Address | None:
        """Wait for the next event and return the new primary; None for another service's.

        Raises:
            redis.TimeoutError: The Sentinel left a PING unanswered for *interval*.
        """
        message = await self._read(interval)
        if message is None:
            await self._send(("PING",))
            message = await self._read(interval)
        if message is None:
            raise RedisTimeoutError("the Sentinel does not answer")
        return self._event(message)

    async def _send(self, *commands: tuple[str, ...]) -> None:
        packed = self._connection.pack_commands(commands)
        await self._connection.send_packed_command(packed)

    async def _read(self, timeout: float) -> Any:
        """Return the next message, or None when none came in time."""
        return await self._connection.read_response(timeout=timeout, disconnect_on_error=False)

    async def _reply(self) -> Any:
        return await self._connection.read_response()

    def _question(self) -> tuple[tuple[str, ...], ...]:
        # The first names a promoted replica before the fail-over is over; the
        # second has the epoch.
        return (
            ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service),
            ("SENTINEL", "MASTER", self._service),
        )

    async def _answer(self) -> Answer:
        address, fields = await self._reply(), await self._reply()
        if not address:
            raise ResponseError(f"the Sentinel does not know the service {self._service!r}")
        known = dict(zip(fields[::2], fields[1::2], strict=True))
        return Answer(int(known["config-epoch"]), _address(*address))

    def _event(self, message: Any) -> Address | None:
        if message[0] != "message" or message[1] not in EVENTS:
            return None
        words = message[2].split(" ")
        if message[1] == "+monitor":
            _, service, host, port, *_ = words
        else:
            service, _, _, host, port = words
        return _address(host, port) if service == self._service else None


def connect_to(node: Address, settings: RedisSettings, tls: SharedTLSContext) -> SentinelLink:
    """Return a link to the Sentinel at *node*, with the Sentinels' own credentials."""
    sentinel, limit = settings.sentinel, settings.timeout.connect
    options: dict[str, Any] = {
        "host": node.host,
        "port": node.port,
        "protocol": 2,
        "decode_responses": True,
        "driver_info": None,
        "socket_timeout": limit,
        "socket_connect_timeout": limit,
        "retry": Retry(NoBackoff(), 0),
    }
    if sentinel.password is not None:
        options["credential_provider"] = Credentials(SentinelCredentials(settings))
    if encrypted(settings):
        encrypting = _Encrypted(**options, **tls_options(settings))
        tls.give_to(encrypting)
        return SentinelLink(encrypting, sentinel.service or "")
    connection = _Plain(**options)
    return SentinelLink(connection, sentinel.service or "")


def knows_no_service(error: Exception) -> bool:
    """Whether it is a Sentinel's answer that it watches no such service."""
    said = str(error)
    return isinstance(error, ResponseError) and (
        "does not know the service" in said or "No such master" in said
    )


def encrypted(settings: RedisSettings) -> bool:
    """Whether the Sentinels are reached by TLS."""
    return settings.tls.enabled if settings.sentinel.tls is None else settings.sentinel.tls


async def ask_all(
    nodes: tuple[Address, ...],
    settings: RedisSettings,
    tls: SharedTLSContext,
    patience: float | None,
    reaches: Reaches,
) -> tuple[list[Answer], list[Exception]]:
    """Ask all Sentinels at once; return the answers and the reasons of those who gave none.

    The answers of a majority end the asking, those of a minority after 0.3 s,
    so that a hung Sentinel costs no more.  *patience* is how long to wait for
    the first answer; None is as long as the caller lets it.  *reaches* is kept from one
    asking to the next.
    """
    answers: list[Answer] = []
    failures: list[Exception] = []
    loop = asyncio.get_running_loop()
    tasks = {loop.create_task(_ask(node, settings, tls, reaches)) for node in nodes}
    waiting, hurry = set(tasks), loop.time() + _HUNG
    give_up = None if patience is None else loop.time() + patience
    try:
        while waiting and 2 * len(answers) <= len(nodes):
            limit = hurry if answers else give_up
            left = None if limit is None else max(0.0, limit - loop.time())
            done, waiting = await asyncio.wait(
                waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                outcome = task.result()
                if isinstance(outcome, Answer):
                    answers.append(outcome)
                else:
                    failures.append(outcome)
            if not done:
                break
    finally:
        await end(tasks)
    return answers, failures


async def ask_history(target: Target) -> tuple[str, ...]:
    """Connect to a server and ask for its history, as `history_of` does.

    Raises:
        redis.RedisError: It cannot be reached, or refuses us.
    """
    make = _Encrypted if target.transport == "tls" else _Plain
    connection = make(**target.options)
    try:
        await connection.connect()
        return await history_of(connection)
    finally:
        connection.abort()


async def history_of(connection: AbstractConnection) -> tuple[str, ...]:
    """Return a server's replication ID and, if it was promoted, its former primary's.

    Nothing is returned for a user who may not ask.
    """
    await connection.send_command("INFO", "replication")
    try:
        info = str(await connection.read_response())
    except ResponseError:
        return ()
    facts = dict(line.split(":", 1) for line in info.split("\r\n") if ":" in line)
    found = (facts.get("master_replid", ""), facts.get("master_replid2", ""))
    return tuple(each for each in found if each.strip("0"))


def known_to_most(answers: Sequence[Answer]) -> frozenset[Address]:
    """Return the servers that most of the Sentinels that gave these answers watch."""
    watched = ({each.address, *(one.address for one in each.replicas)} for each in answers)
    counted = Counter(server for servers in watched for server in servers)
    return frozenset(server for server, count in counted.items() if 2 * count > len(answers))


def _address(host: str, port: str) -> Address:
    """Return what a Sentinel says as plain text: only what it repeats of us need be hidden."""
    return Address(str(host), int(port))


def _replica(fields: list[str]) -> Replica:
    listed = dict(zip(fields[::2], fields[1::2], strict=True))
    flags = set(listed["flags"].split(","))
    vouched_for = "disconnected" not in flags and listed["master-link-status"] == "ok"
    address = _address(listed["ip"], listed["port"])
    return Replica(address, bool(flags & _DOWN), vouched_for)


async def _ask(
    node: Address, settings: RedisSettings, tls: SharedTLSContext, reaches: Reaches
) -> Answer | Exception:
    try:
        return await connect_to(node, settings, tls).ask_by_any_address(reaches[node])
    except Exception as error:  # one that answers nonsense has no say
        return error
