"""Every public method of redis-py's client has a place here, and every command one route."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.commands.sharing import SHARED
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.servers import needs

from . import scenarios, transaction_scenarios
from .conftest import RESP3, Pair, Variant
from .families import FAMILIES
from .sameness import outcome
from .server_calls import SESSION
from .stage import COVERED

# Importing them registers what they cover.
REGISTERED = (scenarios, transaction_scenarios)

# Methods that no parity test calls, and why.
NOT_CALLED = {
    "debug_segfault": "kills the server",
    "shutdown": "ends the server",
    "psync": "turns the connection into a replica's",
    "sync": "turns the connection into a replica's",
    "sentinel": "only warns that it is deprecated",
    "from_pool": "makes a client of redis-py's own",
    "from_url": "makes a client of redis-py's own",
    "get_connection_kwargs": "describes redis-py's own connections",
    "get_retry": "redis-py's retries are off",
    "set_retry": "redis-py's retries are off",
    "parse_response": "reads from a connection that the caller holds; pub/sub and pipelines use it",
}

# Sent by every new connection, or by the test itself.
UNCOUNTED = {"PING", "HELLO", "SELECT", "AUTH", "CLIENT SETINFO", "CLIENT SETNAME"}
UNCOUNTED |= {"CLIENT LIST", "INFO", "ROLE", "CLIENT ID"}

SCRIPTS = {"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"}


def called() -> set[str]:
    """Return the methods that some parity test calls."""
    calls = [*SESSION, *(one for family in FAMILIES.values() for one in family)]
    return COVERED | {one.method for one in calls}


def surface() -> set[str]:
    """Return the public methods of redis-py's client."""
    client = redis.asyncio.Redis
    return {
        name for name in dir(client) if not name.startswith("_") and callable(getattr(client, name))
    }


def test_every_method_of_redis_py_is_called_or_left_out_with_a_reason() -> None:
    assert surface() - called() - NOT_CALLED.keys() == set(), "new in redis-py: add calls for them"


def test_nothing_is_left_out_that_is_called_or_gone() -> None:
    assert NOT_CALLED.keys() <= surface()
    assert not NOT_CALLED.keys() & called()
    assert called() - surface() == {"nosuchmethod"}


class Routes:
    """Counts, on the server, what ran at all and what ran on the shared connection."""

    def __init__(self, control: "redis.asyncio.Redis", pair: Pair) -> None:
        pool = pair.manager._deployment.require()
        host, port = pool.links[0]._transport.get_extra_info("sockname")
        self._address = f"{host}:{port}"
        self._control = control
        self._ran: Counter[str] = Counter()
        self._shared = 0

    async def look(self) -> tuple[Counter[str], int]:
        """Return what has run since the last look: by name anywhere, and in number when shared."""
        statistics = await self._control.info("commandstats")
        ran = Counter(
            {
                name.removeprefix("cmdstat_").upper().replace("|", " "): figures["calls"]
                for name, figures in statistics.items()
            }
        )
        clients = {each["addr"]: each for each in await self._control.client_list()}
        shared = int(clients[self._address]["tot-cmds"])
        since = ran - self._ran, shared - self._shared
        self._ran, self._shared = ran, shared
        return since


@pytest.fixture
async def routes(pair: Pair, our_server: RedisServer) -> AsyncIterator[Routes]:
    async with our_server.client() as control:
        found = Routes(control, pair)
        await found.look()
        yield found


# What counts otherwise than by its name.
_UNROUTED = {
    "execute_command": "spelled otherwise than in the table, on purpose",
    "config_resetstat": "resets what is counted",
    "ping": "counted apart, because new connections send it too",
    "client_kill_filter": "asks about the connections themselves",
    "nosuchmethod": "is none",
}
_COUNTED = needs("CLIENT LIST's tot-cmds", redis="8.2", valkey="8.0")
_PLAIN = [
    pytest.param(Variant(), marks=_COUNTED),
    pytest.param(Variant(protocol=3), marks=(RESP3, _COUNTED)),
]
_ROUTED = [name for name in FAMILIES if name not in {"wrong", "arguments", "binary", "absent"}]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("variant", _PLAIN, indirect=True, ids=str)
@pytest.mark.parametrize("family", _ROUTED)
async def test_listed_commands_are_shared_and_no_others(
    pair: Pair, routes: Routes, family: str
) -> None:
    astray = []
    for one in FAMILIES[family]:
        result = await outcome(pair.ours, one)
        ran, shared = await routes.look()
        if one.method in _UNROUTED or isinstance(result, Exception):
            continue
        if SCRIPTS & ran.keys():  # what a script calls counts as its connection's
            expected = ran.total() - ran["INFO"] - ran["CLIENT LIST"]
        else:
            names = (ran.keys() & SHARED.keys()) - UNCOUNTED
            expected = sum(ran[name] for name in names)
        if shared != expected:
            astray.append(f"{one}: {dict(ran)}, {shared} of them shared")

    assert not astray, "\n".join(astray)


@pytest.mark.parametrize("variant", _PLAIN, indirect=True, ids=str)
async def test_ping_and_pipelines_are_shared(pair: Pair, routes: Routes) -> None:
    ours: Any = pair.ours
    await ours.ping()
    _, shared = await routes.look()
    assert shared == 1

    await ours.pipeline(transaction=False).set("a", 1).get("a").execute()
    _, shared = await routes.look()
    assert shared == 2

    await ours.pipeline().set("a", 1).get("a").execute()
    ran, shared = await routes.look()
    assert shared == 4
    assert ran["MULTI"] == ran["EXEC"] == 1


@pytest.mark.parametrize("variant", _PLAIN, indirect=True, ids=str)
async def test_whatever_is_not_listed_takes_its_whole_pipeline_along(
    pair: Pair, routes: Routes
) -> None:
    ours: Any = pair.ours
    await ours.pipeline().set("a", 1).keys("*").execute()
    ran, shared = await routes.look()

    assert shared == 0
    assert ran["SET"] == ran["KEYS"] == 1


@_COUNTED
@pytest.mark.parametrize("variant", [Variant(pipelining=False)], indirect=True, ids=str)
async def test_nothing_is_shared_with_pipelining_off(pair: Pair, routes: Routes) -> None:
    ours: Any = pair.ours
    await ours.set("a", 1)
    await ours.get("a")
    await ours.pipeline().set("a", 1).execute()
    ran, shared = await routes.look()

    assert shared == 0
    assert ran["SET"] == 2


async def test_pipelining_is_turned_off_by_the_environment(
    our_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", our_server.url)
    monkeypatch.setenv("REDIS_PIPELINING__ENABLED", "false")

    async with RedisManager() as manager:
        connects = manager.stats().connects
        await manager.redis.ping()

        assert manager.stats().connects == connects + 1
