"""Which deployment the options and the environment mean, and where each setting came from."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.settings import RedisSettings, Source
from redis_manager_fastapi.settings.aliases import ENVIRONMENT_ALIASES
from redis_manager_fastapi.settings.layers import canonical
from redis_manager_fastapi.settings.place import IN_URL, address_of
from redis_manager_fastapi.settings.sources import setting_paths
from redis_manager_fastapi.topology.fixes import switch_tls

_LOGGER = "redis_manager_fastapi"


# What a URL calls the settings that it holds.
@dataclass(frozen=True, slots=True)
class Chosen:
    """One deployment.

    Attributes:
        name: The manager's name.
        settings: Its settings.
        notes: What is odd about the environment, one sentence each.
        by_option: Whether `--url` was given.
        env_file: The file that variables were read from too.
    """

    name: str
    settings: RedisSettings
    notes: tuple[str, ...] = ()
    by_option: bool = False
    env_file: Path | None = None

    def source(self, path: str) -> str:
        """Return what gave a setting its value, such as `REDIS_URL`."""
        origin = self.settings.origin(path)
        if origin.source is Source.DEFAULT:
            return "default"
        if path == "url" and origin.source is Source.ARGUMENT:
            return "--url"
        if origin.source is Source.URL and self.by_option:
            return "--url"
        kinds = {Source.ALIAS: " (alias)", Source.SERVICE_LINK: " (service link)"}
        return f"{origin.variable}{self._file(origin.variable)}{kinds.get(origin.source, '')}"

    def at(self, path: str) -> str:
        """Return where a setting is to be changed, for the middle of a sentence."""
        origin = self.settings.origin(path)
        if origin.source is Source.URL:
            return f"the {IN_URL.get(path, path)} in {self.source(path)}"
        return f"{origin.variable}{self._file(origin.variable)}"

    def switch_tls(self, *, on: bool) -> str:
        """Return how TLS is turned on, or off, for the middle of a sentence."""
        return switch_tls(self.settings, self.source("url"), on=on)

    @property
    def place(self) -> str:
        """Where Redis is, by the settings."""
        return address_of(self.settings)

    def _file(self, variable: str) -> str:
        if self.env_file is None or variable in {name.upper() for name in os.environ}:
            return ""
        return f" in {self.env_file}"


def choose(name: str | None, url: str | None, env_file: Path | None) -> Chosen:
    """Read the settings of a deployment: `REDIS_*`, or with a name `REDIS_NAME_*`.

    Raises:
        RedisConfigError: A setting is wrong, or the name cannot be part of a variable's.
    """
    prefix, instance = _prefix(name), name or "default"
    if env_file is not None and not env_file.is_file():
        raise RedisConfigError(f"--env-file is {env_file}, which is not a file.", instance=instance)
    with _heard() as warnings:
        settings = _settings(prefix, url, env_file)
    notes = dict.fromkeys((*warnings, *_overruled(settings, prefix, by_option=url is not None)))
    return Chosen(instance, settings, tuple(notes), url is not None, env_file)


def _settings(prefix: str, url: str | None, env_file: Path | None) -> RedisSettings:
    if url is None:
        return RedisSettings(_env_prefix=prefix, _env_file=env_file)
    return RedisSettings(_env_prefix=prefix, _env_file=env_file, url=SecretStr(url))


def _prefix(name: str | None) -> str:
    if name is None:
        return "REDIS_"
    word = name.upper().replace("-", "_")
    if not re.fullmatch(r"[A-Z0-9]\w*", word, re.ASCII):
        raise RedisConfigError(
            f"--name is {name!r}; set it to letters, digits, - and _, such as cache "
            "for REDIS_CACHE_*."
        )
    return f"REDIS_{word}_"


def _overruled(settings: RedisSettings, prefix: str, *, by_option: bool) -> Iterator[str]:
    """Tell of variables that are set, and give nothing because something stronger does."""
    given = {name.upper() for name, value in os.environ.items() if value}
    names = {canonical(prefix, path): path for path in setting_paths(RedisSettings)}
    names |= {prefix + alias: path for alias, path in ENVIRONMENT_ALIASES.items()}
    for name in sorted(names.keys() & given):
        origin = settings.origin(names[name])
        if origin.source in (Source.VARIABLE, Source.ALIAS) and origin.variable == name:
            continue
        if origin.source is Source.SERVICE_LINK and origin.variable == name:
            continue
        stronger = "--url" if by_option else origin.variable
        if origin.source is Source.DEFAULT or stronger == name:
            stronger = "--url" if by_option else f"another way to say it ({prefix}URL, say)"
        yield f"{name} is set and has no effect; {stronger} goes first"


class Collector(logging.Handler):
    """Keeps the messages of what is logged.

    Attributes:
        heard: Those so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.heard.append(record.getMessage())


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what the library logs meanwhile."""
    handler = Collector()
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(handler)
    try:
        yield handler.heard
    finally:
        logger.removeHandler(handler)


def silence_log() -> None:
    """Keep the library's log out of a command's output: the command says it itself."""
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
