"""`doctor`: AUTH, and what the server means when it refuses."""

from redis_manager_fastapi.cli.attempts import Attempts, Questions, known
from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.exits import exit_of
from redis_manager_fastapi.cli.findings import Report
from redis_manager_fastapi.errors import RedisAuthError, RedisUnavailableError
from redis_manager_fastapi.topology.interface import Target


async def authenticate(
    chosen: Chosen,
    attempts: Attempts,
    report: Report,
    target: Target,
    guest: Questions | RedisAuthError,
) -> Questions | None:
    """Connect with the credentials of the settings, if there are any; report how that went."""
    settings = chosen.settings
    if settings.password is None and settings.password_file is None:
        return _anonymous(chosen, report, guest)
    outcome = await attempts.to(known(target))
    if isinstance(outcome, Questions):
        user = f"user {settings.username!r}" if settings.username else "the default user"
        report.ok("auth", f"{user}, by {chosen.source(_secret(chosen))}")
        return outcome
    said, fix = await _explained(chosen, guest, outcome)
    report.fail("auth", said, fix, exit_of(outcome))
    return None


def _secret(chosen: Chosen) -> str:
    return "password" if chosen.settings.password_file is None else "password_file"


def _anonymous(
    chosen: Chosen, report: Report, guest: Questions | RedisAuthError
) -> Questions | None:
    if isinstance(guest, Questions):
        report.ok("auth", "the server wants no password, and none is set")
        return guest
    password, file = chosen.unset("password"), chosen.unset("password_file")
    said = "the server wants a password, and none is set"
    if "NOPERM" in str(guest):
        said = f"{guest}, for the default user"
    fix = f"set {password} or {file}, and {chosen.unset('username')} for an ACL user"
    report.fail("auth", said, fix, exit_of(guest))
    return None


async def _explained(
    chosen: Chosen, guest: Questions | RedisAuthError, error: RedisUnavailableError
) -> tuple[str, str]:
    """Return what a refused AUTH means, and the fix."""
    said, name = str(error), chosen.settings.username
    password = chosen.at(_secret(chosen))
    if "has no password" in said:
        return said, f"remove {password}, or correct the address: it may be another server"
    if "password file" in said:
        return said, f"set {password} to a file that this process can read"
    if not isinstance(error, RedisAuthError):
        return said, "look at the server's log"
    if "NOPERM" in said:
        return said, f"allow the user PING: ACL SETUSER {name or 'default'} +ping +@connection"
    if name is None:
        return said, f"correct {password}: it is not the default user's password"
    if isinstance(guest, Questions) and await _is_unknown(guest, name):
        return f"the server has no user {name!r}", f"correct {chosen.at('username')}, or create it"
    said += f": {name!r} is no user there, is off, or has another password"
    return said, f"correct {chosen.at('username')} and {password}, or create the user: ACL SETUSER"


async def _is_unknown(guest: Questions, name: str) -> bool:
    """Whether the server has no such user, as far as a stranger may know."""
    users = await guest.ask("ACL", "USERS")
    return isinstance(users, list) and name not in users
