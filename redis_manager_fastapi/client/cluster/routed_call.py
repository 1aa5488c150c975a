"""A Cluster's command that has one key: a `Call` that goes to the node with that key's slot.

Whatever is not plain, such as a redirect, a slot whose node is away or a callback of the
user's, takes the slow way, by `recover`.
"""

from collections.abc import Coroutine
from typing import Any, ClassVar, Protocol, cast

from redis.exceptions import ResponseError

from redis_manager_fastapi.client.call import Call, Command, CommandFuture, allocate
from redis_manager_fastapi.client.call_coroutine import NOTHING
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.client.cluster.router import recover
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.commands.sharing import SharedCommand
from redis_manager_fastapi.delivery.contract import Execution, kind_of
from redis_manager_fastapi.delivery.replies import empty_response, parsed
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pacing import paced
from redis_manager_fastapi.pool.proof import Proving
from redis_manager_fastapi.pool.request import SingleRequest


class RoutingClient(Protocol):
    """What a routed call asks of the cluster client that it was made by."""

    session: Session[Cluster]

    def execute_anywhere(
        self, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        """Execute a command by redis-py's rules."""
        ...


class RoutedCommand(Command):
    """A command for the node that has its key's slot.

    Attributes:
        client: The client that it was called on.
        node: Where it goes; None as long as no node has its slot.
        slot: The slot of its keys.
    """

    __slots__ = ("client", "node", "slot")

    client: RoutingClient
    node: Node | None
    slot: int

    @paced
    async def _value(self, request: SingleRequest, outcome: Any) -> Any:
        """Return the value of a reply, or what becomes of an exception by the outage contract."""
        if not isinstance(outcome, Exception):
            return await parsed(self.session.callbacks, self.args[0], outcome, self.options)
        error, outcome = outcome, None
        try:
            return await self._routed(request, error)
        finally:
            del error  # its traceback has this frame

    async def _routed(self, request: SingleRequest, lost: Exception | None) -> Any:
        """Return the value of a command that met an error, or that did not go out at once."""
        cluster: Any = self.pool
        execution = Execution(kind_of(self.args), routed=True)
        try:
            reply = await recover(
                cluster,
                self.slot,
                execution,
                request,
                self._grace(),
                self.node,
                lost,
                replicable=self.command.replicable,
            )
        except ResponseError as error:
            return empty_response(error, self.options)
        finally:
            del lost  # its traceback has this frame
        return await parsed(self.session.callbacks, self.args[0], reply, self.options)

    _in_turn = paced(_routed)


class RoutedFuture(RoutedCommand, CommandFuture):
    """A routed command that somebody has asked whether it is a future, and that is one since."""

    __slots__ = ()


class RoutedCall(RoutedCommand, Call):
    """A command of a cluster client whose keys are all in the slot of its first argument."""

    __slots__ = ()

    future_type: ClassVar[type[CommandFuture]] = RoutedFuture

    def _prepare(self) -> MultiplexedConnection | None:
        """Make a request of the command; return the connection that takes it as it is, now."""
        session, args, command = self.session, self.args, self.command
        cluster: Any = session.request(self, command, args, self.options)
        if cluster is None:
            return None
        self.pool = cluster
        self.slot = slot = slot_of(args[1])
        self.node = node = cluster.map.choose(slot, read_only=command.replicable)
        pool = node.deployment.opened if node is not None else None
        if pool is None:
            return None
        links = pool.link_set
        link = links.only or links.least_busy()
        if link is None or link.full or (links.room.alone and links.goes_alone(self.packed)):
            return None
        own = session.own_callbacks
        if own and args[0] in own:
            return None
        return cast(MultiplexedConnection, Proving(link)) if command.script else link

    def _twin(self) -> "RoutedCall":
        return routed(type(self), self.client, self.command, self.args, self.options)

    async def _later(self) -> Any:
        """Execute in the caller's context what has to wait, or is more than a shared command."""
        node = getattr(self, "node", None)
        pool = node.deployment.opened if node is not None else None
        large = not hasattr(self, "pool")  # for a shared connection
        if large or (pool is not None and pool.link_set.goes_alone(self.packed)):
            return await self.client.execute_anywhere(self.args, self.options)
        return await self._in_turn(self._request(NOTHING), None)


def routed(
    call_type: type[RoutedCall],
    client: RoutingClient,
    command: SharedCommand,
    args: tuple[Any, ...],
    options: dict[str, Any],
) -> RoutedCall:
    """Return a call of a listed command whose keys are all in the slot of its first argument."""
    call: RoutedCall = allocate(call_type)
    call.args, call.client, call.command = args, client, command
    call.future, call.options = None, options
    call.session = client.session  # type: ignore[assignment]  # a Cluster in the place of a pool
    return call
