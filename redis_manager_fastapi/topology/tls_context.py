"""One TLS context for many connections."""

import ssl
from pathlib import Path

from redis.asyncio.connection import SSLConnection


class SharedTLSContext:
    """The TLS context of connections with the same settings."""

    def __init__(self) -> None:
        self._last: tuple[object, ssl.SSLContext] | None = None

    def give_to(self, connection: SSLConnection) -> None:
        """Give *connection* the TLS context of the last one, unless a file has changed since.

        Making one takes 35 ms of the event loop, most of it for the system's certificates:
        on a busy machine a few connects at a time would spend their whole limit on it.
        """
        tls = connection.ssl_context
        try:
            files = [Path(name) for name in (tls.ca_certs, tls.certfile, tls.keyfile) if name]
            found = [(file, file.stat()) for file in files]
        except OSError:
            return  # redis-py says which file it is
        stamp = [(name, stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in found]
        if self._last is None or self._last[0] != stamp:
            tls.context = None
            self._last = stamp, tls.get()
        tls.context = self._last[1]
