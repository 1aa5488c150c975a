"""What the parts of real time have in common: how they end."""

from typing import Protocol


class Part(Protocol):
    """Subscriptions, consumers, tails or workers: begun when first used, ended with the manager."""

    def stop(self) -> None:
        """End every iteration at once and take nothing new; what is in hand goes on."""
        ...

    async def aclose(self, timeout: float) -> None:
        """Give what is in hand *timeout* seconds, and close; afterwards it may be used anew."""
        ...
