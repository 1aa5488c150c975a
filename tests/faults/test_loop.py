"""Row 33: the event loop of the app stands still."""

import asyncio
import time
from typing import Any

import pytest

from redis_manager_fastapi.observe.events import Event, StateChanged
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.invariants import upheld


@pytest.mark.parametrize(
    ("stall", "limits"), [(1.0, {}), (3.0, {"health": {}, "outage": {}, "timeout": {}})]
)
async def test_stalled_loop(
    redis_server: RedisServer,
    bystander: RedisServer,
    fault_proxy: FaultProxy,
    mode: dict[str, Any],
    stall: float,
    limits: dict[str, Any],
) -> None:
    """Row 33: no false alarm: the pool stays ready, keeps its connections and answers."""
    events: list[Event] = []
    async with upheld(
        redis_server, bystander, fault_proxy, listeners=[events.append], **mode, **limits
    ) as trial:
        await trial.warm(5)
        before = trial.manager.stats()
        events.clear()
        calls = [asyncio.create_task(call()) for call in (trial.read, trial.write) * 2]
        await asyncio.sleep(0)

        time.sleep(stall)  # noqa: ASYNC251 (the fault)

        assert await asyncio.gather(*calls) == [None] * 4
        assert await trial.readers(10) == []
        await asyncio.sleep(0.5)
        states = [event.state for event in events if isinstance(event, StateChanged)]
        after = trial.manager.stats()
        assert "down" not in states
        assert after.generation == before.generation
        assert after.connects <= before.connects + 1
