"""Several deployments of one app, by name, with one lifespan."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.lifespan import Openable, state_of
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.observe.bus import checked
from redis_manager_fastapi.observe.events import Listener
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.settings.aliases import KNOWN_ALIASES
from redis_manager_fastapi.settings.environment import read_variables
from redis_manager_fastapi.settings.given import GivenSettings
from redis_manager_fastapi.settings.sources import setting_paths
from redis_manager_fastapi.tasks import end

logger = logging.getLogger("redis_manager_fastapi")

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

# The variables of an instance that is called like the beginning of a setting would be others'.
_TAKEN = {
    re.split("[._]", name.lower())[0]
    for name in (*setting_paths(RedisSettings), *KNOWN_ALIASES, "service")
}


class RedisRegistry(Mapping[str, RedisManager], Openable):
    """The managers of one app, by name: `registry["cache"]`.

    Making one does no I/O.  Open it with the app's lifespan,
    `FastAPI(lifespan=registry.lifespan)`, or with `async with registry:`.  The managers
    open side by side and close one after another, the last one first.

    Args:
        managers: Managers, each under its own name.
        instances: More of them by name: settings, a Redis URL, or a manager of that name.

    Raises:
        RedisConfigError: A setting is wrong, or a name is missing, given twice, or not
            the manager's own.
    """

    def __init__(
        self, *managers: RedisManager, **instances: RedisSettings | str | RedisManager
    ) -> None:
        given = {name: _Given(value) for name, value in instances.items()}
        del instances  # a URL may hold a password
        self._managers: dict[str, RedisManager] = {}
        for manager in managers:
            self._add(_checked(manager))
        for name, value in given.items():
            self._add(value.manager(name))
        if not self._managers:
            raise RedisConfigError(
                "a RedisRegistry needs an instance at least; name one, as in"
                " RedisRegistry.from_env('cache', 'queue')"
            )

    @classmethod
    def from_env(cls, *names: str, listeners: Iterable[Listener] = ()) -> Self:
        """Make a manager for each name from the variables that begin with it.

        `RedisRegistry.from_env("default", "cache")` reads `REDIS_URL` and what else
        begins with `REDIS_` for the first, and `REDIS_CACHE_URL` and its like for the second.

        Args:
            names: Lower-case words; underscores may join them.
            listeners: Called with each `Event` of every manager.

        Raises:
            RedisConfigError: A setting or a name is wrong; it has one sentence for each
                mistake, of all instances.
        """
        listeners = checked(listeners)
        problems = [problem for name in names if (problem := _problem(name))]
        settings: dict[str, RedisSettings] = {}
        for name in names if not problems else ():
            try:
                settings[name] = _settings_of(name)
            except RedisConfigError as error:
                problems.append(str(error))
        if problems:
            raise RedisConfigError("\n".join(problems))
        if len(settings) < len(names):
            raise RedisConfigError(_twice(next(name for name in names if names.count(name) > 1)))
        return cls(
            *(
                RedisManager(found, name=name, listeners=listeners)
                for name, found in settings.items()
            )
        )

    def __repr__(self) -> str:
        return f"<RedisRegistry {', '.join(map(repr, self._managers.values()))}>"

    def __getitem__(self, name: str) -> RedisManager:
        try:
            return self._managers[name]
        except KeyError:
            known = ", ".join(map(repr, self._managers))
            message = f"no Redis instance is named {name!r}; this registry has {known}"
            raise KeyError(message) from None

    # A mapping's would look at all of it.
    __eq__ = object.__eq__
    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]  # a mapping has None

    def __iter__(self) -> Iterator[str]:
        return iter(self._managers)

    def __len__(self) -> int:
        return len(self._managers)

    # Opening and closing.

    async def open(self, *, workers: bool = True) -> None:
        """Open every manager, side by side; if one cannot start, none stays open.

        Args:
            workers: Whether registered handlers and loops begin now; else `working()` runs them.

        Raises:
            RedisUnavailableError: One did not start, by its start-up policy; the first
                in the order of the registry that did not.
            RedisManagerError: One is already open.
        """
        opening = {
            asyncio.create_task(each.open(workers=workers)): each
            for each in self._managers.values()
        }
        try:
            done, _ = await asyncio.wait(opening, return_when=asyncio.FIRST_EXCEPTION)
            failed = [error for task in opening if task in done and (error := task.exception())]
        except BaseException:
            await self._give_up(opening)
            raise
        if failed:
            await self._give_up(opening)
            raise failed[0]

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run what is registered with each, for a registry that was opened without it."""
        async with AsyncExitStack() as stack:
            for manager in self._managers.values():
                await stack.enter_async_context(manager.working())
            yield

    async def aclose(self) -> None:
        """Close one manager after another, the last one first; each has its own `shutdown.drain`.

        Every one is closed, also if closing another one fails or is cancelled.
        """
        await _close(list(self._managers.values()))

    def lifespan_state(self) -> dict[str, Any]:
        """Return the lifespan state in which apps find the managers."""
        return state_of(*self._managers.values())

    # Inside.

    def _add(self, manager: RedisManager) -> None:
        if manager.name in self._managers:
            raise RedisConfigError(_twice(manager.name), instance=manager.name)
        self._managers[manager.name] = manager

    async def _give_up(self, opening: Mapping[asyncio.Task[None], RedisManager]) -> None:
        """End what is still opening, and close what is open."""
        await end(set(opening))
        await _close(
            [
                manager
                for task, manager in opening.items()
                if not task.cancelled() and task.exception() is None
            ]
        )


async def _close(managers: list[RedisManager]) -> None:
    """Close *managers*, the last one first, whatever becomes of the others."""
    while managers:
        try:
            await managers.pop().aclose()
        except BaseException:
            await _close(managers)
            raise


class _Given:
    """What was given for a name: no variable of a traceback shows a password in it."""

    def __init__(self, value: RedisSettings | str | RedisManager) -> None:
        self._manager = value if isinstance(value, RedisManager) else None
        self._settings = None if isinstance(value, RedisManager) else GivenSettings(value, {})

    def manager(self, name: str) -> RedisManager:
        """Return the manager of that name."""
        if self._settings is not None:
            return RedisManager(self._settings.resolved(), name=name)
        manager = _checked(self._manager)
        if manager.name != name:
            raise RedisConfigError(
                f"the manager given as {name!r} is named {manager.name!r}; give it the same name,"
                f" RedisManager(name={name!r})",
                instance=name,
            )
        return manager


def _checked(manager: Any) -> RedisManager:
    if not isinstance(manager, RedisManager):
        raise TypeError(
            f"a RedisRegistry takes managers, not {type(manager).__name__}; give settings or a"
            " URL by name, as in RedisRegistry(cache='redis://...')"
        )
    return manager


def _settings_of(name: str) -> RedisSettings:
    prefix = _prefix(name)
    if not read_variables(RedisSettings, prefix, None):
        logger.warning(
            "redis %r is at localhost:6379, because no variable begins with %s",
            name,
            prefix,
            extra={"event": "redis_not_configured", "instance": name, "prefix": prefix},
        )
    return RedisSettings(_env_prefix=prefix)


def _problem(name: Any) -> str | None:
    """Return what is wrong with the name of an instance that has variables of its own."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return (
            f"{name!r} does not name an instance, because its variables begin with its name,"
            " such as REDIS_CACHE_URL; take lower-case letters, digits and single underscores"
        )
    if (word := name.partition("_")[0]) in _TAKEN:
        return (
            f"{name!r} does not name an instance, because variables that begin with"
            f" REDIS_{word.upper()} are those of the default one; take another name"
        )
    return None


def _prefix(name: str) -> str:
    return "REDIS_" if name == "default" else f"REDIS_{name.upper()}_"


def _twice(name: str) -> str:
    return f"two instances of a RedisRegistry are named {name!r}; give each its own name"
