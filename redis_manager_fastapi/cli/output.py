"""What reaches the terminal: plain ASCII, with colours where somebody looks at it."""

import json
import sys
import textwrap
from typing import Any

from rich.console import Console
from rich.text import Text

from redis_manager_fastapi.cli.exits import Exit

_NARROWEST = 30


def console(*, error: bool = False) -> Console:
    """Return a console; without colour if it is no terminal, or NO_COLOR is set."""
    return Console(stderr=error, highlight=False, emoji=False, markup=False)


def say(text: str | Text, *, error: bool = False) -> None:
    """Write a line, which only a terminal breaks: a log, or grep, wants it whole."""
    console(error=error).print(text, soft_wrap=True)


def wrapped(text: str, *, indent: int = 0) -> list[str]:
    """Return *text* as lines that fit the terminal after *indent* columns."""
    return textwrap.wrap(text, max(console().width - indent, _NARROWEST)) or [""]


def say_json(value: Any) -> None:
    """Write one JSON document on a line of its own, at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def fail(error: BaseException, code: Exit, *, as_json: bool, place: str = "") -> int:
    """Say why a command failed, and at which place it looked; return its exit code."""
    text = str(error) or type(error).__name__
    if as_json:
        where = {"place": place} if place else {}
        say_json({"ok": False, "exit_code": int(code), **where, "error": text})
        return code
    for line in text.splitlines():
        said = f"{place}: {line}" if place else line
        say(Text.assemble(("fail", "bold red"), f"  {said}"), error=True)
    if place:
        say("      redis-manager-fastapi doctor says more", error=True)
    return code
