"""What the pool knows about commands: which may share a connection, which block, which are neutral.

Sharing is an allow-list.  A name that is not in `SHARED` takes a dedicated
connection and behaves exactly as in redis-py.
"""

from dataclasses import dataclass, field
from typing import Any

from redis_manager_fastapi.commands.blocking import BLOCKING, upper_word
from redis_manager_fastapi.commands.table import MODULES, READS, WRITES


@dataclass(frozen=True, slots=True)
class SharedCommand:
    """A command that may travel with others on one connection.

    Attributes:
        words: The name as the server wants it, one argument a word.
        read_only: Whether it may be sent again after a lost reply.
        replicable: Whether a replica may answer it.
        script: Whether it runs what the user wrote.
        before_key: The request for one key and nothing else, up to the key's length.
    """

    words: tuple[str, ...]
    read_only: bool
    replicable: bool = False
    script: bool = False
    before_key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        words = "".join(f"${len(word)}\r\n{word}\r\n" for word in self.words)
        object.__setattr__(self, "before_key", f"*{len(self.words) + 1}\r\n{words}$")


# What only reads and is for the primary all the same: what is asked of the server itself;
# cursors, which mean nothing to another server; scripts, which another one need not have;
# and TOUCH, which is about the primary's memory.
# fmt: off
_AT_THE_PRIMARY = frozenset({
    "CLUSTERSCAN", "DBSIZE", "ECHO", "EVALSHA_RO", "EVAL_RO", "FCALL_RO", "HSCAN", "LOLWUT",
    "OBJECT", "PING", "RANDOMKEY", "SCAN", "SSCAN", "TOUCH", "ZSCAN",
})
# fmt: on

SCRIPTS = frozenset({"EVAL", "EVALSHA", "FCALL"})
"""Commands that run what the user wrote, which may have written before it fails."""

ANY_SCRIPTS = SCRIPTS | {"EVALSHA_RO", "EVAL_RO", "FCALL_RO"}
"""The same, and those that only read."""

SHARED: dict[str, SharedCommand] = {
    name: SharedCommand(
        tuple(name.split()),
        read_only,
        replicable=read_only and name not in _AT_THE_PRIMARY,
        script=name in ANY_SCRIPTS,
    )
    for names, read_only in ((READS, True), (WRITES, False))
    for name in names
}

find_shared = SHARED.get
"""Look a name up; the bound method, because CPython 3.11 makes one of an imported dict's anew."""

# Commands that leave a session as they found it, beside the shared and the
# blocking ones.  A connection on which anything else ran is not leased again.
# A container stands for its subcommands; SCRIPT does not, because of SCRIPT DEBUG.
# fmt: off
NEUTRAL = frozenset({
    "ACL", "BGREWRITEAOF", "BGSAVE", "CLIENT GETNAME", "CLIENT GETREDIR", "CLIENT ID",
    "CLIENT INFO", "CLIENT LIST", "CLIENT PAUSE", "CLIENT TRACKINGINFO", "CLIENT UNBLOCK",
    "CLIENT UNPAUSE", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FLUSHALL", "FLUSHDB", "FUNCTION",
    "INFO", "KEYS", "LASTSAVE", "LATENCY", "MEMORY", "MIGRATE", "MODULE LIST", "OBJECT", "PUBSUB",
    "ROLE", "SAVE", "SCRIPT EXISTS", "SCRIPT FLUSH", "SCRIPT KILL", "SCRIPT LOAD", "SLOWLOG",
    "SWAPDB", "TIME", "XGROUP", "XINFO",
})

# The same of servers that are newer than some that are supported, or than any that the table
# was made from: redis-py has methods for them.
NEWER = frozenset({
    "ARCOUNT", "ARDEL", "ARDELRANGE", "ARGET", "ARGETRANGE", "ARGREP", "ARINFO", "ARINSERT",
    "ARLASTITEMS", "ARLEN", "ARMGET", "ARMSET", "ARNEXT", "AROP", "ARRING", "ARSCAN", "ARSEEK",
    "ARSET", "COMMANDLOG", "DELEX", "DIGEST", "HOTKEYS", "INCREX", "LMOVEM", "SDIFFCARD",
    "SUNIONCARD", "XCFGSET", "XNACK",
})
# fmt: on


# Commands that change what their connection does from then on, or report what it has done.
# A container's subcommand is one of them by both words.
# fmt: off
OF_THEIR_CONNECTION = frozenset({
    "ASKING", "AUTH", "CLIENT CACHING", "CLIENT CAPA", "CLIENT IMPORT-SOURCE", "CLIENT NO-EVICT",
    "CLIENT NO-TOUCH", "CLIENT REPLY", "CLIENT SETINFO", "CLIENT SETNAME", "CLIENT TRACKING",
    "DISCARD", "EXEC", "HELLO", "MONITOR", "MULTI", "PSUBSCRIBE", "PSYNC", "PUNSUBSCRIBE", "QUIT",
    "READONLY", "READWRITE", "REPLCONF", "RESET", "SCRIPT DEBUG", "SELECT", "SSUBSCRIBE",
    "SUBSCRIBE", "SUNSUBSCRIBE", "SYNC", "UNSUBSCRIBE", "UNWATCH", "WATCH",
})
# fmt: on

_CONTAINERS = frozenset(name.partition(" ")[0] for name in OF_THEIR_CONNECTION if " " in name)


_A_LISTENER_S = "turns its connection into a listener's: use"
_A_REPLICA_S = "turns its connection into a replica's, and no client reads what follows"

# Those that no client can execute, pinned or not: no reply comes, or what comes is no reply.
# What whoever sends one is told.
UNANSWERED: dict[str, str] = {
    **{
        name: f"{name} {_A_LISTENER_S} `r.pubsub()` or `manager.subscribe()`"
        for name in OF_THEIR_CONNECTION
        if name.endswith("SUBSCRIBE")
    },
    "CLIENT REPLY": "CLIENT REPLY leaves commands without the replies that their callers wait for",
    "MONITOR": f"MONITOR {_A_LISTENER_S} `r.monitor()`",
    "PSYNC": f"PSYNC {_A_REPLICA_S}",
    "SYNC": f"SYNC {_A_REPLICA_S}",
}


def in_words(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a command as it is sent: further words of its name are arguments.

    A name of several words that the tables know stays one; that of a command that blocks is
    spelled as it is there.
    """
    name = args[0]
    words: list[Any] = name.split() if isinstance(name, str | bytes) else []
    if not words or upper_word(name) in _NAMES:
        return args
    if (word := upper_word(words[0])) in BLOCKING:
        words[0] = word
    return (*words, *args[1:])


def command_of_its_connection(args: tuple[Any, ...]) -> str | None:
    """Return the name of a command that means nothing but on its caller's own connection."""
    args = in_words(args)
    name = upper_word(args[0])
    if name in _CONTAINERS and len(args) > 1:
        name = f"{name} {upper_word(args[1])}"
    return name if name in OF_THEIR_CONNECTION else None


def unanswered(args: tuple[Any, ...]) -> str | None:
    """Return the command's name if no reply comes to it, as no client can wait for one."""
    name = command_of_its_connection(args)
    if name == "CLIENT REPLY" and upper_word(args[-1]) == "ON":
        return None
    return name if name in UNANSWERED else None


LEAVE_SESSION = frozenset({*SHARED, *BLOCKING, *NEUTRAL, *NEWER, *MODULES})
"""Names of commands that change nothing about the connection."""

ANYWHERE = LEAVE_SESSION - OF_THEIR_CONNECTION
"""What needs no second look: it is not about its connection."""

_NAMES = LEAVE_SESSION - BLOCKING.keys()

_STANDING = NEUTRAL | NEWER


def leaves_session_alone(name: str, args: tuple[Any, ...] = ()) -> bool:
    """Return whether the upper-case command *name* changes nothing about the connection.

    *args*, if given, tell a subcommand that is an argument of its own.
    """
    if name in LEAVE_SESSION or name.partition(" ")[0] in _STANDING:
        return True
    return len(args) > 1 and f"{name} {upper_word(args[1])}" in NEUTRAL
