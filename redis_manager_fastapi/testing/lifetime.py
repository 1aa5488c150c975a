"""What is started and closed: `async with` for everything of the testing package."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Lifetime(ABC):
    """Something that runs between `start()` and `aclose()`, also when the start fails."""

    @abstractmethod
    async def start(self) -> None:
        """Start it."""

    @abstractmethod
    async def aclose(self) -> None:
        """End it, and give back what it held."""

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
