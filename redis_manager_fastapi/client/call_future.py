"""The future that a call becomes, and the facts of CPython that this relies on.

`asyncio.gather`, `wait_for`, `shield` and `ensure_future` wrap a coroutine in a task,
which costs as much as the command itself; a future they take as it is.  A call is
therefore a coroutine to everyone, and becomes a future when `asyncio.isfuture` asks.

Read in CPython 3.11.7, 3.12.1 and 3.13.0, and pinned by `test_call_future.py`:

1. `asyncio.isfuture(obj)` is Python code.  It reads `obj.__class__` first, and then
   `obj._asyncio_future_blocking`, if that class has it.
2. `isinstance(obj, T)`, and so `inspect.iscoroutine(obj)`, asks `type(obj)` first and then
   `obj.__class__`.  Code that relies on an object's layout asks `type(obj)` alone.
3. The descriptor `object.__class__` changes an object's type to another one of the same
   layout.  So a call has the layout of a future from the beginning.
4. A C future whose `__init__` has not run is neither done nor cancelled, and raises an
   error for everything else, its private attributes included.
5. Since 3.12 a task's `repr` asks whether its coroutine is true, in asyncio's own code.

If the first changes, a call is no longer a future to anyone, and asyncio wraps it in a
task: slower, and still correct.
"""

import asyncio
import contextvars
import sys
from types import FrameType
from typing import Any, Final, NoReturn, TextIO

ISFUTURE: Final = asyncio.isfuture.__code__
"""The code of the function that asks whether an object is a future."""

initialize: Any = asyncio.Future.__init__
change_type: Any = vars(object)["__class__"].__set__


class Absent:
    """A private name of a future that a call has not, as long as it is none.

    The future's own would raise RuntimeError then, also for `hasattr`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, call: object, owner: type) -> NoReturn:
        message = f"{owner.__name__!r} object has no attribute {self._name!r}"
        raise AttributeError(message, name=self._name, obj=call)


PRIVATE: Final = [name for name in vars(asyncio.Future) if name[0] == "_" != name[1]]


def asked_by_asyncio(frame: FrameType) -> bool:
    """Return whether the frame runs asyncio's own code, which never asks about a reply."""
    return str(frame.f_globals.get("__name__")).startswith("asyncio.")


class CallFuture(asyncio.Future[Any]):
    """A future with a task's methods, because callers of `ensure_future` expect a task.

    It adds nothing to the layout; the class that inherits it has a slot for the label.

    Attributes:
        label: The name that was set, if one was.
    """

    __slots__ = ()

    label: str

    def get_coro(self) -> Any:
        """Return the future itself: no coroutine runs, and this has the command's name."""
        return self

    def get_name(self) -> str:
        """Return the name that was set, or else the command's."""
        name: str = getattr(self, "label", None) or getattr(self, "__name__")  # noqa: B009
        return name

    def set_name(self, value: object) -> None:
        """Set the name."""
        self.label = str(value)

    def get_context(self) -> contextvars.Context:
        """Return a copy of the caller's context: the command itself runs in none."""
        return contextvars.copy_context()

    def get_stack(self, *, limit: int | None = None) -> list[Any]:
        """Return no frame: a command runs no Python code while it waits."""
        del limit
        return []

    def print_stack(self, *, limit: int | None = None, file: TextIO | None = None) -> None:
        """Write that there is no stack, as a task without one does."""
        del limit
        print(f"No stack for {self!r}", file=file or sys.stderr)

    def cancelling(self) -> int:
        """Return 1 if it was cancelled, which takes effect at once, unlike a task's."""
        return int(self.cancelled())

    def uncancel(self) -> int:
        """Return 0: a request to cancel it is never pending."""
        return 0
