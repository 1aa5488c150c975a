from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from redis_manager_fastapi import HEALTH_ROUTES, RedisManager, get_manager

manager = RedisManager()


async def hit(request: Request) -> JSONResponse:
    page = request.path_params["page"]
    async with get_manager(request).client() as r:
        return JSONResponse({"hits": await r.incr(f"hits:{page}")})


app = Starlette(
    routes=[Route("/hits/{page}", hit, methods=["POST"]), *HEALTH_ROUTES],
    lifespan=manager.lifespan,
)
