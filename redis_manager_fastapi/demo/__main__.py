"""Serve `minimal.py` with a Redis for you to break.

`scripts/demo` starts it, and so does `redis-manager-fastapi demo`.

`--sentinel` starts a primary with two replicas and three Sentinels, `--cluster`
a Cluster of three primaries with a replica each.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import uvicorn

from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment

logger = logging.getLogger("demo")

Redis = RedisServer | SentinelDeployment | ClusterDeployment

DURABLE = {"appendonly": "yes", "appendfsync": "always"}  # the counts survive kill -9

WITH_OWN_SERVER = """
  Redis  {redis}, pid {pid}
  open   {app}/docs
  try    curl -X POST {app}/hits/a
  watch  curl -i {app}/readyz
  break  kill -9 {pid}
  fix    kill -USR1 {demo}     (starts Redis again, on the same port)
  end    Ctrl-C
"""
WITH_SEVERAL = """
{members}
  open   {app}/docs
  try    curl -X POST {app}/hits/a
  watch  curl -i {app}/readyz
  break  kill -9 {pid}     (a primary: one of its replicas takes over)
  fix    kill -USR1 {demo}     (starts whatever is down again)
  end    Ctrl-C
"""
WITH_GIVEN_SERVER = """
  Redis  the server that REDIS_URL names
  open   {app}/docs
  try    curl -X POST {app}/hits/a
  end    Ctrl-C
"""


class DemoServer(uvicorn.Server):
    """uvicorn that prints where it serves, and ends on Ctrl-C or SIGTERM without re-raising it."""

    def __init__(self, redis: Redis | None) -> None:
        super().__init__(
            uvicorn.Config("redis_manager_fastapi.demo.minimal:app", timeout_graceful_shutdown=5)
        )
        self._redis = redis

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = sockets[0].getsockname()[1] if sockets else 0
        app, redis = f"http://127.0.0.1:{port}", self._redis
        if redis is None:
            text = WITH_GIVEN_SERVER.format(app=app)
        elif isinstance(redis, RedisServer):
            text = WITH_OWN_SERVER.format(app=app, redis=redis.url, pid=redis.pid, demo=os.getpid())
        else:
            text = described(redis, app)
        sys.stdout.write(text)
        sys.stdout.flush()


def described(redis: SentinelDeployment | ClusterDeployment, app: str) -> str:
    """Return the processes of a deployment, and what you can do to them."""
    members = "\n".join(
        f"  {name:<21}  {each.host}:{each.port}  pid {each.pid}"
        for name, each in redis.members.items()
    )
    first = next(iter(redis.members.values()))
    return WITH_SEVERAL.format(members=members, app=app, pid=first.pid, demo=os.getpid())


def chosen() -> Redis:
    """Return the deployment that the command line asks for."""
    parser = argparse.ArgumentParser(prog="redis_manager_fastapi.demo", description=__doc__)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--sentinel", action="store_const", dest="kind", const=SentinelDeployment)
    kind.add_argument("--cluster", action="store_const", dest="kind", const=ClusterDeployment)
    deployment: type[SentinelDeployment | ClusterDeployment] | None = parser.parse_args().kind
    return RedisServer(DURABLE) if deployment is None else deployment()


async def restart_on_signal(redis: Redis) -> None:
    """Start Redis again at each SIGUSR1, whether it runs or not."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
    while await asked.wait():
        asked.clear()
        if isinstance(redis, RedisServer):
            if redis.running:
                await redis.kill()
            await redis.start()
            logger.info("Redis runs again, pid %d", redis.pid)
            continue
        for name, member in redis.members.items():
            if not member.running:
                await member.start()
                logger.info("what started as %s runs again, pid %d", name, member.pid)


async def main() -> None:
    async with AsyncExitStack() as stack:
        redis: Redis | None = None
        if not os.environ.get("REDIS_URL"):
            redis = chosen()
            await stack.enter_async_context(redis)
            os.environ["REDIS_URL"] = redis.url
            restarts = asyncio.create_task(restart_on_signal(redis))
            stack.callback(restarts.cancel)
        # asyncio sets TCP_NODELAY on accepted sockets only if the listener names its protocol.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        await DemoServer(redis).serve([listening])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    asyncio.run(main())
