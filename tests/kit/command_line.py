"""The command line as an operator starts it: a process, its exit code and what it wrote.

A hundred of them would spend a minute on imports, so `run` forks each from a process that
has imported everything and done nothing else.
"""

import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis_manager_fastapi.cli.start import main
from tests.kit.serving import PATIENCE, environment

COMMAND = (sys.executable, "-m", "redis_manager_fastapi")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["redis_manager_fastapi.cli.commands", "tests.kit.command_line"])


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        code: Its exit code.
        out: What it wrote.
        err: What it complained.
    """

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it wrote, as the one JSON document that it is."""
        return json.loads(self.out)

    def step(self, name: str) -> dict[str, Any]:
        """Return the first finding about a step, of `doctor --json`."""
        found: dict[str, Any] = next(
            each for each in self.document["steps"] if each["step"] == name
        )
        return found

    @property
    def failed(self) -> list[str]:
        """The steps that failed, of `doctor --json`."""
        return [each["step"] for each in self.document["steps"] if each["outcome"] == "fail"]


async def started(*arguments: str, **variables: str) -> Process:
    """Start the command line with these `REDIS_*` and no others, 80 columns wide."""
    return await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, env=_variables(variables), stdout=PIPE, stderr=PIPE
    )


async def ended(process: Process) -> Ended:
    """Wait for the end of a command."""
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def run(*arguments: str, **variables: str) -> Ended:
    """Run it to its end, as `started` does."""
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name, "out"), Path(name, "err")
        fork = _FORKS.Process(target=_become, args=(arguments, _variables(variables), out, err))
        fork.start()
        gone, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(fork.sentinel, gone.set)
        try:
            async with asyncio.timeout(PATIENCE):
                await gone.wait()
        finally:
            loop.remove_reader(fork.sentinel)
            fork.kill()
            fork.join()
        assert fork.exitcode is not None
        return _told(fork.exitcode, out, err)


def _told(code: int, out: Path, err: Path) -> Ended:
    return Ended(code, out.read_text(), err.read_text())


def _variables(variables: dict[str, str]) -> dict[str, str]:
    env = {"COLUMNS": "80", **environment(**variables)}
    env.pop("WEB_CONCURRENCY", None)
    return env


def _become(arguments: tuple[str, ...], env: dict[str, str], out: Path, err: Path) -> None:
    """Be the command line, in a process of its own."""
    for file, number in ((out, 1), (err, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["redis-manager-fastapi", *arguments]
    sys.exit(main())
