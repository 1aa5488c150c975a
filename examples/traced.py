"""Each Redis command of a request is a span, printed here instead of being sent to a collector.

Run it: `uvicorn traced:app`, then `curl localhost:8000/hits/home`.
"""

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from redis_manager_fastapi import RedisDep, RedisManager
from redis_manager_fastapi.tracing import instrument

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)

redis = RedisManager()
instrument(redis)

app = FastAPI(lifespan=redis.lifespan)


@app.get("/hits/{page}")
async def hit(page: str, r: RedisDep) -> dict[str, int]:
    return {"hits": await r.incr(f"hits:{page}")}
