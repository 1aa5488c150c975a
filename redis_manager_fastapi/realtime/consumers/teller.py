"""What a consumer tells its server: what is through, what is still in hand, what is poisoned."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from redis.exceptions import RedisError, ResponseError

from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import EntryDeadLettered
from redis_manager_fastapi.observe.words import one_line
from redis_manager_fastapi.realtime.consumers.group import PAGE, Group
from redis_manager_fastapi.realtime.consumers.healing import Healing, passes
from redis_manager_fastapi.realtime.consumers.ledger import Ledger
from redis_manager_fastapi.realtime.consumers.options import ConsumerOptions
from redis_manager_fastapi.realtime.items import StreamEntry

logger = logging.getLogger("redis_manager_fastapi")

ACKNOWLEDGED_WITHIN = 0.1
"""Seconds after which the server is told what is through, however slow the bodies are."""


class Teller:
    """Keeps the server informed about the streams of one lane.

    Args:
        ledgers: Of the streams.
        group: Their group.
        options: The consumer's.
        healing: What to do about errors.
        burying: The same, where the dead-letter stream is, which may be another place.
        bus: Takes the events.
        instance: The manager's name.
        fail: Takes an error that ends the consumer.
    """

    def __init__(
        self,
        ledgers: list[Ledger],
        group: Group,
        options: ConsumerOptions,
        healing: Healing,
        burying: Healing,
        bus: Bus,
        *,
        instance: str,
        fail: Callable[[Exception], None],
    ) -> None:
        self._ledgers, self._group, self._options = ledgers, group, options
        self._healing, self._burying = healing, burying
        self._bus, self._instance, self._fail = bus, instance, fail
        self._loop = asyncio.get_running_loop()
        self._news, self._lock = asyncio.Event(), asyncio.Lock()
        self._poison, self._grave = asyncio.Event(), asyncio.Lock()

    def wake(self) -> None:
        """There is something to tell, soon."""
        self._news.set()

    def wake_for_poison(self) -> None:
        """There is something to move."""
        self._poison.set()

    async def run(self) -> None:
        """Tell in time what is through, and that what is in hand is in hand."""
        renewal = self._options.claim_after / 3
        renewed_at = self._loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(renewed_at + renewal):
                    await self._news.wait()
                    await asyncio.sleep(ACKNOWLEDGED_WITHIN)
            try:
                if self._news.is_set():
                    await self.tell()
                if self._loop.time() >= renewed_at + renewal:
                    renewed_at = self._loop.time()
                    await self._renew()
                self._healing.succeeded()
            except (RedisError, RedisManagerError) as error:
                if not await self._goes_on(error, self._healing):
                    return

    async def run_burials(self) -> None:
        """Move what is poisoned: where that cannot be done now, nothing else waits for it."""
        while True:
            await self._poison.wait()
            try:
                await self.bury()
                self._burying.succeeded()
                await self.tell()
            except (RedisError, RedisManagerError) as error:
                if not await self._goes_on(error, self._burying):
                    return

    async def _goes_on(self, error: Exception, healing: Healing) -> bool:
        if is_lost(error):
            return True  # whoever reads makes the group again
        try:
            await healing.after(error)
        except (RedisError, RedisManagerError) as final:
            self._fail(final)
            return False
        return True

    async def tell(self) -> None:
        """Acknowledge what is through."""
        async with self._lock:
            self._news.clear()
            try:
                for ledger in self._ledgers:
                    await self._acknowledge(ledger)
            except BaseException:
                self._news.set()
                raise

    async def bury(self) -> None:
        """Move what is poisoned; it is acknowledged then, as what is through."""
        async with self._grave:
            self._poison.clear()
            try:
                for ledger in self._ledgers:
                    while ledger.poisoned:
                        await self._bury(ledger, *ledger.poisoned[0])
                        self.wake()
            except BaseException:
                self._poison.set()
                raise

    async def _acknowledge(self, ledger: Ledger) -> None:
        ids = ledger.take_through()
        try:
            for start in range(0, len(ids), PAGE):
                await self._group.acknowledge(ledger.stream, ids[start : start + PAGE])
        except BaseException:
            ledger.acknowledge_again(ids)
            raise
        ledger.was_acknowledged(ids)

    async def _bury(self, ledger: Ledger, entry: StreamEntry, reason: str) -> None:
        """Move an entry to the dead-letter stream: it is added there before it leaves here."""
        options = self._options
        times = min(entry.delivered, options.max_deliveries or entry.delivered)
        if options.dead_letter is not None:
            told = {
                "dead_letter.reason": reason,
                "dead_letter.stream": entry.stream,
                "dead_letter.id": entry.id,
                "dead_letter.group": options.group,
                "dead_letter.deliveries": str(times),
            }
            await self._group.add(options.dead_letter, {**entry.fields, **told})
        ledger.bury()
        letter = options.dead_letter or ""
        where = (self._instance, entry.stream, entry.id, options.group, letter)
        self._bus.emit(EntryDeadLettered(*where, reason, times))

    async def _renew(self) -> None:
        for ledger in self._ledgers:
            ids = list(ledger.held)
            for start in range(0, len(ids), PAGE):
                await self._group.renew(ledger.stream, ids[start : start + PAGE])

    async def leave(self, unseen: Iterable[StreamEntry], name: str) -> None:
        """Tell all that is to be told, hand back what is *unseen*, and leave the group."""
        made = [ledger for ledger in self._ledgers if ledger.made]
        await _insist(self.tell, self._healing)
        for ledger in made:
            with self._left_alone(name):
                await self._hand_back(ledger, unseen)
        if any(ledger.poisoned for ledger in self._ledgers):
            await _insist(self.bury, self._burying)
            await _insist(self.tell, self._healing)
        for ledger in made:
            with self._left_alone(name):
                await self._group.delete_empty(ledger.stream, [name])

    @contextmanager
    def _left_alone(self, name: str) -> Iterator[None]:
        try:
            yield
        except ResponseError as error:
            # The group is gone, or an ACL forbids scripts.
            logger.debug(
                "redis %r: consumer %s stays: %s",
                self._instance,
                name,
                one_line(str(error)),
                extra={"event": "redis_consumer_stays", "instance": self._instance},
            )

    async def _hand_back(self, ledger: Ledger, unseen: Iterable[StreamEntry]) -> None:
        """Have others take at once what came and was never handed out."""
        deliveries = {each.id: each.delivered for each in unseen if each.stream == ledger.stream}
        if ledger.recover:
            own = await self._group.pending_of_own(ledger.stream)
            known = {each for each, *_ in own if each in ledger.failed or ledger.knows(each)}
            deliveries |= {each: times for each, _, _, times in own if each not in known}
        for times in set(deliveries.values()):
            ids = [each for each, count in deliveries.items() if count == times]
            await self._group.hand_back(ledger.stream, ids, times)


async def _insist(tell: Callable[[], Awaitable[None]], healing: Healing) -> None:
    """Do it as often as it takes, through outages."""
    while True:
        try:
            return await tell()
        except (RedisError, RedisManagerError) as error:
            if not passes(error):
                raise
            await healing.after(error)


def is_lost(error: Exception) -> bool:
    """Whether the server says that there is no such group, or no such stream."""
    text = str(error)
    return isinstance(error, ResponseError) and ("NOGROUP" in text or "no such key" in text)
