"""docs/command-line.md shows what the commands write, and names every command and step."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from redis_manager_fastapi.cli.commands import app
from redis_manager_fastapi.cli.exits import Exit
from redis_manager_fastapi.cli.reach import STEPS as REACH
from redis_manager_fastapi.cli.server import STEPS as SERVER
from redis_manager_fastapi.testing import RedisServer
from tests.kit.command_line import COMMAND
from tests.kit.servers import has
from tests.kit.serving import PATIENCE, environment

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
SESSION = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
SESSIONS = [session for block in BLOCK.findall(PAGE) for session in SESSION.findall(block)]


def shape(output: str) -> list[str]:
    """Return the words of *output*, with numbers and units of time left out."""
    words = re.sub(r"\d+(?:[.:]\d+)*(?:e-\d+)?", "#", output).split()
    return [re.sub(r"\b(ms|s)\b", "s", word) for word in words]


@pytest.mark.parametrize(("command", "shown"), SESSIONS, ids=[each[0] for each in SESSIONS])
@pytest.mark.skipif(not has(redis="99", valkey="9.0"), reason="the page shows Valkey 9")
async def test_commands_write_what_the_page_shows(
    command: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_PIPELINING__ENABLED", raising=False)  # the page has no such variable
    async with RedisServer(password="secret" if ":secret@" in command else None) as server:
        line = command.replace("127.0.0.1:6379", f"127.0.0.1:{server.port}")
        line = line.replace("redis-manager-fastapi", " ".join(COMMAND))
        process = await asyncio.create_subprocess_shell(
            line, env={**environment(), "COLUMNS": "80"}, stdout=PIPE, stderr=PIPE
        )
        async with asyncio.timeout(PATIENCE):
            written = (await process.communicate())[0].decode()

    assert shape(written) == shape(shown)


def test_the_page_has_sessions() -> None:
    assert len(SESSIONS) >= 9
    assert sys.executable in COMMAND


def test_every_command_and_step_is_explained() -> None:
    commands = {
        command.name or str(command.callback and command.callback.__name__)
        for command in app.registered_commands
    }

    assert {name for name in commands if f"| [`{name}`](#{name}) |" not in PAGE} == set()
    steps = {"settings", "sentinel", "quorum", "node", "cluster", *REACH, *SERVER}
    rows = re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert steps - named == set()


def test_every_exit_code_is_explained() -> None:
    assert [code for code in Exit if f"\n| {int(code)} | " not in PAGE] == []
