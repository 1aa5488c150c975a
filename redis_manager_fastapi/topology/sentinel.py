"""A primary that Sentinels name, and the news when they name another one.

The newest configuration epoch wins: a Sentinel that was cut off from the others
goes on naming the old primary, which may go on calling itself a primary, and a
check of its role alone would not tell.  Against the others, though, one Sentinel
is believed only when the server that it names goes on with the history that is
known: a promoted replica does.  Only a server that most Sentinels, or the primary
itself, knew before is asked for that: no other one is connected to.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.settings import Address, RedisSettings
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.topology.failures import from_connect, most_telling
from redis_manager_fastapi.topology.interface import Target
from redis_manager_fastapi.topology.options import target_at
from redis_manager_fastapi.topology.racing import Reach
from redis_manager_fastapi.topology.sentinel_link import (
    Answer,
    SentinelLink,
    ask_all,
    ask_history,
    connect_to,
    encrypted,
    history_of,
    known_to_most,
    knows_no_service,
)
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

logger = logging.getLogger("redis_manager_fastapi")

# All in seconds.  How long to wait for the Sentinels while a known primary may still
# serve; how long one may be silent before it is asked for a sign of life; the longest
# pause before a lost one is listened to again; and for how long the newest epoch is
# believed although its primary cannot be reached: Sentinels that were set up anew begin
# again at 0.
_PATIENCE = 0.3
_SILENCE = 1.0
_PAUSE = 0.5
_TRUST = 5.0

# When one Sentinel's word is not believed, all are asked again after a pause that doubles,
# so many times in all (from 0.2 s on, for a quarter of a minute).  More such words have them
# asked sooner, but not without a shorter pause, so that no Sentinel can make a herd.
_AGAIN, _APART, _MOST_APART = 0.1, 0.05, 1.0
_ROUNDS = 7

# The longest pause, in seconds, before a Sentinel is listened to again that answered and refused.
_REFUSED_PAUSE = 10.0
_REFUSALS = (AuthenticationError, ResponseError)


class Sentinel:
    """Reaches the primary of a service by way of its Sentinels.

    Attributes:
        heard: Those that are listened to now.
    """

    def __init__(
        self,
        settings: RedisSettings,
        credentials: CredentialProvider | None = None,
        tls: SharedTLSContext | None = None,
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._tls = tls or SharedTLSContext()
        self.heard: set[Address] = set()
        self._known: Answer | None = None
        self._servers: frozenset[Address] = frozenset()
        self._reaches = defaultdict[Address, Reach](Reach)
        self._claim: Answer | None = None
        self._claimed = asyncio.Event()
        self._followed: Address | None = None
        self._history: str | None = None
        self._ways = set[tuple[Address, Address]]()  # what is announced, and where it is reached
        self._news = False
        self._doubted_at: float | None = None
        self._on_move: Callable[[str], None] | None = None
        self._listeners: list[asyncio.Task[None]] = []

    def start(self, on_move: Callable[[str], None]) -> None:
        """Listen to every Sentinel; *on_move* is called when another server is the primary."""
        self._on_move = on_move
        loop = asyncio.get_running_loop()
        self._listeners = [
            loop.create_task(self._follow(node), name=f"redis-sentinel-{node}")
            for node in self._settings.sentinel.nodes
        ]
        self._listeners.append(loop.create_task(self._judge(), name="redis-sentinel-claims"))

    async def aclose(self) -> None:
        """Stop listening."""
        listeners, self._listeners = self._listeners, []
        await end(listeners)

    async def locate(self) -> Target:
        """Return where the Sentinels say that the primary is.

        News of theirs is taken as it is; when none of them answers, the primary
        that is known already is.

        Raises:
            RedisUnavailableError: None answers, and none ever did.
        """
        if self._known is not None and self._news:
            self._news = False
            return self._target(self._known.address)
        patience = _PATIENCE if self._known else None
        nodes = self._settings.sentinel.nodes
        answers, failures = await ask_all(nodes, self._settings, self._tls, patience, self._reaches)
        now = asyncio.get_running_loop().time()
        if answers and self._doubted_at is not None and now - self._doubted_at > _TRUST:
            self._known = None
        newest = await self._credible(answers)
        if newest is not None and (self._known is None or newest.epoch >= self._known.epoch):
            self._believe(newest, answers)
        if self._known is None:
            raise _nobody_knows(failures, self._settings)
        if self._doubted_at is None:
            self._doubted_at = now
        return self._target(self._known.address)

    async def confirm(self, connection: AbstractConnection) -> None:
        """Check that the server calls itself a primary, and is the one that is named by now."""
        known = self._known
        address = Address(connection.host, connection.port)  # type: ignore[attr-defined]
        if known is None or (known.address, address) not in self._ways:
            raise RedisUnavailableError("the Sentinels now name another primary")
        await connection.send_command("ROLE")
        try:
            role = cast("list[Any]", await connection.read_response())
        except NoPermissionError:
            role = ["master"]  # the Sentinels' word has to do
        history = await history_of(connection)
        if role[0] not in ("master", b"master"):
            raise RedisUnavailableError("the server named by the Sentinels is not a primary yet")
        self._doubted_at, self._history = None, history[0] if history else None
        self._followed = known.address
        if isinstance(role[-1], list):  # the replicas that are connected to it
            self._servers |= {Address(str(host), int(port)) for host, port, _ in role[-1]}

    def _believe(self, answer: Answer, answers: list[Answer]) -> None:
        self._known, self._servers = answer, known_to_most(answers) | {answer.address}

    async def _credible(self, answers: list[Answer]) -> Answer | None:
        """Return the newest answer that is to be believed.

        That is one of most of those that answer, or of one alone whose server was known
        before and goes on with the history that is known.
        """
        known_before = self._servers | known_to_most(answers)
        newest_first = sorted(answers, key=lambda answer: answer.epoch, reverse=True)
        for answer in newest_first:
            same = [each for each in newest_first if each.address == answer.address]
            if 2 * len(same) > len(answers):
                return same[len(answers) // 2]  # the epoch, too, is one that most have reached
            if self._known is not None and answer.address == self._known.address:
                return self._known
            if answer.address in known_before and await self._goes_on(answer.address):
                return answer
        if not answers or self._known is not None:
            return None
        return max(newest_first, key=lambda answer: answer.address in known_before)

    async def _goes_on(self, address: Address) -> bool:
        """Ask the server at *address* whether it has the data of the primary that is known."""
        if self._history is None:
            return False
        try:
            async with asyncio.timeout(self._settings.timeout.connect):
                return self._history in await ask_history(self._target(address))
        except Exception:  # whatever answers there, it may say anything
            return False

    def _target(self, announced: Address) -> Target:
        address = self._settings.reach(announced)
        self._ways.add((announced, address))
        return target_at(self._settings, self._credentials, address.host, address.port)

    async def _follow(self, node: Address) -> None:
        """Listen to one Sentinel for as long as the manager is open."""
        while True:
            pause = _PAUSE
            try:
                await self._listen(node)
                pause = 0.0
            except Exception as error:  # whatever it was, it must not end the listening
                named = self._settings.log_addresses
                logger.debug(
                    "stopped listening to a Sentinel%s: %s",
                    f" ({node})" if named else "",
                    repr(error) if named else type(error).__name__,
                    extra={"event": "redis_sentinel_lost", "reason": type(error).__name__},
                )
                if isinstance(error, _REFUSALS):
                    pause = _REFUSED_PAUSE
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 (spreads load)

    async def _listen(self, node: Address) -> None:
        link = connect_to(node, self._settings, self._tls)
        try:
            answer = await link.subscribe_by_any_address(self._reaches[node])
            self.heard.add(node)
            known = self._known
            if known is not None and answer.epoch > known.epoch:
                self._doubt_known(answer)
            await self._hear_events(link)
        except Exception as error:
            link.leave_address()
            link.clean(error)
            raise
        finally:
            self.heard.discard(node)
            link.connection.abort()

    async def _hear_events(self, link: SentinelLink) -> None:
        """Take what a Sentinel tells, until the connection is old: its name may lead elsewhere."""
        clock, lifetime = asyncio.get_running_loop().time, self._settings.pool.max_lifetime
        ends = clock() + (lifetime * random.uniform(0.9, 1.0) or inf)  # noqa: S311 (spreads load)
        while clock() < ends:
            address = await link.heard(_SILENCE)
            known = self._known
            if address is None or known is None:
                continue
            if known.address != address:
                # The event has no epoch; a fail-over raises it by one at least.
                self._doubt_known(Answer(known.epoch + 1, address))
            elif address != self._followed:
                self._send(address)  # who asked before the event may not have gone there

    def _doubt_known(self, claim: Answer) -> None:
        """Have the word of one Sentinel looked into that there is something newer."""
        self._claim = claim
        self._claimed.set()

    async def _judge(self) -> None:
        """Ask all Sentinels when one says something new, until it is decided, or for a while."""
        rounds = 0
        while True:
            pause = _AGAIN * 2**rounds if 0 < rounds < _ROUNDS else None
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._claimed.wait()
            rounds = 0 if await self._agreed() else min(rounds + 1, _ROUNDS)
            await asyncio.sleep(min(_APART * 2**rounds, _MOST_APART))

    async def _agreed(self) -> bool:
        """Ask who the primary is, and go there if it is another one; return whether it is now."""
        claim, fresh = self._claim, self._claimed.is_set()
        self._claimed.clear()
        if claim is None:
            return True
        nodes = self._settings.sentinel.nodes
        answers, _ = await ask_all(nodes, self._settings, self._tls, _PATIENCE, self._reaches)
        if (answers or fresh) and all(each.address != claim.address for each in answers):
            answers.append(claim)
        credible, known = await self._credible(answers), self._known
        if credible is not None and known is not None:
            moved = credible.address != known.address
            if credible.epoch > known.epoch or (moved and credible.address == claim.address):
                self._believe(credible, answers)
                if moved:
                    self._send(credible.address)
        return self._known is not None and self._known.address == claim.address

    def _send(self, address: Address) -> None:
        """Have everybody go to another primary."""
        self._news, self._doubted_at, self._followed = True, None, address
        if self._on_move is not None:
            self._on_move("the Sentinels name another primary")


def _nobody_knows(failures: list[Exception], settings: RedisSettings) -> RedisUnavailableError:
    """Return the error for a round without an answer: what a Sentinel said tells the most."""
    if not failures:
        return RedisUnavailableError("no Sentinel names a primary: none of them answered")
    told = most_telling([_told(each, settings) for each in failures])
    error = type(told)(f"no Sentinel names a primary: {told}")
    error.__cause__ = told.__cause__
    return error


def _told(failure: Exception, settings: RedisSettings) -> RedisUnavailableError:
    """Return what callers may be told of why one Sentinel names no primary."""
    if knows_no_service(failure):
        told = RedisUnavailableError(f"they do not know the service {settings.sentinel.service!r}")
    elif isinstance(failure, ResponseError) and "unknown command" in str(failure):
        told = RedisUnavailableError("what answers there is no Sentinel")
    elif isinstance(failure, RedisError | OSError):
        return from_connect(failure, "", settings, tls=encrypted(settings))
    else:
        told = RedisUnavailableError(f"the answer makes no sense ({type(failure).__name__})")
    told.__cause__ = failure
    return told
