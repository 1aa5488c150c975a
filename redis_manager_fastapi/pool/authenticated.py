"""A connection that takes a renewed token before it is leased again."""

import asyncio

import redis.exceptions as redis_errors

from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.pool.listening import ListeningConnection
from redis_manager_fastapi.topology.tokens import TokenStream


class AuthenticatedConnection(ListeningConnection):
    """A connection that knows which of a provider's tokens it is authenticated with.

    Attributes:
        tokens: What pushes tokens that it has to have, if anything does.
        token: The number of the one that it has.
    """

    tokens: TokenStream | None = None
    token: int = 0

    async def takes_token(self) -> bool:
        """Send the last token if it has not been sent; return whether the server has taken it."""
        tokens = self.tokens
        if tokens is None or self.token == tokens.version:
            return True
        version = tokens.version
        try:
            async with asyncio.timeout(self.socket_connect_timeout):
                await self.send_packed_command(tokens.command)
                await self.read_response()
        except (redis_errors.RedisError, RedisManagerError, TimeoutError):
            return False
        self.token = version
        return True
