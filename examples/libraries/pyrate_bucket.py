from typing import Any

from pyrate_limiter import Limiter, Rate, RedisBucket
from pyrate_limiter.buckets.redis_bucket import LuaScript
from redis.exceptions import NoScriptError

from redis_manager_fastapi import RedisManager


class LastingBucket(RedisBucket):
    async def put(self, item: Any) -> Any:
        try:
            return await super().put(item)
        except NoScriptError:  # the server has been restarted
            await self.redis.script_load(LuaScript.PUT_ITEM)
            return await super().put(item)


async def make_limiter(manager: RedisManager, *rates: Rate) -> Limiter:
    return Limiter(await LastingBucket.init(list(rates), manager.redis, "bucket"))
