"""A bad network between a client and a server, in a separate process.

What goes wrong is decided here and done in `proxy_process/`; a stalled event
loop in the test does not stall the fault.
"""

import asyncio
import itertools
import json
import socket
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis_manager_fastapi.testing.lifetime import Lifetime
from redis_manager_fastapi.testing.ports import LOOPBACK, ReservedPort
from redis_manager_fastapi.testing.process import ChildProcess
from redis_manager_fastapi.testing.proxy_process.flow import DIRECTIONS, Direction

_CONTROL_TIMEOUT = 10.0
_STOP_TIMEOUT = 5.0

# `-m` would not find the module where PYTHONSAFEPATH is set.
_RUN = """
import runpy, sys
sys.path.insert(0, "")
runpy.run_module("proxy_process", run_name="__main__")
"""
_READ_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class ProxyStats:
    """A proxy's counters at one instant.

    Attributes:
        accepted: Connections that clients have made, in total.
        open: Connections that clients have open now.
        to_server: Bytes that went to the server.
        to_client: Bytes that went to clients.
        lost: Bytes that went nowhere.
        connect_times: When each connection was accepted, on the monotonic
            clock, which is the same in every process (`time.monotonic()`).
    """

    accepted: int
    open: int
    to_server: int
    to_client: int
    lost: int
    connect_times: tuple[float, ...]

    def most_connects(self, window: float = 1.0) -> int:
        """Return the largest number of connects within any *window* seconds."""
        times = self.connect_times
        starts = range(len(times))
        return max(
            (sum(0 <= at - times[i] < window for at in times[i:]) for i in starts), default=0
        )


class FaultProxy(Lifetime):
    """A TCP proxy whose faults a test turns on and off; `async with` starts and ends it.

    A fault acts at once on every connection, old and new, and adds to the
    faults that are on already, until `pass_through()` ends them all.  Once
    bytes were lost in one direction of a connection, that direction stays dead
    for the connection's life, because TCP never skips a byte.

    If the server cannot be reached, the client is connected and then reset.

    Attributes:
        host: Always loopback.
        port: Kept until `aclose()`, also while connections are refused.

    Args:
        server_host: Where the server is.
        server_port: Where the server is.
        cert_file: A PEM certificate chain: clients speak TLS, the server does
            not.  Delay and drip then act within TLS, and a new connection
            under a black hole gets no handshake.
        key_file: The key, if *cert_file* does not hold it.
    """

    def __init__(
        self,
        server_host: str,
        server_port: int,
        *,
        cert_file: str | Path | None = None,
        key_file: str | Path | None = None,
    ) -> None:
        self.host = LOOPBACK
        self._reserved = ReservedPort()
        self.port = self._reserved.port
        self._options = {
            "port": self.port,
            "host": server_host,
            "server_port": server_port,
            "cert_file": _absolute(cert_file),
            "key_file": _absolute(key_file),
        }
        self._tls = cert_file is not None
        self._resources = ExitStack()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by aclose()
        self._process: ChildProcess | None = None
        self._control: socket.socket | None = None
        self._received = b""
        self._numbers = itertools.count()
        self._lock = asyncio.Lock()

    @property
    def url(self) -> str:
        """The proxy's URL, `rediss://` if it speaks TLS; a password is for the caller to add."""
        return f"redis{'s' if self._tls else ''}://{self.host}:{self.port}/0"

    async def start(self) -> None:
        """Start the process, and return once it listens."""
        if self._process is not None:
            raise RuntimeError(f"the proxy on port {self.port} is running already")
        self._resources.enter_context(self._log)
        ours, theirs = socket.socketpair()
        self._control = self._resources.enter_context(ours)
        ours.setblocking(False)
        with theirs:
            options = json.dumps({"control": theirs.fileno(), **self._options})
            self._process = ChildProcess(
                [sys.executable, "-c", _RUN, options],
                log=self._log,
                directory=Path(__file__).parent,
                pass_fds=[theirs.fileno()],
            )
        self._resources.callback(self._process.close)
        await self.stats()

    async def aclose(self) -> None:
        """End the process, resetting what is open, and give the port back."""
        if self._control is not None:
            self._control.close()
        try:
            if self._process is not None:
                await self._process.wait(_STOP_TIMEOUT)
                if self._process.exit_code:
                    raise RuntimeError(f"the proxy on port {self.port} failed:\n{self._trace()}")
        finally:
            self._resources.close()
            self._reserved.close()
            self._process = self._control = None

    async def stats(self) -> ProxyStats:
        """Return the counters."""
        counters = await self._ask("stats")
        counters["connect_times"] = tuple(counters["connect_times"])
        return ProxyStats(**counters)

    async def pass_through(self) -> None:
        """End every fault.  Connections that are broken, or have lost bytes, stay so."""
        await self._ask("pass_through")

    async def refuse(self, *, cut: bool = False) -> None:
        """Stop listening, so that connecting is refused; with *cut*, reset what is open."""
        await self._ask("refuse")
        if cut:
            await self.reset()

    async def reset(self) -> int:
        """Reset every open connection now (SO_LINGER 0); return how many there were.

        The server sees an end of the stream, after all that had passed.
        """
        return int(await self._ask("reset"))

    async def reset_at(
        self,
        n: int,
        *,
        direction: Direction = "to_client",
        once: bool = False,
        new: bool = True,
    ) -> None:
        """Reset each connection as soon as *n* more bytes have passed in one direction.

        On a new connection the count starts with its first byte.  With 0, the
        next byte that comes is the reset's occasion, and does not pass.  With
        *once*, only the first connection to come so far is reset; without *new*,
        none that is made from now on.
        """
        await self._cut(direction, n, "reset", once=once, new=new)

    async def truncate_at(self, n: int, *, once: bool = False) -> None:
        """Let *n* more bytes of reply through to each client, then end the stream in order.

        As if the server had died in the middle of a reply; counts as `reset_at` does.
        """
        await self._cut("to_client", n, "eof", once=once, new=True)

    async def black_hole(
        self,
        *,
        to_server: bool = True,
        to_client: bool = True,
        existing: bool = True,
        new: bool = True,
    ) -> None:
        """Lose all bytes, and the end of the stream too, while connections stay open.

        The kernel still accepts new connections.  Nothing of a connection that
        is made while bytes to the server are lost reaches the server.

        Args:
            to_server: Lose what clients send.
            to_client: Lose what the server sends.
            existing: Do so on connections that are open.
            new: Do so on connections to come.
        """
        for direction, hole in zip(DIRECTIONS, (to_server, to_client), strict=True):
            await self._change(direction, existing=existing, new=new, hole=hole)

    async def unplug(self, *, existing: bool = True) -> None:
        """Lose what the kernel would answer too, as if a cable were pulled (Linux).

        Connecting hangs, and nothing that is sent over a connection that is open is
        acknowledged; without *existing*, those go on.  When the cable is back, what was sent
        meanwhile is sent again and arrives.
        """
        await self._ask("unplug", existing=existing)

    async def delay(self, *, to_server: float = 0.0, to_client: float = 0.0) -> None:
        """Let everything arrive this many seconds later; what follows is not held up further."""
        await self._change("to_server", delay=to_server)
        await self._change("to_client", delay=to_client)

    async def drip(self, size: int = 1, interval: float = 0.1, *, direction: Direction) -> None:
        """Let *size* bytes through in one direction every *interval* seconds."""
        await self._change(direction, piece=size, interval=interval)

    async def half_close(self) -> int:
        """Send every client the end of the stream; what it sends still goes to the server."""
        return int(await self._ask("half_close"))

    async def inject(self, data: bytes) -> int:
        """Send every client bytes that the server never sent; return how many clients got them."""
        return int(await self._ask("inject", data=data.hex()))

    async def _cut(self, direction: Direction, after: int, ending: str, **which: bool) -> None:
        await self._ask("cut", direction=direction, after=after, ending=ending, **which)

    async def _change(self, direction: Direction, **fields: Any) -> None:
        await self._ask("change", direction=direction, **fields)

    async def _ask(self, name: str, **arguments: Any) -> Any:
        """Send one command to the process and return its result."""
        if self._control is None:
            raise RuntimeError(f"the proxy on port {self.port} is not running")
        number = next(self._numbers)
        request = json.dumps([number, name, arguments]).encode() + b"\n"
        async with self._lock, asyncio.timeout(_CONTROL_TIMEOUT):
            await asyncio.get_running_loop().sock_sendall(self._control, request)
            while True:
                answered, result = json.loads(await self._line(self._control))
                if answered == number:  # an earlier one belongs to a cancelled caller
                    return result

    async def _line(self, control: socket.socket) -> bytes:
        loop = asyncio.get_running_loop()
        while b"\n" not in self._received:
            received = await loop.sock_recv(control, _READ_SIZE)
            if not received:
                raise RuntimeError(f"the proxy on port {self.port} has ended:\n{self._trace()}")
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _trace(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")


def _absolute(path: str | Path | None) -> str:
    return str(Path(path).absolute()) if path else ""
