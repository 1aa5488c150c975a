"""`doctor`: AUTH, and what the server means when it refuses."""

from redis_manager_fastapi.cli.attempts import Attempts, Questions, known
from redis_manager_fastapi.cli.chosen import Chosen
from redis_manager_fastapi.cli.exits import exit_of
from redis_manager_fastapi.cli.findings import Report
from redis_manager_fastapi.errors import RedisAuthError, RedisUnavailableError
from redis_manager_fastapi.topology.failures import AUTH_WANTED
from redis_manager_fastapi.topology.fixes import fix_of_credentials
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
    said = AUTH_WANTED
    if "NOPERM" in str(guest):
        said = f"{guest}, for the default user"
    fix = fix_of_credentials(chosen.settings, AUTH_WANTED, chosen.at)
    report.fail("auth", said, fix, exit_of(guest))
    return None


async def _explained(
    chosen: Chosen, guest: Questions | RedisAuthError, error: RedisUnavailableError
) -> tuple[str, str]:
    """Return what a refused AUTH means, and the fix."""
    said, name = str(error), chosen.settings.username
    fix = fix_of_credentials(chosen.settings, said, chosen.at)
    if "has no password" in said or "password file" in said:
        return said, fix
    if not isinstance(error, RedisAuthError):
        return said, "look at the server's log"
    if "NOPERM" in said:
        return said, f"allow the user PING: ACL SETUSER {name or 'default'} +ping +@connection"
    if name is None:
        return said, fix
    if isinstance(guest, Questions) and await _is_unknown(guest, name):
        return f"the server has no user {name!r}", f"correct {chosen.at('username')}, or create it"
    said += f": {name!r} is no user there, is off, or has another password"
    return said, fix


async def _is_unknown(guest: Questions, name: str) -> bool:
    """Whether the server has no such user, as far as a stranger may know."""
    users = await guest.ask("ACL", "USERS")
    return isinstance(users, list) and name not in users
