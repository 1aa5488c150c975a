"""The table of commands that may share a connection, held against a running server."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.commands import core
from redis.commands.timeseries import commands as series
from redis.commands.vectorset import commands as vectors

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.commands.blocking import BLOCKING, blocking_timeout
from redis_manager_fastapi.commands.sharing import (
    NEUTRAL,
    NEWER,
    OF_THEIR_CONNECTION,
    SHARED,
    leaves_session_alone,
)
from redis_manager_fastapi.commands.table import MODULES, READS, WRITES
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.servers import needs

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "redis_manager_fastapi/commands/table.py").read_text()

# Taken by hand, against their flags; a name that the flags have come to allow has to go.
BY_HAND = {
    "PING": "keeps no session",
    "ECHO": "keeps no session",
    "OBJECT": "redis-py sends the subcommand as an argument",
    "PUBLISH": "sends to others' sessions only",
    "SPUBLISH": "sends to others' sessions only",
    "EVAL": "a script's SELECT ends with the script",
    "EVALSHA": "a script's SELECT ends with the script",
    "EVAL_RO": "a script's SELECT ends with the script",
    "EVALSHA_RO": "a script's SELECT ends with the script",
    "FCALL": "a function is a script",
    "FCALL_RO": "a function is a script",
}

# Allowed by their flags, and still not taken.
LEFT_OUT = {
    "FLUSHALL": "may take seconds",
    "FLUSHDB": "may take seconds",
    "KEYS": "walks the whole data set",
    "MIGRATE": "blocks the server on another one",
    "RESTORE-ASKING": "what servers say to each other",
    "SWAPDB": "changes what every other caller sees",
}
LEFT_OUT |= dict.fromkeys(MODULES, "travels alone, and leaves the session as it was")

SESSION = [
    "SELECT",
    "AUTH",
    "HELLO",
    "RESET",
    "QUIT",
    "MONITOR",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "WATCH",
    "MULTI",
    "READONLY",
    "READWRITE",
    "ASKING",
    "SYNC",
    "PSYNC",
    "REPLCONF",
    "CLIENT",
    "HIMPORT",
    "SCRIPT",
]
WITH_SUBCOMMANDS = [
    "CLIENT REPLY",
    "CLIENT TRACKING",
    "CLIENT SETNAME",
    "CLIENT NO-EVICT",
    "SCRIPT DEBUG",
    "HIMPORT PREPARE",
]

# What leaves a session alone, and ends its connection after it all the same; what may; and what
# is not for callers.
CLOSED_AFTER = {
    "CLIENT KILL": "may end its own connection",
    "FAILOVER": "the server becomes a replica",
    "MODULE LOAD": "a module may do anything",
    "MODULE LOADEX": "a module may do anything",
    "MODULE UNLOAD": "a module may do anything",
    "PFDEBUG": "for who works on the server",
    "PFSELFTEST": "for who works on the server",
    "REPLICAOF": "the server becomes a replica",
    "RESTORE-ASKING": "what servers say to each other",
    "SCRIPT SHOW": "no client has a method for it",
    "SHUTDOWN": "ends the server",
    "SLAVEOF": "the server becomes a replica",
}

SUBCOMMANDS = needs("COMMAND listing subcommands", redis="7.0")

REFUSED = {"blocking", "admin", "pubsub", "noscript"}


@pytest.fixture(scope="module")
def derive() -> ModuleType:
    """Return the script that writes the table."""
    spec = importlib.util.spec_from_file_location("derive", ROOT / "scripts/derive_commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def flags(derive: ModuleType, redis_url: str) -> dict[str, set[str]]:
    """Return the flags of each command, and subcommand, that the server knows."""
    commands, _ = await derive.ask(redis_url)
    return {name: flags for command in commands for name, flags in derive.names(command)}


def test_no_command_both_reads_and_writes() -> None:
    assert not READS & WRITES
    assert not (READS | WRITES) & MODULES


async def test_listed_commands_carry_the_flag_and_none_that_forbids_sharing(
    flags: dict[str, set[str]],
) -> None:
    wrong = {}
    for name in (READS | WRITES) - BY_HAND.keys():
        wanted = "readonly" if name in READS else "write"
        known = flags.get(name)
        if known is not None and (wanted not in known or known & REFUSED):
            wrong[name] = known

    assert not wrong


@SUBCOMMANDS
async def test_commands_that_the_flags_allow_are_listed_or_left_out_with_a_reason(
    flags: dict[str, set[str]],
) -> None:
    allowed = {
        name
        for name, known in flags.items()
        if known & {"readonly", "write"}
        if not known & REFUSED
    }

    assert allowed - READS - WRITES == LEFT_OUT.keys() & flags.keys()


@SUBCOMMANDS
async def test_adjustments_by_hand_are_needed(flags: dict[str, set[str]]) -> None:
    plain = {
        name
        for name, known in flags.items()
        if known & {"readonly", "write"}
        if not known & REFUSED
    }

    assert not BY_HAND.keys() & plain
    assert BY_HAND.keys() <= READS | WRITES


@needs("EVAL_RO", redis="7.0")
async def test_read_only_adjustments_change_no_key(redis_server: RedisServer) -> None:
    async with redis_server.client() as client:
        for command in (
            ("EVAL_RO", "return redis.call('SET', 'k', 'v')", 0),
            ("EVALSHA_RO", await client.script_load("return redis.call('SET', 'k', 'v')"), 0),
        ):
            with pytest.raises(Exception, match="read-only"):
                await client.execute_command(*command)

        assert await client.exists("k") == 0


async def test_file_is_what_the_script_derives(derive: ModuleType, redis_url: str) -> None:
    commands, source = await derive.ask(redis_url)
    origins = TABLE.split("# Derived from ")[1].split(".\n")[0].split(", ")
    if source not in origins:
        pytest.skip(f"the table is derived from {', '.join(origins)}, this is {source}")

    reads, writes, modules = derive.sort_out(commands)
    known = {name for command in commands for name, _ in derive.names(command)}

    assert reads == READS & (known | BY_HAND.keys())
    assert writes == WRITES & (known | BY_HAND.keys())
    assert modules - derive.INCLUDED_ALONE == MODULES & known


@SUBCOMMANDS
async def test_containers_and_their_subcommands_are_told_apart(
    flags: dict[str, set[str]],
) -> None:
    for name in (READS | WRITES) - BY_HAND.keys():
        container, _, subcommand = name.partition(" ")
        if subcommand and container in {known.partition(" ")[0] for known in flags}:
            assert name in flags, f"{name} is not a subcommand of the server's {container}"

    assert SHARED["OBJECT ENCODING"].words == ("OBJECT", "ENCODING")
    assert SHARED["GET"].words == ("GET",)


def test_names_are_spelled_as_redis_py_sends_them() -> None:
    for name in SHARED:
        assert name == name.upper()
        assert name == " ".join(name.split())


@needs("WAITAOF", redis="7.2")
async def test_commands_that_block_are_known_as_such(flags: dict[str, set[str]]) -> None:
    blocking = {name for name, known in flags.items() if "blocking" in known}

    assert blocking == BLOCKING.keys() - {"BLMOVEM"}  # of Redis 8.8
    assert not blocking & SHARED.keys()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("BLPOP", "a", "b", 1.5), 1.5),
        (("BLPOP", "a", 0), 0.0),
        (("BRPOP", "a", "2"), 2.0),
        (("BRPOPLPUSH", "a", "b", 3), 3.0),
        (("BLMOVE", "a", "b", "LEFT", "RIGHT", b"4"), 4.0),
        (("BZPOPMIN", "a", 5), 5.0),
        (("BZPOPMAX", "a", 6), 6.0),
        (("BLMPOP", 7, 1, "a", "LEFT"), 7.0),
        (("BZMPOP", 8, 1, "a", "MIN"), 8.0),
        (("XREAD", b"COUNT", 1, b"BLOCK", b"2500", b"STREAMS", "s", "$"), 2.5),
        (("XREAD", b"STREAMS", "BLOCK", "9000"), None),
        (("XREADGROUP", "GROUP", "g", "c", "BLOCK", 100, "STREAMS", "s", ">"), 0.1),
        (("WAIT", 1, 1500), 1.5),
        (("WAITAOF", 1, 0, 250), 0.25),
        (("GET", "a"), None),
        ((b"BLPOP", "a", 1), 1.0),
        (("blpop", "a", 1), 1.0),
        (("Wait", 1, 1500), 1.5),
        (("xread", "block", 3000, "streams", "s", "$"), 3.0),
        ((b"xread", bytearray(b"Block"), 3000, "streams", "s", "$"), 3.0),
        (("XREAD", "streams", "block", "9000"), None),
        (("XREADGROUP", "group", "block", "7", b"block", 100, "streams", "s", ">"), 0.1),
        (("XREADGROUP", "GROUP", "streams", "BLOCK", "BLOCK", 100, "STREAMS", "s", ">"), 0.1),
        (("BLPOP", "a", "soon"), None),
        (("BLPOP",), None),
    ],
    ids=str,
)
def test_time_that_a_command_asks_to_block(
    arguments: tuple[Any, ...], expected: float | None
) -> None:
    assert blocking_timeout(arguments) == expected


@pytest.mark.parametrize(
    "command",
    [
        ("xread", "block", 600, "streams", "nothing", "$"),
        (b"XREAD", b"block", b"600", b"STREAMS", "nothing", "$"),
        ("XREAD", bytearray(b"Block"), 600, "Streams", "nothing", "$"),
    ],
    ids=str,
)
async def test_blocking_command_gets_its_own_time_however_it_is_spelled(
    redis_url: str, command: tuple[Any, ...]
) -> None:
    async with RedisManager(url=redis_url, timeout={"command": 0.3}) as manager:
        assert not await manager.redis.execute_command(*command)
        async with manager.connection() as pinned:
            assert not await pinned.execute_command(*command)


async def test_redis_py_sends_the_blocking_time_where_the_table_looks_for_it(
    redis_server: RedisServer,
) -> None:
    """The argument that the table reads is the one that redis-py's method fills."""
    sent: list[tuple[Any, ...]] = []

    class Listening(Redis):
        async def execute_command(self, *args: Any, **options: Any) -> Any:
            sent.append(args)
            return None

    client = Listening()
    await client.blpop(["a", "b"], timeout=7)
    await client.brpop("a", timeout=7)
    await client.brpoplpush("a", "b", timeout=7)
    await client.blmove("a", "b", 7)
    await client.blmovem("a", "b", 7, count=2, ordering="BULK")
    await client.blmpop(7, 1, "a", direction="LEFT")
    await client.bzpopmin("a", timeout=7)
    await client.bzpopmax("a", timeout=7)
    await client.bzmpop(7, 1, ["a"], min=True)
    await client.xread({"a": "0"}, block=7000, count=1)
    await client.xreadgroup("g", "c", {"a": ">"}, block=7000)
    await client.wait(1, 7000)
    await client.waitaof(1, 1, 7000)

    assert {args[0] for args in sent} == BLOCKING.keys()
    assert {args: blocking_timeout(args) for args in sent} == dict.fromkeys(sent, 7.0)


@SUBCOMMANDS
async def test_neutral_commands_exist_and_are_neither_shared_nor_blocking(
    flags: dict[str, set[str]],
) -> None:
    known = {name.partition(" ")[0] for name in flags} | flags.keys()

    assert known >= NEUTRAL
    assert not (NEUTRAL - {"OBJECT"}) & SHARED.keys()
    assert not NEUTRAL & BLOCKING.keys()


@SUBCOMMANDS
async def test_every_command_is_known_for_what_it_does_to_its_connection(
    flags: dict[str, set[str]],
) -> None:
    """One that is not takes a connection that nobody takes after it: one connect for each call."""
    unknown = {
        name
        for name in flags.keys() - OF_THEIR_CONNECTION
        if not leaves_session_alone(name)
        if not name.endswith(" HELP")
    }

    assert unknown == CLOSED_AFTER.keys() & flags.keys()


@pytest.mark.parametrize("name", ["8.2", "7.4-modules"])
async def test_every_command_of_a_server_with_modules_is_known(
    derive: ModuleType, name: str
) -> None:
    """What the modules of a Cluster say to one another is left out."""
    program = ROOT / ".venvs" / "servers" / name / "redis-server"
    if not program.exists():
        pytest.skip(f"needs {name}, which scripts/module-servers fetches")
    async with RedisServer(binary=program) as server:
        commands, _ = await derive.ask(server.url)
    of_modules = {each[0].upper() for each in commands if "module" in each[2]}

    unknown = {each for each in of_modules if not leaves_session_alone(each)}
    assert {each for each in unknown if not each.startswith("TIMESERIES.")} == set()
    assert of_modules >= {"VADD", "VSIM"} if name == "8.2" else {"JSON.GET", "FT.SEARCH"}


def test_commands_of_newer_servers_are_spelled_as_redis_py_sends_them() -> None:
    sources = [Path(str(module.__file__)).read_text() for module in (core, vectors, series)]
    names = NEWER - {"COMMANDLOG"} | {"VRANGE", "TS.READ"}  # redis-py has no method for that one

    assert {name for name in names if not any(f'"{name}' in each for each in sources)} == set()
    assert not NEWER & (SHARED.keys() | NEUTRAL | MODULES | BLOCKING.keys())


@pytest.mark.parametrize("name", [*SESSION, *WITH_SUBCOMMANDS, "NOSUCHCOMMAND", "", "GET x"])
def test_commands_that_may_change_a_session_are_not_neutral(name: str) -> None:
    assert not leaves_session_alone(name)
