"""The two keys of other projects that the web layer relies on."""

from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from redis_manager_fastapi.web.dependencies import EXIT_STACK_KEY
from redis_manager_fastapi.web.responses import HANDLERS_KEY
from tests.kit.serving import Serve


class FailureError(Exception):
    pass


async def test_fastapi_keeps_the_request_s_exit_stack_in_the_scope(serve: Serve) -> None:
    """What is entered on `scope["fastapi_inner_astack"]` is left after the response was sent."""
    assert EXIT_STACK_KEY == "fastapi_inner_astack"
    events: list[str] = []
    app = FastAPI()

    @app.get("/")
    async def route(request: Request) -> JSONResponse:
        stack = request.scope["fastapi_inner_astack"]
        assert isinstance(stack, AsyncExitStack)
        stack.callback(events.append, "left")

        class Sent(JSONResponse):
            async def __call__(self, *args: Any) -> None:
                await super().__call__(*args)
                events.append("sent")

        return Sent("ok")

    @app.websocket("/socket")
    async def websocket(websocket: WebSocket) -> None:
        assert isinstance(websocket.scope["fastapi_inner_astack"], AsyncExitStack)
        await websocket.accept()
        await websocket.send_text("ok")
        await websocket.close()

    site = await serve(app)
    assert (await site.http.get("/")).status_code == 200
    async with site.websocket("/socket") as socket:
        assert await socket.recv() == "ok"

    assert events == ["sent", "left"]


async def test_starlette_shares_an_app_s_table_of_handlers_in_the_scope(serve: Serve) -> None:
    """A handler put into `scope["starlette.exception_handlers"][0]` serves that app, not others."""
    assert HANDLERS_KEY == "starlette.exception_handlers"

    async def failing(request: Request) -> JSONResponse:
        raise FailureError

    async def installing(request: Request) -> JSONResponse:
        handlers, _ = request.scope["starlette.exception_handlers"]
        handlers[FailureError] = handler
        raise FailureError

    async def handler(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse("handled", 418)

    routes = [Route("/failing", failing), Route("/installing", installing)]
    app, sub = Starlette(routes=routes), Starlette(routes=routes)
    app.mount("/sub", sub)
    site = await serve(app)

    assert (await site.http.get("/installing")).status_code == 418
    assert (await site.http.get("/failing")).status_code == 418
    assert (await site.http.get("/sub/failing")).status_code == 500
