"""Who is to blame for a late reply, by what was seen: every case, without a server."""

import asyncio
from math import inf
from typing import Any

import pytest
import uvloop

from redis_manager_fastapi.errors import Cause
from redis_manager_fastapi.pool.causes import Connection, Wait, cause_of
from redis_manager_fastapi.redis_py import is_unacknowledged
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.topology.racing import Reach

LARGE = 1_000_000


def cause(
    *, blocked: float = 0.0, others: float = -inf, reach: Reach | None = None, **seen: Any
) -> Cause:
    """The cause for a command that waited from 10 to 12, with what was *seen* of its connection."""
    own = Connection(**{"heard_at": 9.9, **seen})
    return cause_of(Wait(10.0, 12.0, blocked, own, others, reach or Reach()))


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        (Cause.SERVER_SILENT, {}),
        (Cause.SERVER_SILENT, {"heard_at": 10.001}),  # others' replies, a moment after its start
        (Cause.SERVER_SILENT, {"others": 10.001}),
        (Cause.SERVER_SILENT, {"reach": Reach(hanging_since=11.95)}),  # it has just been begun
        (Cause.NETWORK_SILENT, {"reach": Reach(hanging_since=11.5)}),
        (Cause.NETWORK_SILENT, {"unacknowledged": True}),
        (Cause.NETWORK_SILENT, {"unacknowledged": True, "others": 11.0}),  # one flow is dead
        (Cause.NETWORK_SILENT, {"heard_at": 11.9, "received": 10, "begun": True}),  # it trickles
        (Cause.COMMAND_SLOW, {"others": 11.0}),
        (Cause.COMMAND_SLOW, {"reach": Reach(answered_at=11.0)}),
        (Cause.LOOP_BLOCKED, {"blocked": 1.2, "others": 11.0}),
        (Cause.SERVER_SILENT, {"blocked": 0.5}),
        (Cause.SERVER_SILENT, {"blocked": 0.5, "reach": Reach(hanging_since=11.5)}),
        (Cause.QUEUED, {"heard_at": 11.9}),
        (Cause.QUEUED, {"heard_at": 11.9, "received": 10}),  # of somebody else's reply
        (Cause.LARGE_REPLY, {"heard_at": 11.9, "received": LARGE, "begun": True}),
        (Cause.LARGE_REPLY, {"heard_at": 10.5, "received": LARGE}),  # it stopped on its way
    ],
)
def test_what_was_seen_says_who_is_to_blame(expected: Cause, seen: dict[str, Any]) -> None:
    assert cause(**seen) is expected


def test_every_cause_has_words() -> None:
    assert all(each.words for each in Cause)


async def test_closed_socket_of_uvloop_says_nothing_of_acknowledgements(
    redis_server: RedisServer,
) -> None:
    """It is asked when a connection is dropped that has been lost before."""

    async def lose() -> bool:
        _, writer = await asyncio.open_connection(redis_server.host, redis_server.port)
        assert not is_unacknowledged(writer.transport)
        writer.transport.abort()
        await writer.wait_closed()
        return is_unacknowledged(writer.transport)

    assert not await asyncio.to_thread(uvloop.run, lose())
