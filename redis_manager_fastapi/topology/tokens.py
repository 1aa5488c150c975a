"""Credential providers that push new tokens while connections are open.

redis-py's `StreamingCredentialProvider` says so to one listener.  A manager has
several pools, on an event loop that need not be the provider's.
"""

import logging
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import hiredis
from redis.credentials import CredentialProvider, StreamingCredentialProvider

from redis_manager_fastapi.topology.credentials import HiddenBytes, HiddenText

logger = logging.getLogger("redis_manager_fastapi")

Listener = Callable[[], None]


class TokenStream(CredentialProvider):
    """A streaming provider, and the pools that hear of its new tokens.

    It takes the place of the provider's one listener.

    Args:
        provider: Asked at every connect, as any provider is.
        instance: The manager's name, for the log.

    Attributes:
        version: How many tokens have been pushed.
        command: The AUTH that the last of them means, packed.
    """

    def __init__(self, provider: StreamingCredentialProvider, *, instance: str) -> None:
        self.version = 0
        self.command: bytes = b""
        self._provider = provider
        self._instance = instance
        self._listeners: dict[Listener, Any] = {}
        # redis-py's own listener is a coroutine function here; its type has plain ones only.
        take: Any = self._take
        fail: Any = self._fail
        provider.on_next(take)
        provider.on_error(fail)

    def get_credentials(self) -> Any:
        """Return the provider's credentials."""
        return self._provider.get_credentials()

    async def get_credentials_async(self) -> Any:
        """Return the same; a provider may take its time."""
        return await self._provider.get_credentials_async()

    def listen(self, listener: Listener, loop: Any) -> None:
        """Have *listener* called on *loop* after each new token."""
        self._listeners[listener] = loop

    def forget(self, listener: Listener) -> None:
        """Call *listener* no more."""
        self._listeners.pop(listener, None)

    def _take(self, token: Any) -> "_Done":
        """Hear of a new token, in whatever thread the provider runs."""
        try:
            given = _credentials(token)
        except Exception as error:
            self._fail(error)
            return _DONE
        packed: Any = hiredis.pack_command(("AUTH", *given))  # type: ignore[arg-type]
        self.command = HiddenBytes(packed)
        self.version += 1
        for listener, loop in list(self._listeners.items()):
            with suppress(RuntimeError):  # that loop is closed
                loop.call_soon_threadsafe(listener)
        return _DONE

    def _fail(self, error: Exception) -> "_Done":
        # Its text may hold anything.
        logger.warning(
            "redis %r: the credential provider could not renew the token (%s); what it gave last"
            " stays in use",
            self._instance,
            type(error).__name__,
            extra={
                "event": "redis_token_not_renewed",
                "instance": self._instance,
                "reason": type(error).__name__,
            },
        )
        return _DONE


class _Done:
    """What a provider may await, and need not: the listener has done its work."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


_DONE = _Done()


def streaming(provider: CredentialProvider | None, instance: str) -> CredentialProvider | None:
    """Return *provider*, as one whose new tokens all pools of a manager hear of if it has any."""
    if isinstance(provider, StreamingCredentialProvider):
        return TokenStream(provider, instance=instance)
    return provider


def _credentials(token: Any) -> tuple[HiddenText, ...]:
    """Return what AUTH takes: by redis-py's rule, the user is the token's `oid`."""
    given = token if isinstance(token, tuple) else (token.try_get("oid"), token.get_value())
    return tuple(HiddenText(each) for each in given if each)
