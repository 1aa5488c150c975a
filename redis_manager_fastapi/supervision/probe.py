"""Asking a connection in service whether the server still serves."""

import asyncio

import hiredis

from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.request import new_request

_PING = hiredis.pack_command(("PING",))

# How late (seconds) a timer may fire before the event loop, and not the server, is
# to blame for the silence.
_STALL = 0.1


async def answers(link: MultiplexedConnection, timeout: float) -> bool:
    """Send a PING among the callers' commands; return whether the server serves.

    Any bytes count, even half of a large reply; an error in reply to the PING
    (LOADING, MASTERDOWN, BUSY, NOAUTH) does not.  Silence that coincides with
    a stalled event loop is given one more *timeout*, because the reply may lie
    in the socket unread.
    """
    loop = link.loop
    asked = loop.time()
    beyond = asked + 3 * (timeout + _STALL)
    request = new_request(_PING, loop.create_future(), beyond, decode=True, read_only=True)
    link.submit(request)
    while True:
        started = loop.time()
        await asyncio.wait({request.future}, timeout=timeout)
        if request.future.done():
            return bool(request.future.result() == "PONG")
        if link.last_heard > asked:
            request.future.cancel()
            return True
        if loop.time() - started <= timeout + _STALL:
            request.future.cancel()
            return False
