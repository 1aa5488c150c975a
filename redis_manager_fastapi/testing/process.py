"""A child process that never outlives its parent.

Beside each child runs a guard, a shell that waits on a pipe from this process:
when the pipe closes without a word, the parent is gone, however it ended, and
the guard kills the child.  Linux' parent-death signal would not do: it follows
the thread that started the child, not the process.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_GUARD = 'read -r _ || kill -KILL "$0"'


class ChildProcess:
    """A running program and its guard; `close()` ends both."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        log: IO[bytes],
        directory: Path,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._child = subprocess.Popen(  # noqa: S603 - programs of this package's choice
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            pass_fds=pass_fds,
            start_new_session=True,  # a Ctrl-C is for the test run
        )
        self._guard = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _GUARD, str(self._child.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the child lives; a stopped (SIGSTOP) one does."""
        return self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the child ended, minus the signal's number if one killed it; None while it runs."""
        return self._child.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the child has ended."""
        self._child.send_signal(number)

    async def wait(self, timeout: float) -> None:
        """Wait for the child's end.

        Raises:
            TimeoutError: It still runs after *timeout* seconds.
        """
        if not self.running:
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        descriptor = os.pidfd_open(self.pid)
        loop.add_reader(descriptor, ended.set)
        try:
            async with asyncio.timeout(timeout):
                await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def close(self) -> None:
        """Kill whatever still runs and reap it; harmless when called again."""
        self._child.kill()
        self._child.wait()
        self._guard.kill()
        self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
