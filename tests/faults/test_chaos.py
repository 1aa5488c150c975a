"""Row 43, for half a minute; `scripts/soak` runs it for as long as wanted."""

import os
import random
from typing import Any

import pytest

from redis_manager_fastapi.testing import RedisServer
from tests.kit import chaos

SECONDS = 11.0


@pytest.mark.timeout(120)
async def test_chaos(
    durable_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 43: every invariant holds over a random schedule; CHAOS_SEED repeats one."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000))

    trial, made = await chaos.run(durable_server, bystander, SECONDS, seed, **mode)

    assert made.met.total() > 5
    assert trial.ledgers["counter"].ran > 0
