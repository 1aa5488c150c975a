"""What the demo asks of single servers: how they stand, and how they see one another."""

from redis.asyncio import Redis as Client
from redis.exceptions import RedisError, ResponseError

from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import cluster_info
from redis_manager_fastapi.testing.sentinel import SERVICE, SentinelDeployment


async def named_primary(redis: SentinelDeployment) -> RedisServer:
    """Return the server that most Sentinels name.

    Raises:
        LookupError: None of them answers.
    """
    try:
        return await redis.primary()
    except ValueError:
        raise LookupError("no Sentinel answers") from None


async def set_clients(client: Client, number: int) -> bool:
    """Have the server take so many clients; return whether it said yes."""
    try:
        return bool(await client.config_set("maxclients", number))
    except (RedisError, OSError):
        return False


async def told_to_fail_over(redis: SentinelDeployment) -> bool:
    """Return False if the Sentinel has not heard yet of a replica that is fit."""
    try:
        await redis.failover()
    except ResponseError as error:
        if not str(error).startswith("NOGOODSLAVE"):
            raise LookupError("a fail-over goes on already") from error
        return False
    return True


async def serves(node: RedisServer) -> bool:
    """Whether a node of a Cluster sees an owner of every slot."""
    try:
        return (await cluster_info(node))["cluster_state"] == "ok"
    except (RedisError, OSError):
        return False


async def has_all(replica: RedisServer, primary: RedisServer, offset: int) -> bool:
    """Whether *replica* follows *primary*, and has what that had at *offset*."""
    try:
        info = await replica.command("INFO", "replication", timeout=1.0)
    except (RedisError, OSError):
        return False
    return bool(
        int(info.get("master_port", 0)) == primary.port
        and info["master_link_status"] == "up"
        and int(info["slave_repl_offset"]) >= offset
    )


async def primary_is_missed(server: RedisServer, by: RedisServer) -> bool:
    """Whether *server* is the primary and down, as a Sentinel sees it."""
    try:
        reply = await by.command("SENTINEL", "MASTER", SERVICE, timeout=1.0)
    except (RedisError, OSError):
        return False
    known = dict(zip(reply[::2], reply[1::2], strict=True))
    return int(known["port"]) == server.port and known["flags"] != "master"


async def is_failed(server: RedisServer, by: RedisServer) -> bool:
    """Whether *server* is down as another node of its Cluster sees it."""
    try:
        nodes = str(await by.command("CLUSTER", "NODES", timeout=1.0))
    except (RedisError, OSError):
        return False
    address = f"{server.host}:{server.port}@"
    lines = [line.split() for line in nodes.splitlines()]
    return any(line[1].startswith(address) and "fail" in line[2] for line in lines)


async def is_primary(server: RedisServer) -> bool:
    try:
        role = await server.command("ROLE", timeout=1.0)
    except (RedisError, OSError):
        return False
    return bool(role[0] == "master")


async def owner_of(server: RedisServer, slot: int) -> int:
    """The port of the primary that has *slot*, as *server* sees it; 0 if none has."""
    slots = await server.command("CLUSTER", "SLOTS", timeout=1.0)
    return next((port for a, b, (_, port, *_), *_ in slots if a <= slot <= b), 0)
