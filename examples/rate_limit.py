import time
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException

from redis_manager_fastapi import RedisDep, RedisManager, RedisOutageError

manager = RedisManager()
app = FastAPI(lifespan=manager)

LIMIT, WINDOW = 10, 60


async def limited(r: RedisDep, api_key: Annotated[str, Header()]) -> None:
    now = int(time.time())
    key = f"limit:{api_key}:{now // WINDOW}"
    try:
        async with r.with_options(grace=0).pipeline() as pipe:
            count, _ = await pipe.incr(key).expire(key, WINDOW).execute()
    except RedisOutageError:
        return  # nobody counts now: let requests through, or raise, and they get a 503
    if count > LIMIT:
        raise HTTPException(429, headers={"Retry-After": str(WINDOW - now % WINDOW)})


@app.get("/quotes", dependencies=[Depends(limited)])
async def quote() -> str:
    return "Everything flows."
