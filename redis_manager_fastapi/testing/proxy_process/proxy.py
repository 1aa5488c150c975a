"""The listener, its connections, and the faults that new ones begin with."""

import asyncio
import ctypes
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Literal

from .connection import Connection
from .flow import DIRECTIONS, Cut, Direction, Rule

# Of Linux; a filter of one instruction that lets no byte of any packet pass.
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
_DROP = struct.pack("HBBI", 0x06, 0, 0, 0)


class Proxy:
    """The listener, its connections, and the rules for new ones."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        port: int,
        server: tuple[str, int],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.tasks = tasks
        self.server = server
        self.rules: dict[Direction, Rule] = dict.fromkeys(DIRECTIONS, Rule())
        self.cuts: dict[Direction, Cut | None] = dict.fromkeys(DIRECTIONS)
        self.connections: set[Connection] = set()
        self.passed: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)
        self.lost = 0
        self._opening: set[asyncio.Task[None]] = set()
        self._connect_times: list[float] = []
        self._port = port
        self._tls = tls
        self._listener: socket.socket | None = None
        self._unplugged: list[socket.socket] = []

    def pass_through(self) -> None:
        """End every fault."""
        for name in DIRECTIONS:
            self._arm(name, None)
            self.change(name, **asdict(Rule()))
        for plug in self._unplugged:
            with suppress(OSError):  # closed meanwhile
                plug.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
        self._unplugged.clear()
        self.listen()

    def listen(self) -> None:
        """Accept connections, if it does not yet."""
        if self._listener is None:
            # asyncio sends small pieces at once only over what is called TCP by its number.
            self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", self._port))
            self._listener.listen(4096)
            self._listener.setblocking(False)
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def unplug(self, *, existing: bool) -> None:
        """Have the kernel lose what comes to the listener, and over connections that are open."""
        buffer = ctypes.create_string_buffer(_DROP)
        program = struct.pack("HP", 1, ctypes.addressof(buffer))
        sockets = [self._listener] if self._listener is not None else []
        sockets += [each.client_socket for each in self.connections] if existing else []
        for plug in sockets:
            plug.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
            self._unplugged.append(plug)

    def refuse(self) -> None:
        """Stop listening: the kernel refuses new connections."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def close(self) -> None:
        """Stop listening and reset every connection, also those in a TLS handshake."""
        self.refuse()
        self.reset()
        for opening in self._opening:
            opening.cancel()

    def reset(self) -> int:
        """Reset every connection."""
        return self._each(Connection.reset)

    def half_close(self) -> int:
        """Send every client the end of the stream."""
        return self._each(Connection.half_close)

    def inject(self, data: str) -> int:
        """Send every client these bytes, given in hexadecimal."""
        return sum([each.inject(bytes.fromhex(data)) for each in self.connections])

    def change(
        self,
        direction: Direction,
        *,
        existing: bool = True,
        new: bool = True,
        only: list[int] | None = None,
        **fields: Any,
    ) -> None:
        """Change fields of the rule for one direction; *only* for clients at those ports."""
        if new:
            self.rules[direction] = replace(self.rules[direction], **fields)
        for each in self.connections if existing else ():
            if only is None or each.client_port in only:
                flow = each.flows[direction]
                flow.follow(replace(flow.rule, **fields))

    def cut(
        self,
        direction: Direction,
        after: int,
        ending: Literal["reset", "eof"],
        once: bool,
        new: bool,
    ) -> None:
        """Cut each connection, or the first one, that passes this many more bytes."""
        self._arm(direction, Cut(after, ending, once))
        if not new:
            self.cuts[direction] = None

    def disarm(self, cut: Cut) -> None:
        """Forget a cut everywhere."""
        for name in DIRECTIONS:
            if self.cuts[name] == cut:
                self._arm(name, None)

    def stats(self) -> dict[str, Any]:
        """The counters, as `ProxyStats` names them."""
        return {
            "accepted": len(self._connect_times),
            "open": len(self.connections),
            "to_server": self.passed["to_server"],
            "to_client": self.passed["to_client"],
            "lost": self.lost,
            "connect_times": self._connect_times,
        }

    def _arm(self, direction: Direction, cut: Cut | None) -> None:
        self.cuts[direction] = cut
        for each in self.connections:
            each.flows[direction].arm(cut)

    def _each(self, act: Callable[[Connection], None]) -> int:
        connections = list(self.connections)
        for each in connections:
            act(each)
        return len(connections)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # it was gone before it was accepted
        self._connect_times.append(time.monotonic())
        client.setblocking(False)
        opening = self.tasks.create_task(self._establish(client))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _establish(self, client: socket.socket) -> None:
        hole = any(rule.hole for rule in self.rules.values())
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        tls = None if hole else self._tls  # a peer that hears or says nothing shakes no hands
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, client, ssl=tls)
        except OSError:
            client.close()
            return
        # asyncio's TLS transport (read in 3.11) pauses at the limit, a plain one beyond it.
        transport.set_write_buffer_limits(1 if tls else 0)
        connection = Connection(self, asyncio.StreamWriter(transport, protocol, reader, loop))
        for flow in connection.flows.values():
            flow.lost = hole and self._tls is not None
        self.connections.add(connection)
        connection.open(reader)
