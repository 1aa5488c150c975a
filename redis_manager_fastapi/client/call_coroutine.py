"""The coroutine that a call is to whoever looks at it, or drives it by hand."""

import warnings
from collections.abc import Coroutine, Generator
from types import CodeType, CoroutineType, FrameType
from typing import Any

from redis_manager_fastapi.client.not_awaited import NotAwaited


class _Nothing:
    """In the place of a future for which nobody waits."""

    def done(self) -> bool:
        return True

    def cancel(self) -> bool:
        return False


NOTHING: Any = _Nothing()


class CallCoroutine(NotAwaited, Coroutine[Any, Any, Any]):
    """A call, as a coroutine.

    Attributes:
        future: Where the value arrives; None until the call has started.
        steps: What drives it; unset for one that leaves at once and is awaited.
    """

    __slots__ = ()

    future: Any
    steps: Any

    @property  # type: ignore[misc]  # it cannot be set
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A coroutine's class, for `isinstance`; `dir` reads it, too."""
        return CoroutineType

    def __del__(self) -> None:
        if self.future is None:
            message = f"{self._name()} was never awaited, so it was not sent"
            warnings.warn(message, RuntimeWarning, stacklevel=2, source=self)

    def _is_new(self) -> bool:
        """Return whether nobody has awaited it yet."""
        return self.future is None

    def _later(self) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that executes the command."""
        raise NotImplementedError

    def send(self, value: Any) -> Any:
        """Go on to where the call waits next."""
        if value is not None and self.future is None:
            raise TypeError("can't send non-None value to a just-started coroutine")
        steps = self._started()
        try:
            return steps.send(value)
        except BaseException:
            self._end()
            raise

    def throw(self, *error: Any) -> Any:
        """Raise an exception where the call waits; before its start, it is never sent."""
        self._forgo()
        steps = self._started()
        try:
            return steps.throw(*error)
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """End the call; what was not written yet never is."""
        self._forgo()
        if getattr(self, "steps", None) is not None:
            self.steps.close()
            self._end()

    # The attributes of a coroutine.  A command that leaves at once runs no Python code while it
    # waits, so its frame is the first one of a command that has to wait.

    cr_origin = None

    @property
    def cr_await(self) -> Any:
        """What it waits for; None before its start and after its end."""
        return self._show("cr_await", self.future if self._is_suspended() else None)

    @property
    def cr_code(self) -> CodeType:
        """The code of a command that has to wait."""
        return _first_frame(self._later()).f_code

    @property
    def cr_frame(self) -> FrameType | None:
        """Where it stands; None after its end."""
        if self.future is not None and not waits(self):
            return None
        frame: FrameType | None = self._show("cr_frame", None)
        return frame or _first_frame(self._later())

    @property
    def cr_running(self) -> bool:
        """Whether its Python code is running now."""
        return bool(self._show("cr_running", False))

    @property
    def cr_suspended(self) -> bool:
        """Whether it has started and waits for its reply."""
        return bool(self._show("cr_suspended", self._is_suspended()))

    def _show(self, name: str, otherwise: Any) -> Any:
        """Return the attribute of the coroutine that waits in its place, if there is one."""
        return getattr(getattr(self, "steps", None), name, otherwise)

    def _is_suspended(self) -> bool:
        return self.future is not None and waits(self)

    def _started(self) -> Any:
        if getattr(self, "steps", None) is None:
            steps = self.__await__()
            if getattr(self, "steps", None) is None:  # else it has to wait
                self.steps = steps
        return self.steps

    def _end(self) -> None:
        """Wait for nothing any more."""
        self.steps = None
        self.future.cancel()

    def _forgo(self) -> None:
        """Have nothing sent any more, if nothing was."""
        if self.future is None:
            self.future, self.steps = NOTHING, _nothing()


def waits(call: Any) -> bool:
    """Return whether the value of a started call has still to come."""
    steps = getattr(call, "steps", None)
    return not call.future.done() or getattr(steps, "cr_frame", None) is not None


def described(call: Any) -> str:
    """Return a call's `repr`."""
    state = "not awaited" if call.future is None else "in flight" if waits(call) else "done"
    return f"<{type(call).__name__} {call.__name__} {state}>"


def _nothing() -> Generator[None, None, None]:
    """Stand in for a call that is ended before its start."""
    yield


def _first_frame(coroutine: Coroutine[Any, Any, Any]) -> FrameType:
    """Return the frame of a coroutine that never runs."""
    frame: FrameType = coroutine.cr_frame  # type: ignore[attr-defined]
    coroutine.close()
    return frame
