"""Operations to cancel, and a storm that cancels them at random awaits."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, get_args

from tests.faults.stepping import Moment, Stepper
from tests.faults.trial import Trial
from tests.managers import assert_at_rest

MOMENTS = get_args(Moment)
LONGEST = 16  # awaits of most operations; a later one is not cancelled at all
CROWD = 25

Operation = Callable[[Trial], Coroutine[Any, Any, Any]]


async def shared_read(trial: Trial) -> None:
    """One command on the shared connection."""
    assert await trial.read() is None


async def shared_write(trial: Trial) -> None:
    """One write there, entered in the ledger."""
    assert await trial.write() is None


async def shared_batch(trial: Trial) -> None:
    """A transaction there."""
    assert await trial.transact() is None


async def lease(trial: Trial) -> None:
    """A connection held for two commands."""
    async with trial.manager.connection() as pinned:
        assert await pinned.echo("mine") == "mine"
        assert await pinned.echo("mine too") == "mine too"


async def blocking(trial: Trial) -> None:
    """A command that blocks."""
    assert await trial.redis.blpop(["nothing"], timeout=0.001) is None


async def watched(trial: Trial) -> None:
    """A transaction under WATCH."""
    async with trial.redis.pipeline() as pipeline:
        await pipeline.watch("key")
        pipeline.multi()
        pipeline.echo("mine").echo("too")  # type: ignore[union-attr]
        assert await pipeline.execute() == ["mine", "too"]


async def subscription(trial: Trial) -> None:
    """A subscription, up to the server's confirmation."""
    async with trial.redis.pubsub() as pubsub:
        await pubsub.subscribe("channel")
        assert (await pubsub.get_message(timeout=1))["type"] == "subscribe"  # type: ignore[index]


OPERATIONS: list[Operation] = [
    shared_read,
    shared_write,
    shared_batch,
    lease,
    blocking,
    watched,
    subscription,
]


async def storm(trial: Trial, points: int, seed: int) -> None:
    """Cancel operations at *points* awaits, a crowd of them at a time."""
    random_ = random.Random(seed)
    while points > 0:
        steppers = [
            Stepper(
                random_.choice(OPERATIONS)(trial),
                random_.randrange(1, LONGEST),
                random_.choice(MOMENTS),
            )
            for _ in range(CROWD)
        ]
        tasks = [asyncio.ensure_future(stepper.run()) for stepper in steppers]
        await asyncio.wait(tasks)
        for stepper, task in zip(steppers, tasks, strict=True):
            points -= stepper.cancelled
            assert task.cancelled() is stepper.cancelled
            if not task.cancelled():
                task.result()
        assert_at_rest(trial.manager)
        assert await trial.readers(2) == []
