"""The console's routes: one page, what it is made of, and the events that feed it.

It changes nothing, asks Redis nothing, and costs nothing while nobody looks.  Who may look
is the app's to say: `app.include_router(console_router, prefix="/redis", dependencies=[...])`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from hashlib import blake2b
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.responses import StreamingResponse

from redis_manager_fastapi.console.shown import happened, limits, snapshot, states
from redis_manager_fastapi.errors import RedisNotStartedError
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.observe.events import wait_for_news
from redis_manager_fastapi.web.state import get_managers

# Seconds between two looks; a change of state is shown at once.
PERIOD = 1.0

# Seconds in which several changes are shown together, so that a flood of them costs no more.
_GATHER = 0.05

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_TYPES = {"console.js": "text/javascript", "console.css": "text/css", "icon.svg": "image/svg+xml"}

_PACKAGE = "redis_manager_fastapi.console"

_STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

console_router = APIRouter(include_in_schema=False)
"""For FastAPI: `app.include_router(console_router, prefix="/redis", dependencies=[...])`."""


@console_router.get("", name="redis_console")
async def page(request: Request) -> Response:
    """Return the page; its parts are next to it, by addresses that any proxy may be before."""
    return HTMLResponse(
        static(_PACKAGE, "index.html").replace("{base}", _last(request)), headers=HEADERS
    )


@console_router.get("/")
async def page_with_slash(request: Request) -> Response:
    """Lead to the page."""
    return RedirectResponse(f"../{_last(request)}")


@console_router.get("/static/{name}")
async def part(request: Request, name: str) -> Response:
    """Return a script, a style or a picture."""
    if name not in _TYPES:
        return Response(status_code=404)
    content = static(_PACKAGE, name)
    tag = f'"{blake2b(content.encode(), digest_size=8).hexdigest()}"'
    headers = {**HEADERS, "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_TYPES[name], headers=headers)


@console_router.get("/events")
async def events(request: Request) -> Response:
    """Send how every manager stands, each second and at each change, as server-sent events.

    Raises:
        RedisNotStartedError: The app's lifespan opened no manager.
    """
    return StreamingResponse(
        _looks(get_managers(request)), media_type="text/event-stream", headers=_STREAM
    )


async def _looks(managers: list[RedisManager]) -> AsyncIterator[str]:
    yield "retry: 1000\n\n"
    yield event("instances", [{**limits(each), "states": states(each)} for each in managers])
    histories = [each.history for each in managers]
    seen = [0] * len(managers)
    while True:
        told = report(managers, seen)
        seen = [each.count for each in histories]
        yield told
        if not await wait_for_news(histories, seen, PERIOD):
            return
        await asyncio.sleep(_GATHER)


def report(managers: Sequence[RedisManager], seen: Sequence[int]) -> str:
    """Return how *managers* stand and what is news to who has *seen* so much, as an event."""
    looks = [_look(manager, number) for manager, number in zip(managers, seen, strict=True)]
    return event("look", [each for each in looks if each])


def _look(manager: RedisManager, seen: int) -> dict[str, Any]:
    named = manager.settings.log_addresses
    news = [happened(each, named=named) for each in manager.history.since(seen)]
    try:
        return {**snapshot(manager), "news": news}
    except RedisNotStartedError:
        return {}


def event(name: str, data: Any) -> str:
    """Return *data* as a server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def _last(request: Request) -> str:
    """Return the last part of the page's path."""
    return quote(request.url.path.rstrip("/").rpartition("/")[2])


def static(package: str, name: str) -> str:
    """Return a file that pages are made of, from a package's folder `static`."""
    return files(package).joinpath("static", name).read_text(encoding="utf-8")
