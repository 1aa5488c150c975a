"""Write the table of commands that may share a connection, from a running server.

A command is taken when its flags say `readonly` or `write` and none of
`blocking`, `admin`, `pubsub` or `noscript`.  Flags alone are not enough, so
`INCLUDED` and `EXCLUDED` adjust the result, each with its reason.
"""

import asyncio
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

HEADER = '''"""Which commands may share a connection; written by `scripts/commands`, not by hand.

The names are spelled as redis-py sends them: a container and its subcommand
are one name.  `READS` change nothing and may be sent again after a lost reply;
`WRITES` may not.
"""

'''


def names(command: list[Any]) -> list[tuple[str, set[str]]]:
    """Return `(name, flags)` of a COMMAND entry and of its subcommands."""
    name = command[0].upper().replace("|", " ")
    subcommands = command[9] if len(command) > 9 else []
    if subcommands:
        return [entry for sub in subcommands for entry in names(sub)]
    return [(name, set(command[2]))]


def sort_out(commands: list[list[Any]]) -> tuple[set[str], set[str]]:
    """Split the server's commands into reads and writes, and drop the rest."""
    reads, writes = set(INCLUDED_READS), set(INCLUDED_WRITES)
    for command in commands:
        for name, flags in names(command):
            if name in EXCLUDED or flags & REFUSED_FLAGS:
                continue
            if "write" in flags:
                writes.add(name)
            elif "readonly" in flags:
                reads.add(name)
    return reads, writes


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


async def main() -> None:
    """Ask a server and write the table."""
    async with RedisServer() as server:
        commands, source = await ask(server.url)
    reads, writes = sort_out(commands)
    sets = f"{block('READS', reads)}\n{block('WRITES', writes)}"
    TABLE.write_text(f"{HEADER}# Derived from {source}.\n{sets}")


if __name__ == "__main__":
    asyncio.run(main())
