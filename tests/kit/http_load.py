"""A load generator in a process of its own: `python -m tests.kit.http_load URL RATE SECONDS`.

Sends `GET URL/hits/a` at a fixed rate, whatever became of the requests before,
and beside each a `GET URL/livez`, which never touches Redis: how late those
are is the lag of this machine at that moment.  Prints one JSON array: path,
when it was sent (monotonic clock), how long it took, status.
"""

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit


async def ask(host: str, port: int, path: str) -> tuple[str, float, float, int]:
    """Make one request on a connection of its own."""
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n".encode())
        status = int((await reader.read()).split(b" ", 2)[1])
        writer.close()
    except (OSError, IndexError):
        status = 0
    return path, began, time.monotonic() - began, status


async def main(url: str, rate: float, seconds: float) -> None:
    """Send the requests and print what became of them."""
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or 0
    began, asked = time.monotonic(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        asked += [asyncio.create_task(ask(host, port, path)) for path in ("/hits/a", "/livez")]
    sys.stdout.write(json.dumps(await asyncio.gather(*asked)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
