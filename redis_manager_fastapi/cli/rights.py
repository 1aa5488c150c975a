"""`doctor`: which commands the user may run, found without running any.

A server checks a user's rights when a command is queued behind MULTI; DISCARD then
drops them all.
"""

from typing import Any

from redis.exceptions import NoPermissionError

from redis_manager_fastapi.cli.attempts import Questions
from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.exits import Exit
from redis_manager_fastapi.cli.findings import Report

_KEY = "redis-manager-fastapi:doctor"

_NEEDED = {
    "reads": (("GET", _KEY), ("HGETALL", _KEY), ("EXISTS", _KEY), ("TTL", _KEY)),
    "writes": (("SET", _KEY, "1"), ("DEL", _KEY), ("INCR", _KEY), ("EXPIRE", _KEY, "1")),
    "queues": (("LPUSH", _KEY, "1"), ("BLPOP", _KEY, "1"), ("XADD", _KEY, "*", "a", "1")),
    "scripts": (("EVAL", "return 1", "0"),),
    "pub/sub": (("PUBLISH", _KEY, "1"),),
}
"""What apps commonly run, by what they do with it."""


async def check_rights(chosen: Chosen, report: Report, questions: Questions) -> None:
    """Report which of the commands that are commonly needed the user may not run."""
    name = await _user(chosen, questions)
    forbidden = await _forbidden(questions)
    if forbidden is None:
        fix = f"allow it: ACL SETUSER {name} +@transaction"
        report.warn("acl", f"{name!r} may not run MULTI; no other right was tried", fix)
        return
    if "PING" in forbidden:
        fix = f"allow it: ACL SETUSER {name} +ping"
        said = f"{name!r} may not run PING, which every connection needs (NOPERM)"
        report.fail("acl", said, fix, Exit.CREDENTIALS, user=name, forbidden=forbidden)
    elif forbidden:
        allowed = " ".join(f"+{each.lower()}" for each in forbidden)
        fix = f"if the app needs them: ACL SETUSER {name} {allowed} ~* &*"
        said = f"{name!r} may not run {', '.join(forbidden)} (NOPERM)"
        report.warn("acl", said, fix, user=name, forbidden=forbidden)
    else:
        said = f"{name!r} may run {', '.join(_NEEDED)}"
        report.ok("acl", said, user=name, forbidden=[])


async def _user(chosen: Chosen, questions: Questions) -> str:
    """Return the user's name, by the server if it says."""
    name = await questions.ask("ACL", "WHOAMI")
    return name if isinstance(name, str) else chosen.settings.username or "default"


async def _forbidden(questions: Questions) -> list[str] | None:
    """Return the commands that the user may not run; None if that cannot be found out."""
    found = [] if not _refused(await questions.ask("PING")) else ["PING"]
    if _refused(await questions.ask("MULTI")):
        return found or None
    needed = [command for commands in _NEEDED.values() for command in commands]
    found += [command[0] for command in needed if _refused(await questions.ask(*command))]
    await questions.ask("DISCARD")
    return found


def _refused(reply: Any) -> bool:
    return isinstance(reply, NoPermissionError) or str(reply).startswith("NOPERM")
