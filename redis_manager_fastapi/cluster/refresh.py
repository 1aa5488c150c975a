"""The task that keeps the map of slots true.

It asks when a command finds the map wrong, and goes on asking while slots are
not served: one refresh at a time, at most one in half a second, however many
callers meet the error.  It also asks now and then without a reason, because no
error reports a replica that comes or goes.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.cluster.slot_map import SlotMap
from redis_manager_fastapi.cluster.view import View, ask_address, ask_epoch, ask_link, best_of
from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.observe.log import InternalErrors
from redis_manager_fastapi.pool.dialer import Dialer
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.settings import Address, RedisSettings
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.topology.cluster_node import ClusterNode
from redis_manager_fastapi.topology.failures import from_connect, most_telling
from redis_manager_fastapi.topology.racing import Reach
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

# Seconds between two refreshes, how many nodes one asks, and how long (seconds) the
# first answer waits for the others.
_APART = 0.5
_SAMPLE = 3
_PATIENCE = 0.3

# How many heartbeats after the last refresh the map is refreshed without a reason.
_ROUTINE = 20

# Seconds after which it is refreshed once more: slots that move go one after the other, and
# of those that nobody uses no error tells.
_SOON = 1.5


class TopologyRefresh:
    """Asks a Cluster for its map.

    Args:
        settings: The manager's.
        credentials: The manager's provider, if it has one.
        slots: The map, read for whom to ask.
        take: Called with each new view; returns once everybody has been told.
        fail: Called with the reason when nobody answers.
        needed: Whether to go on asking.
        epoch: The newest epoch that is known; a newer one is a reason to ask.
        tls: The TLS context that it shares with the nodes.
    """

    def __init__(
        self,
        settings: RedisSettings,
        credentials: CredentialProvider | None,
        slots: SlotMap,
        *,
        instance: str,
        take: Callable[[View], None],
        fail: Callable[[RedisUnavailableError], None],
        needed: Callable[[], bool],
        epoch: Callable[[], int],
        tls: SharedTLSContext,
    ) -> None:
        self.connects = 0
        self._settings = settings
        self._credentials = credentials
        self._map = slots
        self._instance = instance
        self._take = take
        self._fail = fail
        self._needed = needed
        self._epoch = epoch
        self._first: set[Node] = set()
        self._reaches = defaultdict[Address, Reach](Reach)
        self._heard = 0
        self._owners: list[tuple[int, int, Address]] = []
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._errors = InternalErrors(instance, "slot map")
        self._tls = tls

    def start(self) -> None:
        """Begin, with a first refresh."""
        self._wanted.set()
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name=f"redis-topology-{self._instance}")

    async def stop(self) -> None:
        """End the task and whatever it was asking."""
        task, self._task = self._task, None
        if task is not None:
            await end({task})

    def wake(self, sender: Node | None = None) -> None:
        """Refresh as soon as the last refresh is half a second old; ask *sender* among others."""
        if sender is not None:
            self._first.add(sender)
        self._wanted.set()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        soon = False
        while True:
            soon, owners = await self._due(soon=soon), self._owners
            started = clock()
            try:
                await self._refresh()
            except Exception as error:
                self._errors.tell(error)
            soon = soon or self._owners != owners
            if self._needed():
                self._wanted.set()
            await asyncio.sleep(max(0.0, started + _APART - clock()))

    async def _due(self, *, soon: bool) -> bool:
        """Wait until it is time for a refresh; return whether there is a reason for one."""
        clock, interval = asyncio.get_running_loop().time, self._settings.health.interval
        ends = clock() + (_SOON if soon else _ROUTINE * interval)
        reason = False
        while not reason and (left := ends - clock()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, interval)):
                    await self._wanted.wait()
            reason = self._wanted.is_set() or await self._failed_over()
        self._wanted.clear()
        return reason

    async def _failed_over(self) -> bool:
        """Ask one node for its epoch: no error tells a command without a key of a fail-over."""
        links = [link for node in self._map.nodes if (link := node.link)]
        if not links:
            return False
        link, loop = random.choice(links), asyncio.get_running_loop()  # noqa: S311 (spreads load)
        asking = loop.create_task(ask_epoch(link, self._settings.health.timeout))
        wanted = loop.create_task(self._wanted.wait())
        try:  # one that hangs does not keep a refresh waiting
            await asyncio.wait({asking, wanted}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done() or asking.exception() is not None:
                return False
            # A node that was cut off may go on having one of its own: that is no news twice.
            last = max(self._heard, self._epoch())
            self._heard = max(last, asking.result())
            return self._heard > last
        finally:
            await end({asking, wanted})

    async def _refresh(self) -> None:
        view, errors = await self._ask_serving(), list[Exception]()
        if view is None:
            view, errors = await self._ask_anybody()
        if view is None:
            self._fail(self._why(errors))
            return
        self._owners = [(each.start, each.end, each.nodes[0]) for each in view.ranges]
        try:
            self._take(view)
        except RedisUnavailableError as error:  # the user's `address_map` failed
            self._fail(error)
            raise
        await self._map.tell_listeners()

    def _why(self, errors: list[Exception]) -> RedisUnavailableError:
        """Return what to tell: that a node refused us says more than that another is away."""
        if not errors:
            message = "no node of the cluster knows of any slots"
            return RedisUnavailableError(message, instance=self._instance)
        told = most_telling([self._told(each) for each in errors])
        return type(told)(f"no node of the cluster serves: {told}", instance=self._instance)

    def _told(self, error: Exception) -> RedisUnavailableError:
        """Return what callers may be told of *error*: a server's own words name the user."""
        if isinstance(error, RedisError | OSError):
            return from_connect(error, self._instance, self._settings)
        return RedisUnavailableError(f"its answer makes no sense ({type(error).__name__})")

    async def _ask_serving(self) -> View | None:
        """Ask a few nodes to which there is a connection."""
        links = {node: link for node in self._map.nodes if (link := node.link)}
        sample = random.sample(list(links), min(_SAMPLE, len(links)))
        first, self._first = self._first, set()
        # One that thinks the Cluster down is asked until it has heard better.
        others = (node for node in links if not node.is_up or node in first)
        asked = dict.fromkeys([*sample, *others])
        view, _ = await best_of((self._ask(node, links[node]) for node in asked), _PATIENCE)
        return view

    async def _ask(self, node: Node, link: MultiplexedConnection) -> View | None:
        view = await ask_link(link, node.address, self._settings.health.timeout)
        if view is not None:
            node.hear(view.healthy)
        return view

    async def _ask_anybody(self) -> tuple[View | None, list[Exception]]:
        """Connect to the nodes that are known, and to those of the settings, a few at a time."""
        known = [node.address for node in self._map.nodes if not node.serving]
        addresses = list(dict.fromkeys([*known, *self._settings.cluster.nodes]))
        random.shuffle(addresses)
        failures: list[Exception] = []
        for start in range(0, len(addresses), _SAMPLE):
            asked = addresses[start : start + _SAMPLE]
            questions = (ask_address(self._dialer(each), each) for each in asked)
            view, errors = await best_of(questions, _PATIENCE)
            if view is not None:
                return view, []
            failures += errors
        return None, failures

    def _dialer(self, address: Address) -> Dialer:
        self.connects += 1
        topology = ClusterNode(self._settings, self._credentials, address)
        dialer = Dialer(topology, self._settings, instance=self._instance, tls=self._tls)
        dialer.reach = self._reaches[address]
        return dialer
