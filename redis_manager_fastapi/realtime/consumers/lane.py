"""One read loop of a consumer: over its streams, or on a Cluster over those of one slot."""

import asyncio
from typing import Protocol

from redis.exceptions import RedisError

from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    PoolTimeoutError,
    RedisManagerError,
    RedisUnavailableError,
)
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import GroupRemade
from redis_manager_fastapi.realtime.consumers.group import Group, number_of
from redis_manager_fastapi.realtime.consumers.healing import Healing
from redis_manager_fastapi.realtime.consumers.ledger import Ledger
from redis_manager_fastapi.realtime.consumers.options import ConsumerOptions
from redis_manager_fastapi.realtime.consumers.teller import Teller, is_lost
from redis_manager_fastapi.realtime.items import StreamEntry

# How often a consumer looks for entries to claim: so many times within `claim_after`,
# but no oftener and no more seldom than so many seconds.
_LOOKS, _OFTEN, _SELDOM = 4, 0.05, 15.0

# A consumer that nobody named, and of which nothing was heard for so many times
# `claim_after`, is deleted once nothing is pending for it.
_ABANDONED = 20


class Reader(Protocol):
    """What a lane needs of its consumer."""

    instance: str
    options: ConsumerOptions
    group: Group
    bus: Bus
    stopping: bool

    @property
    def hungry(self) -> bool:
        """Whether somebody waits for an entry."""
        ...

    def offer(self, entries: list[StreamEntry]) -> None:
        """Take what was read."""
        ...

    def fail(self, error: Exception) -> None:
        """Take an error that ends the consumer."""
        ...


class Lane:
    """Reads when somebody asks for more: the lost, then the claimed, then the new.

    Args:
        consumer: Whose lane it is.
        ledgers: Of its streams.
        teller: Tells the server about them.
        healing: What it does about errors.

    Attributes:
        wanted: Set by those who want an entry.
        busy: Whether a command is out.
    """

    def __init__(
        self, consumer: Reader, ledgers: list[Ledger], teller: Teller, healing: Healing
    ) -> None:
        self.wanted = asyncio.Event()
        self.busy = False
        self.ledgers, self.teller = ledgers, teller
        self._consumer, self._healing = consumer, healing
        self._options, self._group = consumer.options, consumer.group
        self._loop = asyncio.get_running_loop()
        self._patient = False
        self._claimed = False  # whether the last read brought what was claimed: then the new, first
        self._streams = [ledger.stream for ledger in ledgers]
        for ledger in ledgers:
            # One who comes back under a name finds what was left pending under it.
            ledger.recover = self._options.consumer is not None

    async def run(self) -> None:
        """Read until the consumer stops."""
        while not self._consumer.stopping:
            self.wanted.clear()
            if not self._consumer.hungry:
                await self.wanted.wait()
                continue
            try:
                self.busy = True
                await self._round()
            except (RedisError, RedisManagerError) as error:
                self.busy = False
                if not await self._goes_on(error):
                    return
            finally:
                self.busy = False

    async def _goes_on(self, error: Exception) -> bool:
        try:
            if is_lost(error):
                await self._remake()
            else:
                if getattr(error, "maybe_executed", False):
                    for ledger in self.ledgers:
                        ledger.recover = True
                self._patient = isinstance(error, CommandTimeoutError | PoolTimeoutError)
                await self._healing.after(error)
        except (RedisError, RedisManagerError) as final:
            if isinstance(final, RedisUnavailableError) and final is not error:
                return True
            self._consumer.fail(final)
            return False
        return True

    async def _round(self) -> None:
        """Bring entries, or find that there are none for now."""
        await self.teller.tell()
        if not all(ledger.made for ledger in self.ledgers):
            await self._make()
        found = False
        for ledger in self.ledgers:
            if ledger.recover:
                found = await self._recover(ledger) or found
        for ledger in self.ledgers:
            if self._loop.time() >= ledger.claim_at:
                found = await self._claim(ledger) or found
        entries = await self._group.read(
            self._streams, block=not found, claim=not self._claimed, patient=self._patient
        )
        self._healing.succeeded()
        self._patient = self._claimed = False
        if entries:
            self._take(entries)

    def _take(self, entries: list[StreamEntry]) -> None:
        by_stream: dict[str, list[StreamEntry]] = {}
        for entry in entries:
            by_stream.setdefault(entry.stream, []).append(entry)
        for ledger in self.ledgers:
            if ledger.stream in by_stream:
                fresh = ledger.read(by_stream[ledger.stream])
                again = sum(entry.delivered > 1 for entry in fresh)
                ledger.claimed += again
                self._claimed = self._claimed or again > 0
                self._consumer.offer(fresh)

    async def _recover(self, ledger: Ledger) -> bool:
        """Hand out what the server has delivered to this member, and this member never got."""
        ledger.recover, after, any_found = False, "0-0", False
        try:
            while True:
                entries, gone = await self._group.own(ledger.stream, after)
                for entry_id in gone:
                    ledger.drop(entry_id)
                fresh = [entry for entry in entries if entry.id not in ledger.failed]
                fresh = ledger.received(fresh)
                self._consumer.offer(fresh)
                any_found = any_found or bool(fresh)
                if not entries and not gone:
                    return any_found
                after = max((*(each.id for each in entries), *gone), key=number_of)
        except BaseException:
            ledger.recover = True
            raise

    async def _claim(self, ledger: Ledger) -> bool:
        """Take over what was pending for too long; a full round is followed by another soon."""
        ledger.recover = True  # until the reply is here
        found = await self._group.claim(ledger.stream, ledger.claim_after_id)
        ledger.recover = False
        entries, gone, ledger.claim_after_id = found
        for entry_id in gone:
            ledger.drop(entry_id)
        fresh = ledger.received(entries)
        ledger.claimed += len(fresh)
        self._consumer.offer(fresh)
        if ledger.claim_after_id == "0-0":
            await self._tidy(ledger)
            # A read that claims leaves what was deleted on the list, and that can wait.
            looks = 1 / _ABANDONED if self._group.can.read_claims else _LOOKS
            pause = min(max(self._options.claim_after / looks, _OFTEN), _SELDOM)
            ledger.claim_at = self._loop.time() + pause
        return bool(fresh)

    async def _tidy(self, ledger: Ledger) -> None:
        """Delete the names of consumers that ended without a chance to do it."""
        idle = self._options.claim_after * _ABANDONED
        names = await self._group.abandoned(ledger.stream, idle)
        if names:
            await self._group.delete_empty(ledger.stream, names)

    async def _make(self) -> None:
        for ledger in self.ledgers:
            if not ledger.made:
                await self._group.make(ledger.stream, self._options.start)
                ledger.position = await self._group.last_delivered(ledger.stream)
                ledger.made = True

    async def _remake(self) -> None:
        """Make the group again, to go on where it was; nothing that is in hand is forgotten."""
        for ledger in self.ledgers:
            start: str = self._options.start
            if ledger.made:
                newest = await self._group.newest(ledger.stream)
                start_over = number_of(newest) < number_of(ledger.position)
                start = "0" if start_over else ledger.position
            if not await self._group.make(ledger.stream, start):
                continue
            ledger.claim_after_id = "0-0"
            if start == "0":
                ledger.position = "0-0"
            if ledger.made:
                event = GroupRemade(
                    self._consumer.instance, ledger.stream, self._options.group, start
                )
                self._consumer.bus.emit(event)
            await self._restore(ledger)

    async def _restore(self, ledger: Ledger) -> None:
        """Enter what is in hand, and what failed, as pending in the group that was made again."""
        pending = {each.id: each.delivered for each in ledger.held.values()}
        pending |= {each: times for each, (times, _) in ledger.failed.items()}
        for times in set(pending.values()):
            ids = [each for each, count in pending.items() if count == times]
            await self._group.restore(ledger.stream, ids, times)
