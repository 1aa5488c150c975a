"""Row 34: many processes, many waiters, one restart."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE

import pytest

from redis_manager_fastapi.testing import FaultProxy, RedisServer

PROCESSES = 8
WAITERS = 50
BACKOFF_CAP = 0.5


@pytest.mark.measures
async def test_herd(redis_server: RedisServer, fault_proxy: FaultProxy) -> None:
    """Row 34: 8 processes with 50 waiters each: few connects a second, full service within 3 s."""
    herd = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.kit.herd", fault_proxy.url, str(PROCESSES), str(WAITERS)),
        stdin=PIPE,
        stdout=PIPE,
    )
    assert herd.stdin is not None
    assert herd.stdout is not None
    for _ in range(PROCESSES):
        assert await herd.stdout.readline() == b"open\n"
    before = (await fault_proxy.stats()).accepted

    await redis_server.kill()
    herd.stdin.close()
    await asyncio.sleep(1.0)
    await redis_server.start()
    began = time.monotonic()
    outcomes = [json.loads(await herd.stdout.readline()) for _ in range(PROCESSES)]
    assert await herd.wait() == 0

    stats = await fault_proxy.stats()
    assert max(outcome["served"] for outcome in outcomes) - began < 3.0
    assert stats.most_connects() <= PROCESSES * (3 / BACKOFF_CAP + 5)
    healed = [at for at in stats.connect_times if at > began + 2 * BACKOFF_CAP]
    assert len(healed) <= PROCESSES
    assert stats.accepted - before == sum(outcome["connects"] - 1 for outcome in outcomes)
