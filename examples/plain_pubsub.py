from fastapi import FastAPI

from redis_manager_fastapi import Redis, RedisDep, RedisManager

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)
heard: list[str] = []


async def hear(r: Redis) -> None:
    async with r.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe("news")
        async for message in pubsub.listen():  # goes on after a restart of Redis
            heard.append(message["data"])


@manager.background
async def listener() -> None:
    await hear(manager.redis)


@app.post("/news/{text}")
async def publish(text: str, r: RedisDep) -> int:
    return int(await r.publish("news", text))


@app.get("/heard")
async def last_heard() -> list[str]:
    return heard
