"""What one member of a group has of one stream: received, through, failed.  Nothing here waits."""

from collections import deque
from collections.abc import Iterable

from redis_manager_fastapi.observe.realtime import ConsumerStats
from redis_manager_fastapi.realtime.consumers.group import number_of
from redis_manager_fastapi.realtime.items import StreamEntry

# So many failed entries are remembered, by ID and reason; the server has them all.
_REMEMBERED = 10_000


class Ledger:
    """One stream's entries in this process.

    Attributes:
        stream: The stream's key.
        made: Whether the group is known to have been there.
        position: The newest ID that this member has seen the group deliver.
        held: What was received and is not through, by ID; the first are the oldest.
        through: IDs that the server is to be told of.
        failed: Of those whose body raised, how often each was delivered and why it raised.
        poisoned: What was delivered too often, and why its body raised last.
        claim_at: When to look again for entries to claim, on the loop's clock.
        claim_after_id: Where in the group's list of pending entries to look.
        recover: Whether entries may have been delivered to this member in a lost reply.
        pending, lag: The server's counts, as last seen.
    """

    def __init__(self, stream: str, group: str) -> None:
        self.stream, self.group = stream, group
        self.made = False
        self.position = "0-0"
        self.held: dict[str, StreamEntry] = {}
        self.through: list[str] = []
        self.acknowledging: set[str] = set()
        self.failed: dict[str, tuple[int, str]] = {}
        self.poisoned: deque[tuple[StreamEntry, str]] = deque()
        self.claim_at, self.claim_after_id = 0.0, "0-0"
        self.recover = False
        self.pending: int | None = None
        self.lag: int | None = None
        self.handled = self.failures = self.acknowledged = 0
        self.claimed = self.dead_lettered = 0

    def received(self, entries: Iterable[StreamEntry]) -> list[StreamEntry]:
        """Enter what came; return what is not here already."""
        fresh = []
        for entry in entries:
            if not self.knows(entry.id):
                self.held[entry.id] = entry
                fresh.append(entry)
        return fresh

    def read(self, entries: list[StreamEntry]) -> list[StreamEntry]:
        """Enter entries that a read brought, the newest last; return what is not here already."""
        newest = entries[-1].id
        if number_of(newest) > number_of(self.position):
            self.position = newest
        return self.received(entries)

    def knows(self, entry_id: str) -> bool:
        """Whether an entry is in hand, or through and about to be acknowledged."""
        return entry_id in self.held or entry_id in self.acknowledging or entry_id in self.through

    def done(self, entry: StreamEntry) -> None:
        """The entry's body is through."""
        if self.held.pop(entry.id, None) is not None:
            self.failed.pop(entry.id, None)
            self.through.append(entry.id)
            self.handled += 1

    def raised(self, entry: StreamEntry, reason: str) -> None:
        """The entry's body raised, or was left: it stays pending."""
        if self.held.pop(entry.id, None) is not None:
            self.failed.pop(entry.id, None)
            self.failed[entry.id] = entry.delivered, reason
            self.failures += 1
            if len(self.failed) > _REMEMBERED:
                del self.failed[next(iter(self.failed))]

    def poison(self, entry: StreamEntry, reason: str) -> None:
        """Have an entry moved that was delivered too often."""
        self.held.setdefault(entry.id, entry)
        self.poisoned.append((entry, reason))

    def bury(self) -> None:
        """The first of the poisoned was moved."""
        entry, _ = self.poisoned.popleft()
        self.drop(entry.id)
        self.dead_lettered += 1

    def last_reason(self, entry_id: str) -> str:
        """Return why an entry is pending still, as far as this process knows."""
        failed = self.failed.get(entry_id)
        return failed[1] if failed else "its consumers ended without acknowledging it"

    def drop(self, entry_id: str) -> None:
        """Have an entry acknowledged that no body is to see."""
        self.held.pop(entry_id, None)
        self.failed.pop(entry_id, None)
        self.through.append(entry_id)

    def take_through(self) -> list[str]:
        """Return what to acknowledge now; `acknowledge_again` if that fails."""
        ids, self.through = self.through, []
        self.acknowledging.update(ids)
        return ids

    def acknowledge_again(self, ids: list[str]) -> None:
        """The server has not been told of these."""
        self.through = ids + self.through
        self.acknowledging.difference_update(ids)

    def was_acknowledged(self, ids: list[str]) -> None:
        """The server has been told of these."""
        self.acknowledging.difference_update(ids)
        self.acknowledged += len(ids)

    def stats(self) -> ConsumerStats:
        """Return the counters of this instant."""
        return ConsumerStats(
            stream=self.stream,
            group=self.group,
            in_hand=len(self.held),
            handled=self.handled,
            failed=self.failures,
            acknowledged=self.acknowledged,
            claimed=self.claimed,
            dead_lettered=self.dead_lettered,
            pending=self.pending,
            lag=self.lag,
        )
