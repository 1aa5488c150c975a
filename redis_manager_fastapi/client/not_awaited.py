"""What a call says to code that takes it for its reply: the `await` is missing."""

import inspect
import sys
from types import NotImplementedType
from typing import Any, NoReturn

from pydantic_core import SchemaSerializer, core_schema

from redis_manager_fastapi.client.call_future import asked_by_asyncio

calling_frame = sys._getframe  # noqa: SLF001 (documented; `inspect.currentframe` shows no caller)

# What a reply may be compared with.  Everything else a call equals if it is the same object.
_VALUES = (str, bytes, bytearray, int, float, list, tuple, dict, set, frozenset)


class _Method:
    """A method of replies that a call lacks; `__getattr__` would slow down what it has."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, call: "NotAwaited | None", owner: type) -> Any:
        if call is None:
            raise AttributeError(self._name)
        kind = f"{type(call).__name__!r} object has no attribute {self._name!r}"
        if call._is_new():  # noqa: SLF001 (its own)
            kind = f"{call._name()} was not awaited, so it has no reply yet: {kind}"  # noqa: SLF001
        raise AttributeError(kind, name=self._name, obj=call)


class NotAwaited:
    """What code finds that uses a call as if it were the reply.

    Attributes:
        args: The call's: the command and its arguments.
    """

    __slots__ = ()

    args: tuple[Any, ...]

    def _is_new(self) -> bool:
        """Return whether nobody has awaited it yet."""
        raise NotImplementedError

    def _name(self) -> str:
        """Return the command's name."""
        return str(self.args[0])

    def _without_value(self, *_: Any) -> NoReturn:
        """Say that the `await` is missing, where code uses the call as if it were the reply."""
        if self._is_new():
            raise TypeError(f"{self._name()} was not awaited, so it has no reply yet")
        raise TypeError(f"the reply to {self._name()} is what `await` returned, not {self!r}")

    def __iter__(self) -> Any:
        # As a coroutine does, it lets a generator go on that `types.coroutine` has marked.
        if calling_frame(1).f_code.co_flags & inspect.CO_ITERABLE_COROUTINE:
            call: Any = self
            return call.__await__()
        return self._without_value()

    __contains__ = __getitem__ = __reversed__ = __len__ = _without_value
    __int__ = __float__ = __complex__ = __index__ = __bytes__ = __round__ = _without_value
    __lt__ = __le__ = __gt__ = __ge__ = __neg__ = __pos__ = __abs__ = __invert__ = _without_value
    __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = _without_value
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = _without_value
    __and__ = __or__ = __xor__ = __rand__ = __ror__ = __rxor__ = _without_value

    decode, encode, split, strip, replace = (_Method() for _ in range(5))
    lower, upper, startswith, endswith, isdigit = (_Method() for _ in range(5))
    get, items, keys, values = (_Method() for _ in range(4))

    def __eq__(self, other: object) -> "bool | NotImplementedType":
        if isinstance(other, _VALUES) and self._is_new():
            self._without_value()
        return NotImplemented

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        # Tools that show tasks ask this of a started call, and asyncio also before its start.
        if self._is_new() and not asked_by_asyncio(calling_frame(1)):
            self._without_value()
        return True

    # pydantic-core 2.50 uses this for a type that it does not know.  FastAPI serializes with it
    # what a route returned, and the error would otherwise not name the command.
    __pydantic_serializer__ = SchemaSerializer(
        core_schema.any_schema(
            serialization=core_schema.plain_serializer_function_ser_schema(_without_value)
        )
    )
