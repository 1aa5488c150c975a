"""The stand-in for a cluster client, on which redis-py's own method runs: `client/observed.py`."""

from collections.abc import Awaitable, Sequence
from time import monotonic
from typing import Any

from redis.asyncio.observability.recorder import record_operation_duration

from redis_manager_fastapi.client.observed import Carrier
from redis_manager_fastapi.cluster.redis_py import CommandPolicies
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.observe.spans import Where, host_and_port
from redis_manager_fastapi.redis_py import measures


class NodeCarrier(Carrier):
    """Stands where redis-py's code expects a node: the one target of every command.

    Attributes:
        name: A node's.
    """

    name = ""

    async def resolve(self, _: str) -> CommandPolicies:
        """Say nothing of a command, in the place of redis-py's table."""
        return CommandPolicies()

    async def targets(self, *_: Any, **__: Any) -> list[Any]:
        """Return this, in the place of the nodes that a command is for."""
        return [self]

    def named_targets(self, _: Any) -> list[Any]:
        """Return this, in the place of the nodes that the caller named."""
        return [self]

    async def send(self, _: Any, *args: Any, **options: Any) -> Any:
        """Execute a command, and count it in redis-py's metrics."""
        try:
            return await counted(args[0], self._where, self._deliver(args, options))
        except Exception as error:
            vars(error)["connection"] = self  # by which redis-py counts it
            raise


async def counted(name: str, where: Where, part: Awaitable[Any]) -> Any:
    """Await a command, or a node's part of a pipeline, and count it in redis-py's metrics."""
    if not measures():
        return await part
    began, error = monotonic(), None
    host, port = host_and_port(where)
    try:
        return await part
    except Exception as failure:
        error = failure
        raise
    finally:
        await record_operation_duration(name, monotonic() - began, host, port, "0", error)
        del error  # its traceback has this frame


def stand_in_for_cluster(client: Any, options: dict[str, Any], slot: int | None) -> Any:
    """Return a copy of *client* whose command redis-py's code hands to `client.deliver`, whole."""
    targets = {key: options[key] for key in ("target_nodes",) if key in options}

    async def deliver(args: Sequence[Any], others: dict[str, Any]) -> Any:
        return await client.deliver(args, others | targets)

    def default_node() -> Any:
        try:
            return client.get_default_node()
        except RedisManagerError:  # Sentry looks at it before the command may wait for one
            return None

    carrier = NodeCarrier(client.session, deliver, slot)
    copy = client.scoped(client.session.scope)
    copy._policy_resolver, copy.result_callbacks = carrier, {}  # noqa: SLF001
    copy._determine_nodes, copy._parse_target_nodes = carrier.targets, carrier.named_targets  # noqa: SLF001
    copy._execute_command, copy.get_default_node = carrier.send, default_node  # noqa: SLF001
    return copy
