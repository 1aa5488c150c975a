"""What the typed commands of `typed.pyi` are at run time: nothing.

`class Redis(RedisCommands[TextT], redis.asyncio.Redis)` shows type checkers each
command's exact reply.  At run time the first base disappears, and what is left
is that `Redis[bytes]` may be written in annotations.
"""

from typing import Any, TypeVar

TextT = TypeVar("TextT", bound=str | bytes)


class _TypesOnly:
    """Stands among a class's bases, and adds nothing to the class."""

    def __init__(self, *parameters: Any) -> None:
        self.__parameters__ = parameters  # typing's name: what the class may be subscripted with

    def __getitem__(self, parameter: Any) -> "_TypesOnly":
        return _TypesOnly(parameter)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[()]:
        return ()


RedisCommands = _TypesOnly()
ClusterCommands = _TypesOnly()
PipelineCommands = _TypesOnly()
ClusterPipelineCommands = _TypesOnly()
