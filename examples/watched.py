import os
import secrets
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from redis_manager_fastapi import RedisManager, console_router


def operator(given: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> None:
    if not secrets.compare_digest(given.password, os.environ["CONSOLE_PASSWORD"]):
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})


manager = RedisManager()
app = FastAPI(lifespan=manager)
app.include_router(console_router, prefix="/redis", dependencies=[Depends(operator)])
