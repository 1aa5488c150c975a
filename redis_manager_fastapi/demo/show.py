"""The demo's page: the console, and beside it what breaks Redis and what visitors meet."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request
from fastapi.responses import Response
from starlette.responses import StreamingResponse

from redis_manager_fastapi.console.router import HEADERS, event, static
from redis_manager_fastapi.demo.load import Load
from redis_manager_fastapi.demo.stage import Stage
from redis_manager_fastapi.observe.bus import History, wait_for_news

MOST = 300
"""Visits a second."""

_PACKAGE = "redis_manager_fastapi.demo"
_PERIOD = 0.25
_TYPES = {"demo.js": "text/javascript", "demo.css": "text/css"}


def show(stage: Stage, load: Load, history: History) -> APIRouter:
    """Make the page's routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> Response:
        text = static(_PACKAGE, "index.html")
        return Response(text, media_type="text/html", headers=HEADERS)

    @router.get("/demo/static/{name}")
    async def part(name: str) -> Response:
        if name not in _TYPES:
            raise HTTPException(404)
        return Response(static(_PACKAGE, name), media_type=_TYPES[name], headers=HEADERS)

    @router.post("/demo/acts/{name}", status_code=202)
    async def act(name: str, x_demo: Annotated[str, Header()]) -> dict[str, Any]:
        # A header of its own keeps other sites' pages from pressing the buttons.
        if name not in stage.acts:
            raise HTTPException(404)
        if not stage.begin(name):
            raise HTTPException(409, stage.refusal(name))
        return stage.report()

    @router.put("/demo/rate", status_code=204)
    async def rate(
        visits: Annotated[int, Query(ge=0, le=MOST)], x_demo: Annotated[str, Header()]
    ) -> None:
        load.rate = visits

    @router.get("/demo/events")
    async def events(request: Request) -> Response:
        return StreamingResponse(_told(stage, load, history), media_type="text/event-stream")

    return router


async def _told(stage: Stage, load: Load, history: History) -> AsyncIterator[str]:
    acts = [[name, each.label, each.does] for name, each in stage.acts.items()]
    yield event("acts", {"acts": acts, "most": MOST})
    while True:
        yield event("report", {**load.report(), **stage.report()})
        if not await wait_for_news([history], [history.count], _PERIOD):
            return
