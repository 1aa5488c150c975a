"""A real Redis server for tests: started, stopped, killed and frozen at will.

The server is a process of its own on a loopback port that stays the same over
restarts, so whatever happens to it happens to its clients as it would in
production.  Nothing here replaces Redis by something that behaves like it.
"""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from redis_manager_fastapi.testing.binary import ServerVersion, server_binary, server_version
from redis_manager_fastapi.testing.lifetime import Lifetime
from redis_manager_fastapi.testing.ports import LOOPBACK, ReservedPort
from redis_manager_fastapi.testing.process import ChildProcess

Directive = str | int | Sequence[str]
Mode = Literal["server", "sentinel"]

START_TIMEOUT = 10.0
STOP_TIMEOUT = 5.0
_START_PAUSE = 0.005
_LOG_TAIL = 2_000


class RedisServer(Lifetime):
    """An embedded server; `async with` starts it, and its end removes every trace of it.

    Attributes:
        host: Always loopback.
        port: Free when it was chosen, kept until `aclose()`, also while the server is down.
        password: What `url` carries and `command()` authenticates with.  Set it
            after changing the default user's password on the server.
        unix_socket: The socket's path, if one was asked for.
        directory: The working directory: configuration, log, socket.

    Args:
        directives: Lines for redis.conf.  A sequence gives one line per item,
            for directives that repeat (`user`, `sentinel`); values are written
            as they are, so quote what the file format wants quoted.
        mode: `sentinel` runs the same program as a Sentinel.  Replicas
            (`{"replicaof": "127.0.0.1 6380"}`) and Cluster nodes
            (`{"cluster-enabled": "yes"}`) are servers.
        password: The default user's password.
        unix_socket: Listen on a unix socket as well.
        binary: The program; `server_binary()` when it is not given.
    """

    def __init__(
        self,
        directives: Mapping[str, Directive] | None = None,
        *,
        mode: Mode = "server",
        password: str | None = None,
        unix_socket: bool = False,
        binary: Path | None = None,
    ) -> None:
        self._binary = binary or server_binary()
        self._mode = mode
        self._process: ChildProcess | None = None
        self._reserved = ReservedPort(bus=bool(directives and "cluster-enabled" in directives))
        self.host = LOOPBACK
        self.port = self._reserved.port
        self.password = password
        self.directory = Path(tempfile.mkdtemp(prefix="redis-server-"))
        self.unix_socket = self.directory / "redis.sock" if unix_socket else None
        self._log = self.directory / "server.log"
        # Written once: a Sentinel keeps its state in it, and CONFIG REWRITE survives a restart.
        self._config = self.directory / "redis.conf"
        self._config.write_text(_render({**self._defaults(), **(directives or {})}))

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "down"
        return f"<RedisServer {self._mode} {self.host}:{self.port} {state}>"

    @property
    def url(self) -> str:
        """The server's `redis://` URL."""
        return f"redis://{self._userinfo}{self.host}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The server's `unix://` URL."""
        if self.unix_socket is None:
            raise RuntimeError(f"{self!r} has no unix socket: RedisServer(unix_socket=True)")
        return f"unix://{self._userinfo}{self.unix_socket}"

    @property
    def running(self) -> bool:
        """Whether the process lives; a paused one does."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """The process id of the server that runs now."""
        return self._live().pid

    @property
    def log(self) -> str:
        """Everything that the server has written, over all its restarts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    async def start(self) -> None:
        """Start the server and wait until it answers PING.

        Raises:
            RuntimeError: It runs already, or it ended at once; the log's tail says why.
            TimeoutError: It does not answer.
        """
        if self.running:
            raise RuntimeError(f"{self!r} is running already")
        self._reap()
        arguments: list[str | Path] = [self._binary, self._config]
        if self._mode == "sentinel":
            arguments.append("--sentinel")
        with self._log.open("ab") as log:
            process = self._process = ChildProcess(arguments, log=log, directory=self.directory)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._answers(process)
        except BaseException as error:
            self._reap()
            if isinstance(error, TimeoutError):
                raise TimeoutError(
                    f"the server on port {self.port} did not answer within {START_TIMEOUT:g} s;"
                    f" its log ends:\n{self._tail()}"
                ) from error
            raise

    async def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Shut it down in order (SIGTERM), or kill it if it has not ended after *timeout*."""
        process = self._live()
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGCONT)  # a paused process hears nothing else
        try:
            await process.wait(timeout)
        except TimeoutError:
            pass
        finally:
            self._reap()

    async def kill(self) -> None:
        """End it as a crash would (SIGKILL); works on a paused one too."""
        process = self._live()
        process.signal(signal.SIGKILL)
        await process.wait(STOP_TIMEOUT)
        self._reap()

    async def restart(self, down: float = 0.0, *, crash: bool = False) -> None:
        """Stop it, or with *crash* kill it, and start it again after *down* seconds."""
        await (self.kill() if crash else self.stop())
        await asyncio.sleep(down)
        await self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): the kernel still accepts connections, nothing answers."""
        self._live().signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server continue (SIGCONT)."""
        self._live().signal(signal.SIGCONT)

    def client(self, timeout: float = 10.0) -> Redis:
        """Make a plain redis-py client, for a test to look at the server.

        It sends nothing of its own accord but AUTH, never retries, and decodes.
        Close it, or use `async with`.
        """
        return Redis(
            host=self.host,
            port=self.port,
            password=self.password,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            protocol=2,
            decode_responses=True,
            driver_info=None,
            retry=Retry(NoBackoff(), 0),
        )

    async def command(self, *args: Any, timeout: float = 10.0) -> Any:
        """Send one command over a fresh connection and return the decoded reply.

        redis-py parses replies by the command's first word or words, so
        `command("CLIENT LIST")` gives a list of dicts, and `command("CLIENT",
        "LIST")` the server's text.  The connection counts in
        `total_connections_received`, as does one of every start.
        """
        async with self.client(timeout) as client:
            return await client.execute_command(*args)

    async def config_set(self, name: str, value: str | int) -> None:
        """Change a directive while the server runs; a restart forgets it."""
        await self.command("CONFIG SET", name, value)

    async def version(self) -> ServerVersion:
        """What the program reports about itself."""
        return server_version(self._binary)

    async def aclose(self) -> None:
        """Kill it if it runs, give the port back and remove its directory."""
        self._reap()
        self._reserved.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _userinfo(self) -> str:
        return f":{quote(self.password, safe='')}@" if self.password else ""

    def _defaults(self) -> dict[str, Directive]:
        directives: dict[str, Directive] = {
            "bind": self.host,
            "port": self.port,
            "dir": str(self.directory),
        }
        if self.password:
            directives["requirepass"] = _quoted(self.password)
        if self.unix_socket:
            directives["unixsocket"] = str(self.unix_socket)
        if self._mode == "server":
            # A replica of a test's size needs no company before its first synchronisation.
            directives |= {"save": '""', "appendonly": "no", "repl-diskless-sync-delay": 0}
            if server_version(self._binary).number >= (7,):
                directives["enable-debug-command"] = "yes"
        return directives

    def _live(self) -> ChildProcess:
        if self._process is None or not self._process.running:
            raise RuntimeError(f"the server on port {self.port} is not running")
        return self._process

    def _reap(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _tail(self) -> str:
        return self.log[-_LOG_TAIL:]

    async def _answers(self, process: ChildProcess) -> None:
        """Return at the first reply to PING that shows a server ready to serve."""
        while not await self._ping():
            if not process.running:
                raise RuntimeError(
                    f"the server on port {self.port} ended at once (exit code {process.exit_code});"
                    f" its log ends:\n{self._tail()}"
                )
            await asyncio.sleep(_START_PAUSE)

    async def _ping(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            try:
                writer.write(b"PING\r\n")
                reply = await reader.readline()
            finally:
                writer.close()
            await writer.wait_closed()
        except OSError:
            return False
        return reply.startswith((b"+PONG", b"-NOAUTH"))


async def in_step(server: RedisServer) -> bool:
    """Whether a replica has its primary's data; a primary has."""
    info = await server.command("INFO", "replication")
    return bool(info["role"] == "master" or info["master_link_status"] == "up")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _render(directives: Mapping[str, Directive]) -> str:
    lines = []
    for name, value in directives.items():
        values = [value] if isinstance(value, str | int) else value
        lines += [f"{name} {item}\n" for item in values]
    return "".join(lines)
