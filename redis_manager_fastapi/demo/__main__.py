"""Serve a page on which you break Redis and watch the app.

`scripts/demo` starts it, and so does `redis-manager-fastapi demo`.

`--sentinel` starts a primary with two replicas and three Sentinels, `--cluster`
a Cluster of three primaries with a replica each; `--redis-url` takes a server of yours, which
nothing here breaks.  The shell's own `REDIS_*` are not used.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

from redis_manager_fastapi.console.router import console_router
from redis_manager_fastapi.demo.load import Load
from redis_manager_fastapi.demo.show import show
from redis_manager_fastapi.demo.stage import RESTORE, Stage
from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.tasks import end

logger = logging.getLogger("demo")

# Visits a second, until somebody moves the slider.
FEW = 20

# The manager that asks what Redis has counted; nobody wants to read of it as well.
ASKING = "demo"

WITH_STAGE = """
{members}
  open   {app}/
  docs   {app}/docs
  try    curl -X POST {app}/hits/a
  watch  curl -i {app}/readyz
  break  kill -9 {pid}     (or press a button on the page)
  fix    kill -USR1 {demo}     (starts whatever is down again)
  end    Ctrl-C
"""
WITH_GIVEN_SERVER = """
  Redis  the server that --redis-url names
  open   {app}/redis
  docs   {app}/docs
  try    curl -X POST {app}/hits/a
  end    Ctrl-C
"""


class DemoServer(uvicorn.Server):
    """uvicorn that prints where it serves, and ends on Ctrl-C or SIGTERM without re-raising it."""

    def __init__(self, app: FastAPI, stage: Stage | None, port: int) -> None:
        super().__init__(uvicorn.Config(app, timeout_graceful_shutdown=5, access_log=False))
        self._stage = stage
        self._port = port

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(described(self._stage, f"http://127.0.0.1:{self._port}"))
        sys.stdout.flush()


def described(stage: Stage | None, app: str) -> str:
    """Return the processes of a deployment, and what you can do to them."""
    if stage is None:
        return WITH_GIVEN_SERVER.format(app=app)
    members = "\n".join(
        f"  {name:<21}  {each.host}:{each.port}  pid {each.pid}"
        for name, each in stage.members.items()
    )
    first = next(iter(stage.members.values()))
    return WITH_STAGE.format(members=members, app=app, pid=first.pid, demo=os.getpid())


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="redis_manager_fastapi.demo", description=__doc__)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--sentinel", action="store_const", dest="kind", const="sentinel")
    kind.add_argument("--cluster", action="store_const", dest="kind", const="cluster")
    kind.add_argument("--redis-url", metavar="URL")
    parser.add_argument("--port", type=int, default=0, help="where to serve; a free one if 0")
    return parser.parse_args()


def fail(reason: object) -> NoReturn:
    """End with one line that says why."""
    sys.stderr.write(f"demo: {reason}\n")
    raise SystemExit(2)


async def restart_on_signal(stage: Stage) -> None:
    """Start what is down again at each SIGUSR1; a single server always."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
    while await asked.wait():
        asked.clear()
        down = [name for name, runs in stage.alive().items() if not runs]
        await stage.do(RESTORE)
        for name in down:
            logger.info("%s runs again, pid %d", name, stage.members[name].pid)


def configure(url: str) -> None:
    """Have the app use the Redis at *url*, and nothing else that the shell says of Redis.

    The page is there to see a Redis that is away, so the app starts without.
    """
    for name in [name for name in os.environ if name.startswith("REDIS_")]:
        del os.environ[name]
    os.environ |= {"REDIS_URL": url, "REDIS_LOG_ADDRESSES": "true"}
    os.environ["REDIS_STARTUP__POLICY"] = "degraded"


def listener(number: int) -> socket.socket:
    """Return a socket on a port of this machine, or end with the reason why there is none."""
    # asyncio sets TCP_NODELAY on accepted sockets only if the listener names its protocol.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", number))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        reason = error.strerror if isinstance(error, OSError) else "it is none of 0 to 65535"
        fail(f"cannot serve on port {number}: {reason}")
    return listening


async def main(given: argparse.Namespace) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(listener(given.port))
        port = listening.getsockname()[1]
        stage: Stage | None = None
        if given.redis_url:
            configure(given.redis_url)
        else:
            stage = await stack.enter_async_context(Stage.of(given.kind or "standalone"))
            configure(stage.url)
        app = await stack.enter_async_context(_app(stage, port))
        await DemoServer(app, stage, port).serve([listening])


@asynccontextmanager
async def _app(stage: Stage | None, port: int) -> AsyncIterator[FastAPI]:
    """Make the app: the minimal one, the console, and what breaks Redis if it is ours."""
    # Importing it makes the manager, from the environment.
    from redis_manager_fastapi.demo.minimal import app, manager

    app.include_router(console_router, prefix="/redis")
    if stage is None:
        yield app
        return
    load = Load(port)
    load.rate = FEW
    app.include_router(show(stage, load, manager.history))
    async with RedisManager(stage.redis.url, name=ASKING) as asking:
        work = (load.run(), load.check(asking), restart_on_signal(stage))
        tasks = {asyncio.create_task(each) for each in work}
        try:
            yield app
        finally:
            await end(tasks)


def start() -> None:
    """Serve what the command line asks for."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    library = logging.getLogger("redis_manager_fastapi")
    library.addFilter(lambda record: getattr(record, "instance", "") != ASKING)
    try:
        asyncio.run(main(arguments()))
    except RedisConfigError as error:
        fail(error)
    except KeyboardInterrupt:  # before it served
        raise SystemExit(130) from None


if __name__ == "__main__":
    start()
