"""How a listener rides out an outage: it waits until its server serves, without asking it."""

import asyncio
from contextlib import suppress
from typing import Any

from redis_manager_fastapi.errors import (
    PoolClosedError,
    RedisOutageError,
    RedisPermissionError,
    RedisUnavailableError,
)
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.supervision.deployment import Deployment
from redis_manager_fastapi.supervision.supervisor import FullJitter

_FINAL = (PoolClosedError, RedisPermissionError)
_LONG = 3600.0  # seconds; then the wait begins again


def passes(error: Exception) -> bool:
    """Whether *error* is of an outage, after which the same command may succeed."""
    return isinstance(error, RedisOutageError) and not isinstance(error, _FINAL)


async def wait_serving(deployment: Deployment[Any], slot: int | None = None) -> None:
    """Wait for as long as it takes until commands can go out, on a Cluster those of *slot*.

    Raises:
        PoolClosedError: The manager was closed meanwhile.
    """
    while True:
        opened = deployment.require()
        with suppress(RedisUnavailableError):
            if slot is None:
                await opened.wait_ready(_LONG)
            else:
                await opened.wait_slot(slot, _LONG)
            return
        opened.check_usable()


class Healing:
    """What one loop does about errors: outages are waited out, with a pause that grows.

    Args:
        deployment: Where its commands go.
        slot: Which of a Cluster's slots they are about.
    """

    def __init__(self, deployment: Deployment[Any], slot: int | None = None) -> None:
        settings: RedisSettings = deployment.settings
        health = settings.health
        self._deployment, self._slot = deployment, slot
        self._backoff = FullJitter(health.backoff_base, health.backoff_cap)

    def succeeded(self) -> None:
        """A command was answered: the next pause is short again."""
        self._backoff.reset()

    async def after(self, error: Exception) -> None:
        """Wait until it is worth another attempt.

        Raises:
            Exception: *error* itself, when waiting does not help.
        """
        if not passes(error):
            raise error
        await wait_serving(self._deployment, self._slot)
        await asyncio.sleep(self._backoff.pause())
