"""A coroutine driven await by await, and cancelled at the one that a test names."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Literal

Moment = Literal["as it waits", "as it is woken"]


class Stepper:
    """Runs a coroutine and counts how often it suspends.

    Attributes:
        steps: How often it has suspended so far.
        cancelled: Whether the cancellation that was asked for was delivered.

    Args:
        coroutine: What to run.
        cancel_at: The suspension at which it is cancelled; 0 never.
        moment: *as it waits* cancels what it waits for; *as it is woken*
            cancels the task after that is done and before the task has run,
            the moment in which a hand-over can be lost.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        cancel_at: int = 0,
        moment: Moment = "as it waits",
    ) -> None:
        self.steps = 0
        self.cancelled = False
        self._coroutine = coroutine
        self._cancel_at = cancel_at
        self._moment = moment

    async def run(self) -> Any:
        """Run the coroutine to its end, in the current task."""
        return await self

    def __await__(self) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        while True:
            try:
                waited_for = (
                    self._coroutine.send(None) if error is None else self._coroutine.throw(error)
                )
            except StopIteration as end:
                return end.value
            self.steps += 1
            if self.steps == self._cancel_at:
                self._cancel(waited_for)
            try:
                yield waited_for
                error = None
            except BaseException as thrown:
                error = thrown

    def _cancel(self, waited_for: "asyncio.Future[Any] | None") -> None:
        task = asyncio.current_task()
        assert task is not None

        def cancel(_: object = None) -> None:
            self.cancelled = True
            task.cancel()

        if waited_for is None or self._moment == "as it waits":
            cancel()
        else:
            # Runs before the task's own wake-up, which asyncio adds after this.
            waited_for.add_done_callback(cancel)
