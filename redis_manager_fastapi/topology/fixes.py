"""What to do about a server that is not reached, or refuses: for the start's errors and `doctor`.

No sentence here holds a host, a user or a password.
"""

from collections.abc import Callable
from functools import partial

from redis_manager_fastapi.errors import RedisAuthError, RedisPermissionError, RedisTLSError
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.settings.layers import Source
from redis_manager_fastapi.settings.place import changed_at, place_of, source_of
from redis_manager_fastapi.topology.credentials import chain
from redis_manager_fastapi.topology.failures import (
    AUTH_WANTED,
    BY_TLS,
    UNRESOLVED,
    Door,
    TLSFault,
    door_of,
    tls_fault,
)

At = Callable[[str], str]
"""Says where a setting is to be changed, for the middle of a sentence."""


def door_in(error: BaseException) -> Door | None:
    """Return which word at the door *error*, or what caused it, is."""
    return next((door for link in chain(error) if (door := door_of(link))), None)


def fix_of(settings: RedisSettings, error: Exception) -> str:
    """Return what to do about an *error* that keeps Redis from being reached."""
    at, place, said = partial(changed_at, settings), place_of(settings), str(error)
    if isinstance(error, RedisPermissionError):
        return "give the user these rights in the server's ACL"
    if isinstance(error, RedisAuthError):
        return fix_of_credentials(settings, said, at)
    without_tls = switch_tls(settings, source_of(settings, "url"), on=False)
    if isinstance(error, RedisTLSError):
        if tls_fault(error) is TLSFault.NO_TLS:
            return f"{without_tls}, or {place.correction}"
        return f"check {settings.variable('tls.enabled').removesuffix('ENABLED')}*"
    if "address_map: " in said:
        return f"correct {at('address_map')}"
    door = door_in(error)
    if door is Door.SPEAKS_TLS:
        return switch_tls(settings, source_of(settings, "url"), on=True)
    if door is not None:
        return fix_of_door(door, at, place.correction)
    if UNRESOLVED in said:
        return f"{place.correction}, or this machine's DNS or /etc/hosts"
    if BY_TLS in said:
        return f"{place.fix}; or, if the server does not speak TLS there, {without_tls}"
    return place.fix


def fix_of_door(door: Door, at: At, correction: str) -> str:
    """Return what to do about what a server says before it serves at all.

    Args:
        door: What it says; not that it speaks TLS.
        at: Says where a setting is to be changed.
        correction: How another place is looked in.
    """
    fixes = {
        Door.PROTECTED: "set a password on the server and here, or protected-mode no on the server",
        Door.FULL: "raise maxclients on the server, or close clients: CLIENT LIST names them",
        Door.NO_RESP3: f"set {at('protocol')} to 2, or upgrade the server to 6.0 or later",
        Door.NO_DATABASE: f"set {at('db')} to one that the server has",
        Door.CLUSTER: f"set {at('db')} to 0: a Cluster has no other",
        Door.NO_CLUSTER: f"{correction}: the server there runs without a Cluster",
        Door.NOT_REDIS: f"{correction}: another service listens there",
    }
    return fixes[door]


def fix_of_credentials(settings: RedisSettings, said: str, at: At) -> str:
    """Return what to do about refused credentials.

    Args:
        settings: They have them, or do not.
        said: The error's words.
        at: Says where a setting is to be changed.
    """
    of_sentinels = "Sentinel" in said
    group, start = (settings.sentinel, "sentinel.") if of_sentinels else (settings, "")
    file = settings.password_file is not None and not start
    password, user = at("password_file" if file else f"{start}password"), at(f"{start}username")
    if AUTH_WANTED in said:
        given = password if start else f"{password} or {at('password_file')}"
        return f"set {given}, and {user} for an ACL user"
    if "has no password" in said:
        return f"remove {password}, or correct the address: it may be another server"
    if "password file" in said:
        return f"set {password} to a file that this process can read"
    if group.password is None and not file:
        return "look at the credential provider, which gave what the server refused"
    if group.username is None:
        return f"correct {password}: it is not the default user's password"
    return f"correct {user} and {password}, or create the user: ACL SETUSER"


def switch_tls(settings: RedisSettings, url: str, *, on: bool) -> str:
    """Return how TLS is turned on, or off, for the middle of a sentence; *url* names the URL."""
    given = settings.origin("url").source is not Source.DEFAULT
    if given or settings.origin("host").source is Source.URL:
        return f"start {url} with {'rediss' if on else 'redis'}://"
    return f"set {settings.variable('tls.enabled')}={str(on).lower()}"
