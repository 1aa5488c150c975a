"""The console's routes: one page, what it is made of, and the events that feed it.

It changes nothing, asks Redis nothing, and costs nothing while nobody looks.  Who may look
is the app's to say: `app.include_router(console_router, prefix="/redis", dependencies=[...])`.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import blake2b
from importlib.resources import files
from random import uniform
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.responses import StreamingResponse

from redis_manager_fastapi.console.shown import limits, news, snapshot
from redis_manager_fastapi.errors import RedisNotStartedError
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.observe.bus import wait_for_news
from redis_manager_fastapi.web.state import get_managers

# Seconds between two looks; a change of state is shown at once.
PERIOD = 1.0

# Seconds in which several changes are shown together, so that a flood of them costs no more.
_GATHER = 0.05

# After so many seconds, by chance between these two, a stream ends, and the browser asks for the
# next one: whoever may look no longer, because a session is over, sees no more than that.
_LASTS = (30.0, 60.0)

# After so many characters, too: so many a server takes without waiting for the reader, so that
# one that has stopped reading leaves no response that cannot end.
_MOST = 65_536

# Milliseconds after which a browser connects again: to an app that is away, and at once.
_RETRY, _NEXT = 1000, 200

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

_PACKAGE = "redis_manager_fastapi.console"

_EVENTS = "text/event-stream"

_STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_READ = ["GET", "HEAD"]

console_router = APIRouter(include_in_schema=False)
"""For FastAPI: `app.include_router(console_router, prefix="/redis", dependencies=[...])`."""


@console_router.api_route("", methods=_READ, name="redis_console")
async def page(request: Request) -> Response:
    """Return the page; its parts are next to it, by addresses that any proxy may be before."""
    return HTMLResponse(
        static(_PACKAGE, "index.html").replace("{base}", _last(request)), headers=HEADERS
    )


@console_router.api_route("/", methods=_READ)
async def page_with_slash(request: Request) -> Response:
    """Lead to the page."""
    return RedirectResponse(f"../{_last(request)}")


@console_router.api_route("/static/{name}", methods=_READ)
async def part(request: Request, name: str) -> Response:
    """Return a script, a style or a picture."""
    kind = _TYPES.get(name[name.rfind(".") :])
    if kind is None or name not in _parts():
        return Response(status_code=404)
    content = static(_PACKAGE, name)
    tag = f'"{blake2b(content.encode(), digest_size=8).hexdigest()}"'
    headers = {**HEADERS, "ETag": tag}
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


@console_router.api_route("/events", methods=_READ)
async def events(request: Request) -> Response:
    """Send how every manager stands, each second and at each change, as server-sent events.

    Raises:
        RedisNotStartedError: The app's lifespan opened no manager.
    """
    managers = get_managers(request)
    if request.method == "HEAD":
        return Response(media_type=_EVENTS, headers=_STREAM)
    known = _known(request.headers.get("last-event-id", ""))
    return StreamingResponse(_looks(managers, known), media_type=_EVENTS, headers=_STREAM)


async def _looks(managers: list[RedisManager], known: Mapping[str, int]) -> AsyncIterator[str]:
    yield f"retry: {_RETRY}\n\n"
    histories = [each.history for each in managers]
    yield event("instances", [limits(each) for each in managers])
    seen = [known.get(each.mark, 0) for each in histories]
    clock = asyncio.get_running_loop().time
    sent, ends = 0, clock() + uniform(*_LASTS)  # noqa: S311 (spreads load)
    while sent < _MOST and clock() < ends:
        told = report(managers, seen)
        seen = [each.count for each in histories]
        last = " ".join(f"{each.mark}.{each.count}" for each in histories)
        yield f"id: {last}\n{told}"
        sent += len(told)
        if not await wait_for_news(histories, seen, PERIOD):
            return
        await asyncio.sleep(_GATHER)
    yield f"retry: {_NEXT}\n\n"


def _known(last: str) -> dict[str, int]:
    """Return how much news of each history was sent already, by the last event's ID."""
    found = re.findall(r"([0-9a-f]{8})\.(\d{1,15})(?!\S)", last, re.ASCII)
    return {mark: int(count) for mark, count in found}


def report(managers: Sequence[RedisManager], seen: Sequence[int]) -> str:
    """Return how *managers* stand and what is news to who has *seen* so much, as an event."""
    looks = [_look(manager, number) for manager, number in zip(managers, seen, strict=True)]
    return event("look", [each for each in looks if each])


def _look(manager: RedisManager, seen: int) -> dict[str, Any]:
    told = news(manager, seen)
    try:
        return {**snapshot(manager), **told}
    except RedisNotStartedError:
        return {}


def event(name: str, data: Any) -> str:
    """Return *data* as a server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def _last(request: Request) -> str:
    """Return the last part of the page's path."""
    return quote(request.url.path.rstrip("/").rpartition("/")[2])


def _has(known: str, tag: str) -> bool:
    """Whether `If-None-Match` says that the content is *known*; a weak tag will do."""
    tags = {each.strip().removeprefix("W/") for each in known.split(",")}
    return tag in tags or "*" in tags


def _parts() -> set[str]:
    return {each.name for each in files(_PACKAGE).joinpath("static").iterdir()}


def static(package: str, name: str) -> str:
    """Return a file that pages are made of, from a package's folder `static`."""
    return files(package).joinpath("static", name).read_text(encoding="utf-8")
