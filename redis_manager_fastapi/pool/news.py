"""A Condition on which synchronous code can announce a change of state.

`asyncio.Condition.notify_all` wants the lock, which only a coroutine can take;
connections report from callbacks.  So an announcement is a task of one step,
kept until it is done.
"""

import asyncio
from collections.abc import Callable


class News:
    """Wakes whoever waits for a predicate over the pool's state, and nobody else."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._condition = asyncio.Condition()
        self._announcements: set[asyncio.Task[None]] = set()

    def announce(self) -> None:
        """Have everybody who waits look at the state again."""
        task = self._loop.create_task(self._notify())
        self._announcements.add(task)
        task.add_done_callback(self._announcements.discard)

    async def wait_for(self, predicate: Callable[[], object], deadline: float | None) -> bool:
        """Wait until *predicate* holds; return False when *deadline* came first.

        *deadline* is on the loop's clock; None waits for ever.
        """
        try:
            async with asyncio.timeout_at(deadline), self._condition:
                await self._condition.wait_for(predicate)
        except TimeoutError:
            return False
        return True

    async def spread(self) -> None:
        """Wait until the announcements made so far have reached everybody."""
        while self._announcements:
            await asyncio.wait(self._announcements)

    async def _notify(self) -> None:
        async with self._condition:
            self._condition.notify_all()
