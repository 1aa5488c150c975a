"""Apps behind a real uvicorn, in the test's event loop or in a process of their own."""

import asyncio
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn
import websockets.asyncio.client
from websockets.asyncio.client import ClientConnection

from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.binary import VARIABLE
from tests.kit.waiting import TICK, eventually

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
ENDS = 1.0
"""Seconds within which SIGTERM ends what listens."""
SLACK = 1.0
"""Seconds for a process to end after that: uvicorn looks every 0.1 s; the interpreter's own end."""
CHOSEN = {VARIABLE, "REDIS_PIPELINING__ENABLED"}
"""What a run of the whole suite may choose."""


class StartError(Exception):
    """uvicorn gave up because the app's lifespan did."""


@dataclass(frozen=True)
class Site:
    """Where an app is served.

    Attributes:
        url: `http://127.0.0.1:port`.
        http: A client on that URL.
    """

    url: str
    http: httpx.AsyncClient

    def websocket(self, path: str) -> websockets.asyncio.client.connect:
        """Connect a WebSocket: `async with site.websocket("/path") as socket:`."""
        return websockets.asyncio.client.connect(self.url.replace("http", "ws", 1) + path)

    async def open_websocket(self, path: str) -> ClientConnection:
        """Connect a WebSocket that the test closes itself."""
        return await self.websocket(path)

    async def until(self, path: str, status: int, within: float = PATIENCE) -> httpx.Response:
        """Ask again and again until *path* answers with *status*."""
        async with asyncio.timeout(within):
            while True:
                response = await self.http.get(path)
                if response.status_code == status:
                    return response
                await asyncio.sleep(TICK)


Serve = Callable[..., Coroutine[Any, Any, Site]]


class LocalServer(uvicorn.Server):
    """uvicorn on a loopback port, as a task of the test's own event loop."""

    def __init__(self, app: Any, **config: Any) -> None:
        # With its protocol named, asyncio sets TCP_NODELAY on what it accepts.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        super().__init__(uvicorn.Config(app, log_config=None, **config))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to pytest."""
        yield

    async def _run(self) -> None:
        try:
            await self.serve([self._socket])
        except SystemExit:  # would end the event loop
            self._socket.close()
        finally:
            self._up.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        await self._up.wait()
        if not self.started:
            await self._task
            raise StartError
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.should_exit = True
        if self._task is not None:
            await self._task


@asynccontextmanager
async def serving(app: Any, **config: Any) -> AsyncIterator[Site]:
    """Serve *app* until the block ends; *config* goes to `uvicorn.Config`."""
    config.setdefault("timeout_graceful_shutdown", 5)
    async with (
        LocalServer(app, **config) as server,
        httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as http,
    ):
        yield Site(server.url, http)


class ServerProcess:
    """uvicorn in a process of its own, for signals and for load.

    Attributes:
        log: What it has written so far.
    """

    def __init__(self, process: Process) -> None:
        self.log = ""
        self._process = process
        self._url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.log += line.decode()
            found = re.search(r"Uvicorn running on (http://\S+)", self.log)
            if found and not self._url.done():
                self._url.set_result(found[1])
        if not self._url.done():
            self._url.set_exception(StartError(self.log))

    async def url(self) -> str:
        """Wait until it serves, and return where."""
        return await self._url

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until it has ended; return its exit code, minus the signal's number."""
        await self._process.wait()
        await self._reader
        return self._process.returncode or 0

    async def close(self) -> None:
        """Kill it if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()
        if self._url.done() and not self._url.cancelled():
            self._url.exception()


async def clients_fall_to(expected: int, server: RedisServer) -> None:
    """Wait until Redis counts no more connections than that, beside the question's own."""

    async def fallen() -> bool:
        return len(await server.command("CLIENT LIST")) <= expected + 1

    await eventually(fallen, PATIENCE)


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with no `REDIS_*` but the given ones and `CHOSEN`."""
    ours = {name for name in os.environ if name.startswith("REDIS_") and name not in CHOSEN}
    return {name: os.environ[name] for name in os.environ.keys() - ours} | variables


@asynccontextmanager
async def server_process(
    app: str, *arguments: str, directory: Path, env: Mapping[str, str]
) -> AsyncIterator[ServerProcess]:
    """Run `uvicorn app` with *directory* on its path until the block ends."""
    command = (sys.executable, "-m", "uvicorn", app, "--port", "0", "--app-dir", str(directory))
    process = await asyncio.create_subprocess_exec(
        *command, *arguments, env=dict(env), stdout=PIPE, stderr=STDOUT
    )
    server = ServerProcess(process)
    try:
        yield server
    finally:
        await server.close()
