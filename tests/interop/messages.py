"""Messages: one is sent by one part of the app, and heard by another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import socketio
import uvicorn
from channels_redis.core import RedisChannelLayer
from faststream.redis import RedisBroker, StreamSub

from examples.libraries.channels_layer import ManagedChannelLayer
from examples.libraries.faststream_broker import ManagedBroker
from examples.libraries.socketio_manager import ManagedPubSub
from tests.interop.sides import Heard, Job, Side, running
from tests.kit.waiting import until


def _broker(side: Side) -> RedisBroker:
    if side.manager is not None:
        return ManagedBroker(side.manager, logger=None)
    return RedisBroker(side.url, logger=None)


@asynccontextmanager
async def faststream_streams(side: Side) -> AsyncIterator[Job]:
    broker, heard = _broker(side), Heard()

    @broker.subscriber(stream=StreamSub("names", group="greeters", consumer="one"))
    async def greet(name: str) -> None:
        heard.add(name)

    async def job(number: int) -> None:
        await broker.publish(f"name {number}", stream="names")
        await heard.wait(f"name {number}")

    async with broker:
        await broker.start()
        yield job


@asynccontextmanager
async def faststream_lists(side: Side) -> AsyncIterator[Job]:
    broker, heard = _broker(side), Heard()

    @broker.subscriber(list="names")
    async def greet(name: str) -> None:
        heard.add(name)

    async def job(number: int) -> None:
        await broker.publish(f"name {number}", list="names")
        await heard.wait(f"name {number}")

    async with broker:
        await broker.start()
        yield job


@asynccontextmanager
async def faststream_channels(side: Side) -> AsyncIterator[Job]:
    broker, heard = _broker(side), Heard()

    @broker.subscriber("names")
    async def greet(name: str) -> None:
        heard.add(name)

    async def job(number: int) -> None:
        await broker.publish(f"name {number}", "names")
        await heard.wait(f"name {number}")

    async with broker:
        await broker.start()
        yield job


def _socketio_manager(side: Side, **options: Any) -> Any:
    if side.manager is not None:
        return ManagedPubSub(side.manager, **options)
    return socketio.AsyncRedisManager(side.url, **options)


@asynccontextmanager
async def socket_io(side: Side) -> AsyncIterator[Job]:
    server = socketio.AsyncServer(async_mode="asgi", client_manager=_socketio_manager(side))
    emitter = _socketio_manager(side, write_only=True)
    config = uvicorn.Config(
        socketio.ASGIApp(server),
        port=0,
        log_level="critical",
        lifespan="off",
        ws="websockets-sansio",
    )
    site, client, heard = uvicorn.Server(config), socketio.AsyncClient(), Heard()
    client.on("news", heard.add)

    async def job(number: int) -> None:
        await emitter.emit("news", f"news {number}")
        await heard.wait(f"news {number}")

    async with running(site.serve()):
        await until(lambda: site.started)
        port = site.servers[0].sockets[0].getsockname()[1]
        await client.connect(f"http://127.0.0.1:{port}", transports=["websocket"])
        await asyncio.sleep(0.3)  # the server listens to the other one
        yield job
        await client.disconnect()
        server.manager.thread.cancel()
        await server.shutdown()
        site.should_exit = True
        await until(lambda: not site.servers[0].sockets)


@asynccontextmanager
async def channels(side: Side) -> AsyncIterator[Job]:
    if side.manager is not None:
        layer = ManagedChannelLayer(side.manager)
    else:
        layer = RedisChannelLayer(hosts=[side.url])

    async def job(number: int) -> None:
        await layer.group_add(f"room.{number}", f"member.{number}")
        await layer.group_send(f"room.{number}", {"type": "hello", "number": number})
        heard = await layer.receive(f"member.{number}")
        assert heard == {"type": "hello", "number": number}

    yield job
    await layer.close_pools()
