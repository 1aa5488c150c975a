"""What the classes of `typed.pyi` are at run time: bases that disappear.

Type checkers read in `class Redis(RedisCommands[TextT], redis.asyncio.Redis)` each
command's exact reply.  At run time the class has redis-py's base alone, and
`Redis[bytes]` works in annotations.
"""

from typing import Any, TypeVar

TextT = TypeVar("TextT", bound=str | bytes)


class _TypesOnly:
    """A base that adds nothing to the class that lists it, except its type parameters."""

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
