"""The settings that a manager's arguments mean."""

from pydantic import SecretStr

from redis_manager_fastapi.errors import RedisConfigError
from redis_manager_fastapi.settings.arguments import SettingsArguments
from redis_manager_fastapi.settings.model import RedisSettings


def check_alone(settings: RedisSettings, name: str) -> None:
    """Refuse credentials that nobody would look at."""
    fields = ("username", "password", "password_file")
    given = [field for field in fields if getattr(settings, field) is not None]
    if given:
        raise RedisConfigError(
            f"{' and '.join(given)} and credential_provider=... are both set; remove one of them.",
            instance=name,
        )


class GivenSettings:
    """What a constructor was given: no variable of a traceback shows a password in it.

    Functions hold it, because error reporters look into objects, but not into those.
    """

    def __init__(self, settings: RedisSettings | str | None, overrides: SettingsArguments) -> None:
        self._settings = lambda: settings
        self._overrides = lambda: overrides

    def resolved(self) -> RedisSettings:
        """Return the settings that it means."""
        if isinstance(given := self._settings(), RedisSettings):
            if self._overrides():
                raise TypeError("pass either settings or single fields, not both")
            return given
        del given  # it may be a URL, and no frame of what is raised from here on shows it
        if self._settings() is None:
            return RedisSettings(**self._overrides())
        if not isinstance(self._settings(), str):
            raise TypeError("settings is neither a RedisSettings nor a URL")
        if "url" in self._overrides():
            raise TypeError("the URL is given twice: as the first argument and as url=...")
        return RedisSettings(**self._with_url())

    def _with_url(self) -> SettingsArguments:
        return {**self._overrides(), "url": SecretStr(str(self._settings()))}
