"""`watch`: a manager's state and numbers, and the server's, until somebody has seen enough."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from redis.exceptions import RedisError
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.network import milliseconds
from redis_manager_fastapi.cli.output import console, say, say_json
from redis_manager_fastapi.cli.ready import starting
from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.manager import RedisManager

_NUMBERS = (
    *("generation", "links", "in_flight", "idle"),
    *("leased", "opening", "waiting", "connects"),
)
_SERVER = {
    "connected_clients": "clients",
    "instantaneous_ops_per_sec": "commands_per_second",
    "used_memory": "used_memory",
    "evicted_keys": "evicted_keys",
    "rejected_connections": "rejected_connections",
}
_RARE = frozenset({"evicted_keys", "rejected_connections"})
_STYLES = {"ready": "green", "suspect": "yellow", "starting": "yellow"}


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a deployment.

    Attributes:
        time: When, as seconds since 1970.
        state: Where the manager's pool stands.
        serving: Whether a command would go out.
        reason: Why not; empty while it would.
        ping: Seconds that a PING took; None without an answer.
        numbers: The counters of this process' own pool.
        server: The server's own; empty without an answer.
    """

    time: float
    state: str
    serving: bool
    reason: str
    ping: float | None
    numbers: dict[str, int]
    server: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


async def watch(
    chosen: Chosen, *, interval: float, count: int | None, as_json: bool, on_screen: bool
) -> None:
    """Look every *interval* seconds, *count* times or until SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    settings = starting(chosen, "degraded", chosen.settings.timeout.connect)
    async with RedisManager(settings, name=chosen.name) as manager:
        with suppress(RedisUnavailableError):
            await manager.wait_ready(chosen.settings.timeout.connect)
        looks = _looks(manager, stopped, interval, count)
        if as_json:
            async for look in looks:
                say_json(look.as_json())
        elif on_screen:
            await _live(chosen, looks)
        else:
            async for look in looks:
                say(_line(look))


async def _looks(
    manager: RedisManager, stopped: asyncio.Event, interval: float, count: int | None
) -> AsyncIterator[Look]:
    left = count
    while not stopped.is_set() and left != 0:
        yield await _look(manager, interval)
        left = None if left is None else left - 1
        if left == 0:
            return
        try:
            async with asyncio.timeout(interval):
                await stopped.wait()
        except TimeoutError:
            continue


async def _look(manager: RedisManager, limit: float) -> Look:
    ping, server = None, dict[str, int]()
    if manager.is_ready:
        try:
            async with asyncio.timeout(max(limit, manager.settings.health.timeout)):
                begun = time.perf_counter()
                await manager.redis.ping()
                ping = round(time.perf_counter() - begun, 6)
                server = _numbers_of(await _info(manager))
        except (RedisError, TimeoutError):
            pass  # the state says why
    stats = manager.stats()
    return Look(
        time=round(time.time(), 3),
        state=stats.state.value,
        serving=stats.serving,
        reason=stats.reason,
        ping=ping,
        numbers={name: getattr(stats, name) for name in _NUMBERS},
        server=server,
    )


async def _info(manager: RedisManager) -> dict[str, Any]:
    """Return what INFO says; with a Cluster that of one node is no whole, and is left out."""
    if manager.settings.topology == "cluster":
        return {}
    found: dict[str, Any] = await manager.redis.info()
    return found


def _numbers_of(info: dict[str, Any]) -> dict[str, int]:
    return {ours: int(info[theirs]) for theirs, ours in _SERVER.items() if theirs in info}


def _line(look: Look) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(look.time))
    if not look.serving:
        return f"{at}  {look.state}  {look.reason}"
    ping = "no answer" if look.ping is None else milliseconds(look.ping)
    shown = {name: value for name, value in look.server.items() if value or name not in _RARE}
    server = "  ".join(f"{name} {value}" for name, value in shown.items())
    return f"{at}  {look.state}  ping {ping}  {server}".rstrip()


async def _live(chosen: Chosen, looks: AsyncIterator[Look]) -> None:
    with Live(console=console(), auto_refresh=False) as live:
        async for look in looks:
            live.update(_picture(chosen, look), refresh=True)


def _picture(chosen: Chosen, look: Look) -> Group:
    at = time.strftime("%H:%M:%S", time.localtime(look.time))
    head = Text.assemble(
        (look.state, _STYLES.get(look.state, "bold red")), f"  {chosen.place}  {at}"
    )
    ping = "-" if look.ping is None else milliseconds(look.ping)
    table = Table.grid(padding=(0, 2))
    numbers = {"ping": ping} | look.numbers | look.server
    cells = list(numbers.items())
    for (name, value), (other, its) in zip(cells[::2], [*cells[1::2], ("", "")], strict=False):
        table.add_row(_label(name), Text(str(value)), _label(other), Text(str(its)))
    return Group(head, Text(look.reason or " "), table, Text("Ctrl-C ends it", style="dim"))


def _label(name: str) -> Text:
    return Text(name.replace("_", " "), style="dim")
