"""Ending the commands that block on leased connections, without losing what they take.

Closing such a connection would lose an element that the server has popped for it and not
sent yet.  The server itself is asked to unblock it, on a shared connection.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import hiredis

from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.request import Reply, new_request


async def unblock(
    link: MultiplexedConnection, connections: Iterable[DedicatedConnection], deadline: float
) -> None:
    """Have the server answer on *connections* with UNBLOCKED, if it knows them by our addresses.

    Behind a proxy it does not, and an ACL may forbid to ask: they block on then.
    """
    addresses = {_local(each) for each in connections}
    (listed,) = await _ask(link, deadline, ("CLIENT", "LIST"))
    if not isinstance(listed, str):
        return
    clients = (
        dict(word.partition("=")[::2] for word in line.split(" ")) for line in listed.splitlines()
    )
    numbers = [client["id"] for client in clients if client.get("addr") in addresses]
    await _ask(link, deadline, *(("CLIENT", "UNBLOCK", number, "ERROR") for number in numbers))


def _local(connection: DedicatedConnection) -> str:
    """Return the connection's address as a server writes it."""
    name = connection.transport.get_extra_info("sockname")
    if not isinstance(name, tuple):
        return ""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _ask(
    link: MultiplexedConnection, deadline: float, *commands: tuple[Any, ...]
) -> list[Any]:
    """Return the outcomes of *commands*, errors included."""
    futures: list[Reply] = []
    for command in commands:
        futures.append(link.loop.create_future())
        packed = hiredis.pack_command((*command,))
        link.submit(new_request(packed, futures[-1], deadline, decode=True, read_only=True))
    return await asyncio.gather(*futures)
