"""Operations to cancel, and a storm that cancels them at random awaits."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, get_args

from tests.kit.managers import assert_at_rest, block
from tests.kit.stepping import Moment, Stepper
from tests.kit.trial import Trial

MOMENTS = get_args(Moment)
CROWD = 25

Operation = Callable[[Trial], Coroutine[Any, Any, Any]]


async def shared_read(trial: Trial) -> None:
    """One command on the shared connection."""
    assert await trial.read() is None


async def shared_write(trial: Trial) -> None:
    """One write there, entered in the ledger."""
    assert await trial.write() is None


async def gathered(trial: Trial) -> None:
    """Several commands there, side by side."""
    assert await trial.gather() is None


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
    await block(trial.redis, 0.001)


async def watched(trial: Trial) -> None:
    """A transaction under WATCH."""
    async with trial.redis.pipeline() as pipeline:
        await pipeline.watch("key")
        pipeline.multi()
        pipeline.echo("mine")
        pipeline.echo("too")
        assert await pipeline.execute() == ["mine", "too"]


async def subscription(trial: Trial) -> None:
    """A subscription, up to the server's confirmation."""
    async with trial.redis.pubsub() as pubsub:
        await pubsub.subscribe("channel")
        message = await pubsub.get_message(timeout=1)
        assert message is not None
        assert message["type"] == "subscribe"


# About how many awaits each has on a connection that is open.
OPERATIONS: dict[Operation, int] = {
    shared_read: 1,
    shared_write: 1,
    gathered: 1,
    shared_batch: 1,
    lease: 6,
    blocking: 5,
    watched: 8,
    subscription: 6,
}


async def storm(trial: Trial, points: int, seed: int) -> None:
    """Cancel operations at *points* awaits, a crowd of them at a time."""
    random_ = random.Random(seed)
    while points > 0:
        chosen = random_.choices(list(OPERATIONS.items()), k=CROWD)
        steppers = [
            Stepper(operation(trial), random_.randint(1, awaits), random_.choice(MOMENTS))
            for operation, awaits in chosen
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
