from fastapi import FastAPI
from redis_fastapi import FastAPIRedis, get_async_redis, get_rate_limit_backend
from redis_fastapi.ratelimit_backend import RateLimitBackend
from redis_fastapi.session_backend import RedisSessionStore

from redis_manager_fastapi import RedisManager


def install(app: FastAPI, manager: RedisManager) -> None:
    redis = manager.redis.with_options(decode_responses=False)
    app.dependency_overrides[get_async_redis] = lambda: redis
    app.dependency_overrides[get_rate_limit_backend] = lambda: RateLimitBackend(redis)
    sessions = RedisSessionStore(redis)
    FastAPIRedis(app).caching().rate_limiting().sessions(store=sessions)
