from fastapi import FastAPI
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader

from redis_manager_fastapi import RedisDep, RedisManager
from redis_manager_fastapi.metrics.otel import observe_metrics

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)

set_meter_provider(MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())]))
observe_metrics(manager)


@app.post("/hits/{page}")
async def hit(page: str, r: RedisDep) -> int:
    return await r.incr(f"hits:{page}")
