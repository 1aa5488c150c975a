"""Write the table of commands that may share a connection, from running servers.

A command is taken when its flags say `readonly` or `write` and none of
`blocking`, `admin`, `pubsub` or `noscript`.  Flags alone are not enough, so
`INCLUDED` and `EXCLUDED` adjust the result, each with its reason.

A module's command is shared when it is about one key of its own, which is its
first argument, or about a few from there on: such a command is over as soon as
one of a hash's is.  The others of modules search, or ask many keys: they leave
a session alone, and travel alone.

The embedded server contributes, and every server whose program is an argument.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from redis.asyncio.connection import Connection, parse_url

from redis_manager_fastapi.testing.server import RedisServer

TABLE = Path(__file__).parent.parent / "redis_manager_fastapi" / "commands" / "table.py"

REFUSED_FLAGS = {"blocking", "admin", "pubsub", "noscript"}

# Taken although no flag says so: they keep no session and never block the connection.
INCLUDED_READS = {"PING", "ECHO", "OBJECT", "EVAL_RO", "EVALSHA_RO", "FCALL_RO"}
INCLUDED_WRITES = {"PUBLISH", "SPUBLISH", "EVAL", "EVALSHA", "FCALL"}

# Left out although the flags allow them.
EXCLUDED = {
    "MIGRATE",  # blocks the server on another one
    "KEYS",  # walks the whole data set
    "FLUSHALL",
    "FLUSHDB",  # may take seconds
    "SWAPDB",  # changes what every other caller sees
    "XREAD",
    "XREADGROUP",  # block when told so by an argument
    "RESTORE-ASKING",  # what servers say to each other
}

# The keys of these are names of indexes; what they do may take long, whatever its flags say.
SEARCH = "FT."
# Suggestions are keys like any other.
SUGGESTIONS = "FT.SUG"

# Commands of modules that travel alone although they are about one key.
ALONE = {
    "BF.DEBUG",
    "CF.COMPACT",
    "CF.DEBUG",  # for who works on the module
    "BF.SCANDUMP",
    "CF.SCANDUMP",  # answer with megabytes
    "VSIM",  # runs in a thread of the server, and whatever follows on its connection waits
}
# Of versions that are newer than the servers here.
INCLUDED_ALONE = {
    "FT.ALIASLIST",
    "FT.HYBRID",
    "TS.NRANGE",
    "TS.NREVRANGE",
    "TS.QUERYLABELS",
    "TS.READ",
    "VRANGE",
}

HEADER = '''"""Which commands may share a connection; written by `scripts/commands`, not by hand.

The names are spelled as redis-py sends them: a container and its subcommand
are one name.  `READS` change nothing and may be sent again after a lost reply;
`WRITES` may not.  `MODULES` are commands of modules that do not share a
connection, and leave a session as they found it.
"""

'''


def names(command: list[Any]) -> list[tuple[str, set[str]]]:
    """Return `(name, flags)` of a COMMAND entry and of its subcommands; a module's are its own."""
    name, flags = command[0].upper().replace("|", " "), set(command[2])
    subcommands = command[9] if len(command) > 9 and "module" not in flags else []
    if subcommands:
        return [entry for sub in subcommands for entry in names(sub)]
    return [(name, flags)]


def sort_out(commands: list[list[Any]]) -> tuple[set[str], set[str], set[str]]:
    """Split the servers' commands into reads, writes and others of modules; drop the rest."""
    reads, writes, modules = set(INCLUDED_READS), set(INCLUDED_WRITES), set(INCLUDED_ALONE)
    for command in commands:
        for name, flags in names(command):
            if name in EXCLUDED or flags & REFUSED_FLAGS:
                continue
            if "module" in flags and travels_alone(name, first_key=command[3]):
                modules.add(name)
            elif "write" in flags:
                writes.add(name)
            elif "readonly" in flags:
                reads.add(name)
    return reads, writes, modules


def travels_alone(name: str, *, first_key: int) -> bool:
    """Whether a module's command does not share a connection."""
    searches = name.startswith(SEARCH) and not name.startswith(SUGGESTIONS)
    return name in ALONE or searches or first_key != 1


def block(title: str, entries: set[str]) -> str:
    """Return the source of one frozenset, a name a line."""
    lines = "".join(f'        "{name}",\n' for name in sorted(entries))
    return f"{title}: frozenset[str] = frozenset(\n    {{\n{lines}    }}\n)\n"


async def ask(url: str) -> tuple[list[list[Any]], str]:
    """Return the server's COMMAND reply as it stands on the wire, and which server it is."""
    connection = Connection(**parse_url(url), protocol=2, decode_responses=True)
    try:
        await connection.send_command("COMMAND")
        commands = await connection.read_response()
        await connection.send_command("INFO", "server")
        info = await connection.read_response()
    finally:
        await connection.disconnect()
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    if version := fields.get("valkey_version"):
        return commands, f"Valkey {version}"
    return commands, f"Redis {fields['redis_version']}"


async def main(programs: list[str]) -> None:
    """Ask the servers and write the table."""
    commands, sources = list[list[Any]](), list[str]()
    for program in (None, *map(Path, programs)):
        async with RedisServer(binary=program) as server:
            known, source = await ask(server.url)
            commands += known
            sources.append(source)
    reads, writes, modules = sort_out(commands)
    sets = "\n".join(
        block(*each) for each in (("READS", reads), ("WRITES", writes), ("MODULES", modules))
    )
    TABLE.write_text(f"{HEADER}# Derived from {', '.join(sources)}.\n{sets}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
