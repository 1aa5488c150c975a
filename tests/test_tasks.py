"""A task that swallows its cancellation is ended all the same."""

import asyncio

from redis_manager_fastapi.tasks import end


async def stubborn() -> None:
    """Go on after the first cancellation, as `asyncio.wait_for` may on Python 3.11."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


async def test_a_swallowed_cancellation_does_not_keep_a_task_alive() -> None:
    tasks = {asyncio.create_task(stubborn()) for _ in range(3)}
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await end(tasks)

    assert all(task.cancelled() for task in tasks)


async def test_ending_what_has_ended_is_nothing() -> None:
    done = asyncio.create_task(asyncio.sleep(0))
    await done
    await end({done})
    await end(())
