"""The demo, as a process."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

from tests.kit.command_line import Ended, ended
from tests.kit.serving import PATIENCE, environment


async def started(*arguments: str) -> Process:
    """Start it with these options."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "redis_manager_fastapi.demo", *arguments),
        env=environment(),
        stdout=PIPE,
        stderr=PIPE,
    )


async def run(*arguments: str) -> Ended:
    """Run it to its end."""
    return await ended(await started(*arguments))


async def address(process: Process) -> str:
    """Wait until it serves; return where."""
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(PATIENCE):
        while "Ctrl-C" not in said:
            line = (await process.stdout.readline()).decode()
            assert line, said
            said += line
    return said.split("open   ")[1].split()[0]
