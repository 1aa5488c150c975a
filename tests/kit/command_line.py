"""The command line as an operator starts it: a process, its exit code and what it wrote."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from typing import Any

from tests.kit.serving import PATIENCE, environment

COMMAND = (sys.executable, "-m", "redis_manager_fastapi")


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
    env = {"COLUMNS": "80", **environment(**variables)}
    env.pop("WEB_CONCURRENCY", None)
    return await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, env=env, stdout=PIPE, stderr=PIPE
    )


async def run(*arguments: str, **variables: str) -> Ended:
    """Run it to its end."""
    process = await started(*arguments, **variables)
    return await ended(process)


async def ended(process: Process) -> Ended:
    """Wait for the end of a command."""
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
