"""Sentry's integration and redis-py's own metrics see thirty commands of thirty."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from typing import Any

import pytest

from redis_manager_fastapi.testing import RedisServer
from tests.kit.serving import ROOT, environment
from tests.kit.thirty import BLOCKED, EXPECTED


async def seen(when: str, server: RedisServer) -> dict[str, Any]:
    """Return what is seen in a process that sets everything up at that time."""
    command = (sys.executable, "-m", "tests.kit.traced_process", when, server.url)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, cwd=ROOT, env=environment()
    )
    output, _ = await process.communicate()
    answer: dict[str, Any] = json.loads(output)
    assert answer["status"] == 200
    return answer


def counts() -> Counter[str]:
    """Return how often each command is expected in redis-py's metrics."""
    return Counter(each if isinstance(each, str) else each[0] for each in EXPECTED)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_sentry_and_redis_pys_metrics_see_every_command(
    redis_server: RedisServer, when: str
) -> None:
    """Whenever they are set up: before this library is imported, or once an app has served."""
    answer = await seen(when, redis_server)

    names = [
        each.partition(" ")[0] if isinstance(each, str) else "redis.pipeline.execute"
        for each in EXPECTED
    ]
    spans = answer["sentry"]
    assert [span["name"] for span in spans] == names
    assert [span["name"] for span in spans if not span["right"]] == []
    assert spans[19]["seconds"] >= BLOCKED * 0.9
    assert answer["metrics"] == counts()


async def test_redis_pys_metrics_see_every_command_by_themselves(
    redis_server: RedisServer,
) -> None:
    answer = await seen("metrics", redis_server)

    assert answer["metrics"] == counts()
