"""The context manager that hands out a client and ends it."""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from redis_manager_fastapi.delivery.session import Scope
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.pacing import turnstile
from redis_manager_fastapi.supervision.deployment import Deployment, Opened

logger = logging.getLogger("redis_manager_fastapi")

C = TypeVar("C")


class ClientScope(Scope, Generic[C]):
    """Hands out a client, and releases what it left open.

    Entering counts the client and refuses a closed pool; it takes no
    connection.  Leaving never waits for the network.  As neither waits, `with`
    does the same as `async with`.

    Args:
        deployment: Where the client's commands go.
        scoped: Makes a client that ends with a scope.
    """

    __slots__ = ("_deployment", "_opened", "_scoped")

    def __init__(self, deployment: Deployment[Any], scoped: Callable[[Scope], C]) -> None:
        self.ended, self.leases, self.instance = False, None, deployment.instance
        self._deployment = deployment
        self._scoped = scoped
        self._opened: Opened | None = None

    def __enter__(self) -> C:
        opened: Opened = self._deployment.opened or self._deployment.require()
        opened.check_usable()
        opened.clients += 1
        self._opened = opened
        return self._scoped(self)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ended = True
        if self._opened is not None:
            self._opened.clients -= 1
            if self.leases:
                self._release_forgotten(self._opened)

    async def __aenter__(self) -> C:
        try:
            return self.__enter__()
        except RedisManagerError:
            await turnstile().refused()
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    if not TYPE_CHECKING:  # checkers name an unknown attribute themselves

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}; it hands out the client"
                " that has commands: `async with manager.client() as r:`"
            )

    def _release_forgotten(self, opened: Opened) -> None:
        forgotten = opened.revoke(self.leases or ())
        if forgotten:
            left = sorted(set(forgotten))
            logger.warning(
                "redis %r: closed what a request or `async with` block left open: %s;"
                " close it yourself, ideally with `async with`",
                self.instance,
                ", ".join(left),
                extra={"event": "redis_left_open", "instance": self.instance, "left": left},
            )
