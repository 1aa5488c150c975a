"""A consumer group as its server knows it: the commands, and what their replies mean.

Replies are read as the server sends them, in RESP2 or RESP3, so that neither the
manager's decoding nor a user's callbacks change them.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.client import CaseInsensitiveDict
from redis.exceptions import ResponseError

from redis_manager_fastapi.realtime.consumers.options import MADE, ConsumerOptions
from redis_manager_fastapi.realtime.items import StreamEntry, bytes_of, text_of

# Deletes a consumer that nothing is pending for; XINFO and XGROUP in one step.
_DELETE_EMPTY = """
local deleted = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local known = {}
    for i = 1, #consumer, 2 do known[consumer[i]] = consumer[i + 1] end
    for i = 2, #ARGV do
        if known['name'] == ARGV[i] and known['pending'] == 0 then
            redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[i])
            deleted = deleted + 1
        end
    end
end
return deleted
"""

Execute = Callable[..., Awaitable[Any]]
"""Runs a command, and returns its reply as the server sent it."""

PAGE = 1000
"""How many pending entries are listed at once."""


@dataclass(slots=True)
class Abilities:
    """What the servers of one manager can do, as far as they were asked.

    Attributes:
        read_claims: Whether XREADGROUP takes CLAIM, as from Redis 8.4; None before it was tried.
        autoclaim: Whether there is XAUTOCLAIM, as from Redis 6.2.
    """

    read_claims: bool | None = None
    autoclaim: bool = True


class Group:
    """One member's view of its group.

    Args:
        client: The manager's.
        can: What its servers can do.
        options: The member's.
        leg: Seconds that one read blocks at most.
        timeout: Seconds that its reply may take beyond that.
    """

    def __init__(
        self,
        client: Any,
        can: Abilities,
        options: ConsumerOptions,
        leg: float,
        timeout: float,
    ) -> None:
        self._client = _raw(client.with_options(decode_responses=False))
        self._alone = _raw(client.with_options(decode_responses=False, dedicated=True))
        self._blocking = _raw(
            client.with_options(decode_responses=False, dedicated=True, timeout=timeout)
        )
        self._options = options
        self._leg = max(1, round(leg * 1000))
        self.can = can

    async def make(self, stream: str, start: str) -> bool:
        """Make the group, and the stream if need be; return False if it is there already."""
        command = ("XGROUP", "CREATE", stream, self._options.group, start, "MKSTREAM")
        try:
            await self._alone(*command)
        except ResponseError as error:
            if str(error).startswith("BUSYGROUP"):
                return False
            raise
        return True

    async def last_delivered(self, stream: str) -> str:
        """Return the ID of the newest entry that the group has delivered; "0-0" without one."""
        return str(self._of_group(await self.info(stream)).get("last-delivered-id", "0-0"))

    async def newest(self, stream: str) -> str:
        """Return the ID of the newest entry that the stream has ever had; "0-0" without one."""
        try:
            reply = await self._alone("XINFO", "STREAM", stream)
        except ResponseError as error:
            if "no such key" in str(error):
                return "0-0"
            raise
        return str(_record(reply).get("last-generated-id", "0-0"))

    async def info(self, stream: str) -> list[dict[str, Any]]:
        """Return what the server says of each of the stream's groups."""
        reply = await self._alone("XINFO", "GROUPS", stream)
        return [_record(each) for each in reply or ()]

    async def counts(self, stream: str) -> tuple[int | None, int | None]:
        """Return how many entries are pending in the group, and its lag if the server knows it."""
        found = self._of_group(await self.info(stream))
        return found.get("pending"), found.get("lag")

    def _of_group(self, groups: list[dict[str, Any]]) -> dict[str, Any]:
        return next((each for each in groups if each.get("name") == self._options.group), {})

    async def read(
        self, streams: Sequence[str], *, block: bool, claim: bool, patient: bool
    ) -> list[StreamEntry]:
        """Read entries that nobody has received; wait for some if *block*.

        With *claim*, those come first that have been idle for `claim_after`, where the server
        can do it.  A *patient* read lets a slow connect take a command's whole time.
        """
        execute = self._alone if patient else self._blocking
        blocking = ("BLOCK", self._leg) if block else ()
        if claim and self.can.read_claims is not False:
            claiming = (*blocking, "CLAIM", self._idle)
            try:
                reply = await execute(*self._reading(claiming, streams, ">"))
            except ResponseError as error:
                if "syntax error" not in str(error):
                    raise
                self.can.read_claims = False
            else:
                self.can.read_claims = True
                return entries_in(reply)
        return entries_in(await execute(*self._reading(blocking, streams, ">")))

    async def own(self, stream: str, after: str) -> tuple[list[StreamEntry], list[str]]:
        """Return what is pending for this member after an ID, and the IDs of what was deleted."""
        reply = await self._alone(*self._reading((), [stream], after))
        found = _pairs(reply)
        rows = found[0][1] if found else []
        gone = [_text(row[0]) for row in rows if row[1] is None]
        times = await self._deliveries(stream, rows)
        return [_entry(stream, row, times.get(_text(row[0]), 1)) for row in rows if row[1]], gone

    def _reading(self, blocking: tuple[Any, ...], streams: Sequence[str], after: str) -> Any:
        options = self._options
        member = ("GROUP", options.group, options.name, "COUNT", options.batch)
        return ("XREADGROUP", *member, *blocking, "STREAMS", *streams, *(after for _ in streams))

    async def pending(self, stream: str, ids: Sequence[str]) -> list[tuple[str, str, float, int]]:
        """Return ID, consumer, idle seconds and deliveries of what is pending for this member."""
        if not ids:
            return []
        by_id = sorted(ids, key=number_of)
        span = (by_id[0], by_id[-1], PAGE, self._options.name)
        return await self._pending(stream, *span)

    async def pending_of_own(self, stream: str) -> list[tuple[str, str, float, int]]:
        """Return the same of the oldest entries that are pending for this member."""
        return await self._pending(stream, "-", "+", PAGE, self._options.name)

    async def _pending(self, stream: str, *span: Any) -> list[tuple[str, str, float, int]]:
        command = ("XPENDING", stream, self._options.group, *span)
        rows = await self._alone(*command)
        return [(_text(row[0]), _text(row[1]), row[2] / 1000, int(row[3])) for row in rows]

    async def claim(self, stream: str, after: str) -> tuple[list[StreamEntry], list[str], str]:
        """Take over entries that have been idle for `claim_after`.

        Returns:
            The entries, the IDs of those that were deleted, and where to look next; "0-0"
            when everything was looked at.
        """
        if self.can.autoclaim:
            try:
                return await self._autoclaim(stream, after)
            except ResponseError as error:
                if not str(error).lower().startswith("unknown command"):
                    raise
                self.can.autoclaim = False
        return await self._list_and_claim(stream, after)

    async def _autoclaim(self, stream: str, after: str) -> tuple[list[StreamEntry], list[str], str]:
        """As Redis has it from 6.2.

        7.0 takes what was deleted off its list by itself; 6.2 has nil in its place, and claims it.
        """
        options = self._options
        command = ("XAUTOCLAIM", stream, options.group, options.name, self._idle, after)
        reply = await self._alone(*command, "COUNT", options.batch)
        rows = [row for row in reply[1] if row]
        times = await self._deliveries(stream, rows)
        entries = [_entry(stream, row, times.get(_text(row[0]), 1)) for row in rows]
        gone: list[str] = []
        if len(rows) < len(reply[1]):
            ours = {each for each, *_ in await self.pending_of_own(stream)}
            gone = await self._deleted(stream, ours - times.keys())
        return entries, gone, _text(reply[0])

    async def _deliveries(self, stream: str, rows: Iterable[Any]) -> dict[str, int]:
        """Return how often each of these entries of ours was delivered, as the server counts."""
        wanted, times = set(_ids(rows)), dict[str, int]()
        ids = sorted(wanted, key=number_of)
        while ids:
            page = await self.pending(stream, ids)
            times.update((each, count) for each, _, _, count in page if each in wanted)
            ids = [each for each in ids if number_of(each) > number_of(page[-1][0])] if page else []
        return times

    async def _list_and_claim(
        self, stream: str, after: str
    ) -> tuple[list[StreamEntry], list[str], str]:
        """By XPENDING and XCLAIM, as Redis has them from 5.0."""
        page = await self._pending(stream, after, "+", PAGE)
        idle = [row for row in page if row[2] >= self._options.claim_after]
        chosen = {row[0]: row[3] for row in idle[: self._options.batch]}
        following = "0-0"
        if len(idle) > len(chosen):
            following = idle[len(chosen)][0]
        elif len(page) == PAGE:
            following = after_id(page[-1][0])
        if not chosen:
            return [], [], following
        rows = await self._xclaim(stream, chosen, self._idle)
        entries = [_entry(stream, row, chosen[_text(row[0])] + 1) for row in rows if row and row[1]]
        missing = chosen.keys() - {entry.id for entry in entries}
        return entries, await self._deleted(stream, missing), following

    async def _deleted(self, stream: str, ids: Iterable[str]) -> list[str]:
        """Return those of *ids* that the stream does not have; another consumer has the others."""
        find = self._alone
        return [each for each in ids if not await find("XRANGE", stream, each, each)]

    @property
    def _idle(self) -> int:
        return round(self._options.claim_after * 1000)

    async def _xclaim(self, stream: str, ids: Iterable[str], idle: int, *more: Any) -> Any:
        options = self._options
        command = ("XCLAIM", stream, options.group, options.name, idle, *ids, *more)
        return await self._client(*command)

    async def renew(self, stream: str, ids: Sequence[str]) -> None:
        """Show a sign of life for entries in hand, so that nobody claims them."""
        await self._xclaim(stream, ids, 0, "JUSTID")

    async def hand_back(self, stream: str, ids: Sequence[str], delivered: int) -> None:
        """Have others claim at once what nobody has looked at; it counts as not delivered."""
        idle = ("IDLE", self._idle, "RETRYCOUNT", max(0, delivered - 1), "JUSTID")
        await self._xclaim(stream, ids, 0, *idle)

    async def restore(self, stream: str, ids: Sequence[str], delivered: int) -> None:
        """Enter entries as pending for this member in a group that does not know them."""
        await self._xclaim(stream, ids, 0, "RETRYCOUNT", delivered, "FORCE", "JUSTID")

    async def acknowledge(self, stream: str, ids: Sequence[str]) -> None:
        """Acknowledge entries; to do it again changes nothing."""
        await self._client("XACK", stream, self._options.group, *ids)

    async def add(self, stream: str, fields: Mapping[str, str]) -> None:
        """Add an entry to a stream."""
        flat = [bytes_of(each) for pair in fields.items() for each in pair]
        await self._client("XADD", stream, "*", *flat)

    async def delete_empty(self, stream: str, names: Sequence[str]) -> int:
        """Delete those of the group's consumers that nothing is pending for."""
        script = ("EVAL", _DELETE_EMPTY, 1, stream, self._options.group, *names)
        return int(await self._alone(*script))

    async def abandoned(self, stream: str, idle: float) -> list[str]:
        """Return the made-up names of consumers with nothing pending, and no sign of life."""
        found = []
        command = ("XINFO", "CONSUMERS", stream, self._options.group)
        for each in map(_record, await self._alone(*command)):
            name = str(each["name"])
            if name.startswith(MADE) and not each["pending"] and each["idle"] >= idle * 1000:
                found.append(name)
        return found


def number_of(entry_id: str) -> tuple[int, int]:
    """Return an entry's ID as numbers, which are ordered as the entries are."""
    first, _, second = entry_id.partition("-")
    return int(first), int(second or 0)


def after_id(entry_id: str) -> str:
    """Return the ID after an entry's."""
    first, second = number_of(entry_id)
    return f"{first}-{second + 1}"


def _raw(client: Any) -> Execute:
    client.response_callbacks = CaseInsensitiveDict({})

    def execute(*command: Any) -> Awaitable[Any]:
        return cast(Awaitable[Any], client.execute_command(*map(_sendable, command)))

    return execute


def _sendable(argument: Any) -> Any:
    """Return names that are not ASCII as bytes: redis-py encodes no bytes within a text."""
    if isinstance(argument, str) and not argument.isascii():
        return bytes_of(argument)
    return argument


def _text(value: Any) -> str:
    return text_of(value) if isinstance(value, bytes) else str(value)


def _pairs(reply: Any) -> list[tuple[Any, Any]]:
    """A map, which RESP2 sends as a list of pairs."""
    if not reply:
        return []
    return (
        list(reply.items())
        if isinstance(reply, Mapping)
        else [(each[0], each[1]) for each in reply]
    )


def _record(reply: Any) -> dict[str, Any]:
    """A map of names, which RESP2 sends as a flat list."""
    pairs = (
        reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    )
    return {
        _text(name): _text(value) if isinstance(value, bytes) else value for name, value in pairs
    }


def _ids(rows: Iterable[Any]) -> list[str]:
    return [_text(row[0]) for row in rows]


def entries_in(reply: Any) -> list[StreamEntry]:
    """Return what XREADGROUP has read; with CLAIM, how often an entry came before is its fourth.

    The first builds of Redis 8.4 say so in text.
    """
    return [
        _entry(_text(stream), row, int(row[3]) + 1 if len(row) > 3 else 1)
        for stream, rows in _pairs(reply)
        for row in rows
        if row[1]
    ]


def _entry(stream: str, row: Any, delivered: int) -> StreamEntry:
    flat = [_text(each) for each in row[1]]
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return StreamEntry(stream, _text(row[0]), fields, delivered)
