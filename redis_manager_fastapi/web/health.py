"""Liveness and readiness, answered from what is known: neither calls Redis."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from redis_manager_fastapi.pool.state import PoolStats
from redis_manager_fastapi.web.responses import RETRY_AFTER
from redis_manager_fastapi.web.state import get_managers

# How many channels an answer names, and how many characters of each.
_NAMED, _LONGEST = 10, 64


async def livez(request: Request) -> PlainTextResponse:
    """Say that the process runs; restarting it would not fix Redis."""
    return PlainTextResponse("ok")


async def readyz(request: Request) -> JSONResponse:
    """Say whether commands would be sent now: 200, or 503 with each state and reason.

    A manager with `REDIS_CRITICAL=false` is shown but does not change the status.

    Raises:
        RedisNotStartedError: The app's lifespan opened no manager.
    """
    managers = get_managers(request)
    ready = all(manager.is_ready for manager in managers if manager.settings.critical)
    body = {
        "status": "ready" if ready else "unavailable",
        "redis": {manager.name: _shown(manager.stats()) for manager in managers},
    }
    if ready:
        return JSONResponse(body)
    return JSONResponse(body, 503, headers={"Retry-After": RETRY_AFTER})


def _shown(stats: PoolStats) -> dict[str, str]:
    reasons = [] if stats.serving else [stats.reason]
    if stats.realtime is not None and stats.realtime.subscriptions.deaf:
        reasons.append(_deaf(stats.realtime.subscriptions.deaf))
    shown = {"state": stats.state.value}
    return {**shown, "reason": "; ".join(reasons)} if reasons else shown


def _deaf(names: tuple[str, ...]) -> str:
    """Name the channels that are not heard: a few of them, and not all of a long name."""
    named = [ascii(name[:_LONGEST] + "..." * (len(name) > _LONGEST)) for name in names[:_NAMED]]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"not subscribed to {', '.join(named)}{more}"


HEALTH_ROUTES = (
    Route("/livez", livez, include_in_schema=False),
    Route("/readyz", readyz, include_in_schema=False),
)
"""For `routes=` of a Starlette app."""

health_router = APIRouter(routes=list(HEALTH_ROUTES))
"""For FastAPI: `app.include_router(health_router)`."""
