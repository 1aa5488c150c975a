"""Child processes of a run: workers that measure a client, and uvicorn with one of the apps."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent
_START_LIMIT = 20.0


class LeftOutError(Exception):
    """A peer or a tool cannot take part; the message says why."""


class Worker:
    """A process of `benchmarks.worker`; use it with `async with`."""

    def __init__(self, peer: str, loop: str, url: str) -> None:
        self._arguments = (peer, loop, url)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.worker", *self._arguments),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_START_LIMIT):
                await self._reply()
        except BaseException as error:
            await _end(self._process)
            if isinstance(error, TimeoutError):
                raise LeftOutError("it did not start") from None
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await _end(self._process)

    async def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and return the reply."""
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return await self._reply()

    async def _reply(self) -> dict[str, Any]:
        line = await self._process.stdout.readline()
        reply = json.loads(line) if line else {"error": "its process ended"}
        if "error" in reply:
            raise LeftOutError(reply["error"])
        return reply


@asynccontextmanager
async def served(client: str, redis_url: str) -> AsyncIterator[int]:
    """Run the app of that client under one uvicorn worker; yield its port."""
    port = _free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", f"benchmarks.apps.{client}:app"),
        *("--host", "127.0.0.1", "--port", str(port), "--no-access-log"),
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": redis_url},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _listening(process, port)
        yield port
    finally:
        await _end(process)


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    deadline = asyncio.get_running_loop().time() + _START_LIMIT
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise LeftOutError("its app did not start")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
