"""What FastAPI is told that takes something of ours for a part of the request.

It asks pydantic about each parameter when the app declares its routes, so a mistake
is told then, and not as a 422 to whoever calls the route.
"""

import inspect
from typing import Annotated, Any, ClassVar

from pydantic import GetCoreSchemaHandler
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import CoreSchema


class NoParameter:
    """Instances are no part of a request: a route depends on them in another way.

    Attributes:
        as_parameter: The type of a route's parameter that is meant to be one.
    """

    __slots__ = ()

    as_parameter: ClassVar[str]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return what a model has for a field of an arbitrary type, where it allows those.

        Raises:
            TypeError: It does not; for FastAPI, nothing does.
        """
        try:
            return handler(source)
        except PydanticSchemaGenerationError:
            message = (
                f"{cls.__name__} is no type of a route's parameter, or of a model's field: annotate"
                f" the parameter with {cls.as_parameter}"
            )
        raise TypeError(message)


class NoDependency:
    """In a parameter's annotation: what has this parameter is no dependency.

    Args:
        message: What it is, and what to write.
    """

    def __init__(self, message: str) -> None:
        self._message = message

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        raise TypeError(self._message)


def refuse_as_dependency(name: str, annotated: Any) -> None:
    """Have an annotated type say what to write if it is given to `Depends`."""
    no = NoDependency(f"{name} is a parameter's type: write `r: {name}`, not `Depends({name})`")
    parameter = inspect.Parameter(
        "r", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Annotated[Any, no]
    )
    annotated.__signature__ = inspect.Signature([parameter])  # which FastAPI reads of a dependency
