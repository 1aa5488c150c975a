import time

from fastapi import FastAPI
from redis.credentials import CredentialProvider

from redis_manager_fastapi import RedisDep, RedisManager, health_router


class IamToken(CredentialProvider):
    """Gives a token that is good for a quarter of an hour, and asks for a new one in time."""

    def __init__(self, user: str) -> None:
        self.user = user
        self._token, self._good_until = "", 0.0

    async def get_credentials_async(self) -> tuple[str, str]:
        if time.monotonic() > self._good_until - 60:
            self._token = await sign_token(self.user)
            self._good_until = time.monotonic() + 900
        return self.user, self._token


async def sign_token(user: str) -> str:
    """Stands for your cloud's own library."""
    return f"token-of-{user}"


manager = RedisManager(credential_provider=IamToken("app"))

app = FastAPI(lifespan=manager)
app.include_router(health_router)


@app.post("/hits/{page}")
async def hit(page: str, r: RedisDep) -> dict[str, int]:
    return {"hits": await r.incr(f"hits:{page}")}
