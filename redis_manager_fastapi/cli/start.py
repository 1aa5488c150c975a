"""Where the command line starts, with its extra installed or not."""

import importlib.util
import sys

from redis_manager_fastapi.cli.exits import Exit

_WANTED = ("typer", "rich")
_MISSING = "redis-manager-fastapi needs: pip install 'redis_manager_fastapi[cli]'\n"


def main() -> int:
    """Run the command line on `sys.argv`; return its exit code."""
    if any(importlib.util.find_spec(name) is None for name in _WANTED):
        sys.stderr.write(_MISSING)
        return Exit.SETTINGS
    from redis_manager_fastapi.cli.commands import run

    return run()
