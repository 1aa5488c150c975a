from typing import Any

from fastapi import FastAPI

from redis_manager_fastapi import RedisConnectionDep, RedisDep, RedisManager

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)


@app.get("/next/{queue}")
async def next_element(queue: str, r: RedisDep) -> Any:
    return await r.blpop([queue], timeout=5)  # leases a connection while it blocks


@app.post("/transfer/{source}/{target}")
async def transfer(source: str, target: str, r: RedisDep) -> bool:
    async with r.pipeline() as pipe:
        await pipe.watch(source)  # holds one connection until the block ends
        amount = await pipe.get(source)
        pipe.multi()
        pipe.set(target, amount or "")
        pipe.delete(source)
        await pipe.execute()
    return amount is not None


@app.get("/whoami")
async def whoami(r: RedisConnectionDep) -> list[int]:
    return [await r.client_id(), await r.client_id()]  # one connection, so the same id twice


@app.put("/raw/{key}")
async def put_raw(key: str, r: RedisDep) -> int:
    raw = r.with_options(decode_responses=False)  # same connections, replies as bytes
    await raw.set(key, b"\x00\xff")
    return len(await raw.get(key) or b"")
