"""Load from wrk, Debian's package of that name."""

import asyncio
import re
import shutil
from dataclasses import dataclass

from benchmarks.processes import LeftOutError

MISSING = "wrk is not installed (Debian: apt-get install wrk)"

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_REQUESTS = re.compile(r"(\d+) requests in")
_REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk counted.

    Attributes:
        rate: Good answers per second.
        requests: Answers, good or not.
        failed: Answers other than 2xx and 3xx, and socket errors.
    """

    rate: float
    requests: int
    failed: int


def require_wrk() -> None:
    """Raise `LeftOutError` when wrk is missing."""
    if shutil.which("wrk") is None:
        raise LeftOutError(MISSING)


async def load(url: str, connections: int, seconds: int) -> Load:
    """Ask for *url* for whole *seconds* over that many connections."""
    process = await asyncio.create_subprocess_exec(
        *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return _parsed(output.decode())


def _parsed(output: str) -> Load:
    rate, requests = _RATE.search(output), _REQUESTS.search(output)
    if rate is None or requests is None:
        raise RuntimeError(f"wrk said something unknown:\n{output}")
    refused, broken = _REFUSED.search(output), _SOCKET.search(output)
    bad = int(refused[1]) if refused else 0
    failed = bad + (sum(map(int, broken.groups())) if broken else 0)
    count = int(requests[1])
    good = (count - bad) / count if count else 0.0
    return Load(float(rate[1]) * good, count, failed)
