"""Many clients of server-sent events through kills of the server and a restart of the app.

Each client connects again with the ID of its last event, as a browser does.  In the end each
must have every entry of the stream, in order and once, or exactly one gap in their place.
"""

import argparse
import asyncio
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from redis_manager_fastapi.testing import RedisServer
from tests.kit.serving import environment, server_process

EXAMPLES = Path(__file__).parent.parent / "examples"
PATH = "/rooms/room"
STREAM = "room:room"
PATIENCE = 120.0


@dataclass(slots=True)
class Client:
    """One client: what it has received, by the entries' IDs.

    Attributes:
        ids: The IDs of the entries, in order.
        gaps: How many gaps it was told of.
        last: The ID of its last event.
        connects: How often it has connected.
        late: Seconds from an entry's ID to its arrival, the longest.
    """

    ids: list[str] = field(default_factory=list)
    gaps: int = 0
    last: str = ""
    connects: int = 0
    late: float = 0.0

    async def follow(self, where: list[str]) -> None:
        """Receive for ever; connect again, to where the app is then."""
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._receive(where[0])
            await asyncio.sleep(random.uniform(0.05, 0.3))  # noqa: S311

    async def _receive(self, url: str) -> None:
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            header = f"Last-Event-ID: {self.last}\r\n" if self.last else ""
            writer.write(f"GET {PATH} HTTP/1.1\r\nHost: app\r\n{header}\r\n".encode())
            if b" 200 " not in await reader.readline():
                return
            self.connects += 1
            gap = False
            while line := (await reader.readline()).decode().rstrip():
                pass  # the response's headers
            while line := (await reader.readline()).decode():
                if line.startswith("event: gap"):
                    gap = True
                elif line.startswith("id: "):
                    self.last = line[4:].rstrip()
                    self._note(gap=gap)
                    gap = False
        finally:
            writer.close()

    def _note(self, *, gap: bool) -> None:
        if gap:
            self.gaps += 1
            return
        id_ = self.last.partition(".")[0]
        self.ids.append(id_)
        self.late = max(self.late, time.time() - int(id_.partition("-")[0]) / 1000)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        clients: How many there were.
        entries: How many entries were added once all clients had begun.
        complete: Clients that have each of them once, in order, and no gap.
        with_a_gap: Clients that have exactly one gap, and nothing twice.
        wrong: All others.
        connects: How often clients connected.
        late: The longest time, in seconds, from an entry's ID to its arrival.
        seconds: How long the run took.
    """

    clients: int
    entries: int
    complete: int
    with_a_gap: int
    wrong: int
    connects: int
    late: float
    seconds: float


class App:
    """The app's process, which may be restarted."""

    def __init__(self, server: RedisServer) -> None:
        self.where = [""]
        self._env = environment(REDIS_URL=server.url, REDIS_OUTAGE__GRACE="10")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve until the block ends with a SIGTERM."""
        arguments = ("--no-access-log", "--backlog", "4096")
        async with server_process(
            "events:app", *arguments, directory=EXAMPLES, env=self._env
        ) as process:
            self.where[0] = await process.url()
            yield
            process.signal(signal.SIGTERM)
            await process.ended()


async def add(server: RedisServer, pause: float, enough: asyncio.Event) -> None:
    """Add entries until it is *enough*; one whose reply is lost may have been added."""
    number = 0
    while not enough.is_set():
        with suppress(RedisError, OSError):
            await server.command("XADD", STREAM, "*", "text", str(number))
        number += 1
        await asyncio.sleep(pause)


async def measure(clients: int, kills: int, pause: float, between: float) -> Outcome:
    """Run it, and compare what each client has with what the stream has.

    Args:
        clients: How many.
        kills: How often the server is killed; the app is restarted once, half way.
        pause: Seconds between two entries.
        between: Seconds between two kills.
    """
    begun = time.monotonic()
    async with RedisServer({"appendonly": "yes", "appendfsync": "always"}) as server:
        app = App(server)
        following = [Client() for _ in range(clients)]
        tasks: list[asyncio.Task[None]] = []
        adding: asyncio.Task[None] | None = None
        enough = asyncio.Event()
        try:
            async with app.running():
                tasks += [asyncio.create_task(each.follow(app.where)) for each in following]
                await until_all(following, lambda client: client.connects > 0)
                adding = asyncio.create_task(add(server, pause, enough))
                # A response begins before its tail is entered: what all must have begins here.
                await until_all(following, lambda client: bool(client.ids))
                first = (await ids_of(server))[-1]
                await kill(server, kills - kills // 2, between)
            async with app.running():
                await kill(server, kills // 2, between)
                enough.set()
                await adding
                last = _text(await server.command("XADD", STREAM, "*", "text", "end"))
                with suppress(TimeoutError):  # then some are wrong
                    await until_all(following, lambda client: client.ids[-1] == last)
                entries = await ids_of(server)
        finally:
            for task in [*tasks, *([adding] if adding else [])]:
                task.cancel()
    for client in following:
        client.ids = [id_ for id_ in client.ids if order(id_) > order(first)]
    entries = [id_ for id_ in entries if order(id_) > order(first)]
    return outcome(following, entries, time.monotonic() - begun)


async def kill(server: RedisServer, times: int, between: float) -> None:
    """Kill the server, and start it again, so many times."""
    for _ in range(times):
        await asyncio.sleep(between)
        await server.restart(crash=True)
    await asyncio.sleep(between)


async def ids_of(server: RedisServer) -> list[str]:
    """Return the IDs of all entries of the stream."""
    return [_text(entry[0]) for entry in await server.command("XRANGE", STREAM, "-", "+")]


def order(id_: str) -> tuple[int, ...]:
    """Return an ID as it compares."""
    return tuple(int(part) for part in id_.split("-"))


def _text(raw: str | bytes) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


async def until_all(clients: list[Client], holds: Callable[[Client], bool]) -> None:
    """Wait until it holds for each client."""
    async with asyncio.timeout(PATIENCE):
        while not all(map(holds, clients)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def outcome(clients: list[Client], entries: list[str], seconds: float) -> Outcome:
    """Return what came of it."""
    kinds = Counter(judged(client, entries) for client in clients)
    return Outcome(
        clients=len(clients),
        entries=len(entries),
        complete=kinds["complete"],
        with_a_gap=kinds["gap"],
        wrong=kinds["wrong"],
        connects=sum(client.connects for client in clients),
        late=max(client.late for client in clients),
        seconds=seconds,
    )


def judged(client: Client, entries: list[str]) -> str:
    """Return whether a client has everything once, or one gap and nothing twice."""
    if not client.gaps:
        return "complete" if client.ids == entries else "wrong"
    once = len(set(client.ids)) == len(client.ids)
    return "gap" if client.gaps == 1 and once else "wrong"


def main() -> int:
    """Read the arguments, run, and print what came of it."""
    parser = argparse.ArgumentParser(prog="scripts/realtime events", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two entries")
    parser.add_argument("--between", type=float, default=2.0, help="seconds between two kills")
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    result = asyncio.run(measure(given.clients, given.kills, given.pause, given.between))
    print(result)
    return int(result.wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
