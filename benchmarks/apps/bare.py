"""The app over the bare protocol: what the same routes cost at the least."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request

from benchmarks.apps import VALUE, Body, one, ten
from benchmarks.bare import BareProtocol


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, BareProtocol]]:
    """Open one connection."""
    address, loop = urlsplit(os.environ["REDIS_URL"]), asyncio.get_running_loop()
    _, protocol = await loop.create_connection(BareProtocol, address.hostname, address.port)
    yield {"bare": protocol}
    protocol.close()


async def get_bare(request: Request) -> BareProtocol:
    """Return the app's connection."""
    protocol: BareProtocol = request.state.bare
    return protocol


BareDep = Annotated[BareProtocol, Depends(get_bare)]

app = FastAPI(lifespan=lifespan)


@app.get("/none")
async def no_redis() -> Body:
    """Answer without Redis."""
    return {"value": VALUE}


@app.get("/one")
async def one_get(bare: BareDep) -> Body:
    """Answer with one GET."""
    return await one(bare.get)


@app.get("/ten")
async def ten_gets(bare: BareDep) -> Body:
    """Answer with ten gathered GETs."""
    return await ten(bare.get)
