"""Where a connection's user name and password come from."""

from redis.credentials import CredentialProvider

from redis_manager_fastapi.settings import RedisSettings


class FileCredentialProvider(CredentialProvider):
    """Reads the password file at every connect, so that a rotated secret needs no restart."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return `(password,)` or `(username, password)` as redis-py's AUTH wants them."""
        password = self._settings.read_password() or ""
        username = self._settings.username
        return (username, password) if username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the same; a small local file is read without a thread."""
        return self.get_credentials()
