"""Loopback ports that stay ours while nobody listens on them.

A port that was merely looked up can be taken while its server is down, by
another process or by the source port of an outgoing connection, which on
loopback may even connect to itself.  A socket that is bound and never listens
prevents both, and the kernel answers "connection refused" for it.
"""

import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"

# A Cluster node's bus listens this far above its port.
CLUSTER_BUS = 10_000


def bind(port: int = 0) -> socket.socket:
    """Bind a loopback port that nobody has, and that a server may bind and listen on as well.

    SO_REUSEADDR comes after the bind: ahead of it, two reservations could share a port.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.bind((LOOPBACK, port))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except (OSError, OverflowError):
        bound.close()
        raise
    return bound


class ReservedPort:
    """A free port, kept until `close()`; with *bus*, also the Cluster bus port above it."""

    def __init__(self, *, bus: bool = False) -> None:
        self.port, self._sockets = _reserve(bus=bus)

    def close(self) -> None:
        """Give the port back."""
        for reserved in self._sockets:
            reserved.close()


def _reserve(*, bus: bool) -> tuple[int, list[socket.socket]]:
    with ExitStack() as unfit:  # held meanwhile, so that the kernel offers another one
        while True:
            bound = bind()
            port = bound.getsockname()[1]
            try:
                return port, [bound, bind(port + CLUSTER_BUS)] if bus else [bound]
            except (OSError, OverflowError):
                unfit.enter_context(bound)
