"""A renewed token on the connections that are open: in band, so that no command notices."""

import asyncio
import logging
from functools import partial

from redis.exceptions import RedisError

from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.leases import Leases
from redis_manager_fastapi.pool.link_events import LinkEvents
from redis_manager_fastapi.pool.links import LinkSet
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.request import Interrupted, Reply
from redis_manager_fastapi.topology.failures import from_reply
from redis_manager_fastapi.topology.tokens import TokenStream

logger = logging.getLogger("redis_manager_fastapi")


class Renewal:
    """Sends the token that a streaming provider pushes over the connections of one pool.

    The shared ones get it at once, between the commands of callers, and so do idle
    dedicated ones.  One that is leased gets it before it is leased again.

    Args:
        events: The pool.
        links: Its multiplexed connections.
        leases: Its dedicated connections.
        timeout: How long the server may take to answer, in seconds.
        instance: The manager's name.
    """

    def __init__(
        self,
        events: LinkEvents[MultiplexedConnection],
        links: LinkSet,
        leases: Leases,
        timeout: float,
        *,
        instance: str,
    ) -> None:
        self._events = events
        self._links = links
        self._leases = leases
        self._timeout = timeout
        self._instance = instance
        self._tokens: TokenStream | None = None
        self._task: asyncio.Task[None] | None = None
        self._refused = 0

    def installed(self, tokens: TokenStream) -> None:
        """Look after new links, which may have been made while a token came."""
        if self._tokens is None:
            self._tokens = tokens
            tokens.listen(self._renew, asyncio.get_running_loop())
        self._renew()

    def close(self) -> None:
        """Hear of no further token."""
        if self._tokens is not None:
            self._tokens.forget(self._renew)
        if self._task is not None:
            self._task.cancel()

    async def settle(self) -> None:
        """Wait until nothing is under way any more."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def _renew(self) -> None:
        """Send the token over what has not had it."""
        tokens = self._tokens
        if tokens is None or not tokens.version:
            return
        deadline = asyncio.get_running_loop().time() + self._timeout
        for link in self._links.current:
            reply = link.authenticate(tokens.version, tokens.command, deadline)
            if reply is not None:
                reply.add_done_callback(partial(self._answered, tokens.version, link))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew_idle(tokens))

    async def _renew_idle(self, tokens: TokenStream) -> None:
        """Have every idle connection take the last token; one that does not is closed."""
        leases = self._leases

        def outdated(connection: DedicatedConnection) -> bool:
            return connection.token != tokens.version

        while connection := leases.capacity.take_idle(outdated, "a renewed token"):
            usable = False
            try:
                usable = await connection.reusable()
            finally:
                leases.give_back(connection, reusable=usable)

    def _answered(self, version: int, link: MultiplexedConnection, reply: Reply) -> None:
        """Part with a link whose token was refused: another one asks the provider anew."""
        error = None if reply.cancelled() else reply.result()
        if not isinstance(error, RedisError) or isinstance(error, (RedisManagerError, Interrupted)):
            return
        if self._refused != version:
            self._refused = version
            told = str(from_reply(error, self._instance))
            logger.warning(
                "redis %r refused a renewed token: %s",
                self._instance,
                told,
                extra={"event": "redis_token_refused", "instance": self._instance, "reason": told},
            )
        self._events.link_worn(link)
