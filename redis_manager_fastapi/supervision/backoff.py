"""How long to pause between two attempts."""

import random


class FullJitter:
    """Exponential backoff with full jitter: uniform between 0 and the exponential step.

    The rule, and why all of the step is random, is from Marc Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        base: The first step, in seconds.
        cap: The longest step, in seconds.
    """

    def __init__(self, base: float, cap: float) -> None:
        self.attempts = 0
        self._base = base
        self._cap = cap
        self._random = random.Random()  # noqa: S311 (spreads load, keeps no secret)

    def reset(self) -> None:
        """Begin again from the base."""
        self.attempts = 0

    def pause(self) -> float:
        """Count an attempt and return how long to wait before the next, in seconds."""
        # Beyond 2**16 steps every base has reached its cap.
        step = min(self._cap, self._base * 2 ** min(self.attempts, 16))
        self.attempts += 1
        return self._random.uniform(0, step)
