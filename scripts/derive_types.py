"""Write the types of commands and their replies, from redis-py's own annotations.

redis-py annotates each command twice, for its blocking and for its asyncio
client, and says `bytes | str` wherever a reply is text.  This script takes the
second ones and writes `TextT` in that place, so that a client for `str` and one
for `bytes` each have exact replies.  It writes them again for pipelines, whose
commands return the pipeline.

`REPLIES`, `BY_ARGUMENT` and `ITERATORS` say what redis-py's annotations do not,
and `LEFT` names the methods that stay as they are in redis-py.
"""

import ast
import builtins
import collections.abc
import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

import redis
import redis.asyncio
import redis.asyncio.client
import redis.asyncio.cluster
import redis.typing

STUB = Path(__file__).parent.parent / "redis_manager_fastapi" / "client" / "typed.pyi"

# Replies whose annotation in redis-py is wrong, or wider than the reply with RESP2.
_POPPED = "tuple[TextT, TextT] | None"
_POPPED_SCORE = "tuple[TextT, TextT, float] | None"
_SCORED = "list[TextT] | list[tuple[TextT, Any]]"
_ENTRIES = "list[tuple[TextT, dict[TextT, TextT]]]"
REPLIES = {
    "acl_cat": "list[str]",
    "acl_genpass": "str",
    "acl_getuser": "dict[str, Any] | None",
    "acl_help": "list[str]",
    "acl_list": "list[str]",
    "acl_users": "list[str]",
    "acl_whoami": "str",
    "bgrewriteaof": "bool",
    "bgsave": "bool",
    "blpop": _POPPED,
    "brpop": _POPPED,
    "bzpopmax": _POPPED_SCORE,
    "bzpopmin": _POPPED_SCORE,
    "client_trackinginfo": "list[Any]",
    "command_getkeys": "list[str]",
    "geohash": "list[str | None]",
    "geopos": "list[tuple[float, float] | None]",
    "hrandfield": "TextT | list[TextT] | None",
    "spop": "TextT | list[TextT] | None",
    "xadd": "TextT | None",
    "xrange": _ENTRIES,
    "xread": "list[list[Any]]",
    "xreadgroup": "list[list[Any]]",
    "xrevrange": _ENTRIES,
    "zdiff": "list[TextT]",  # with scores too, flat
    "zinter": _SCORED,
    "zpopmax": "list[tuple[TextT, float]]",
    "zpopmin": "list[tuple[TextT, float]]",
    "zrandmember": "TextT | list[TextT] | None",
    "zrange": _SCORED,
    "zrangebyscore": _SCORED,
    "zrevrange": _SCORED,
    "zrevrangebyscore": _SCORED,
    "zscan": "tuple[int, list[tuple[TextT, Any]]]",
    "zunion": _SCORED,
}

# Replies that depend on one argument: its annotations, the default's first, with their replies.
_OFF, _ON = "Literal[False]", "Literal[True]"
_WITH_SCORES = ("withscores", {_OFF: "list[TextT]", _ON: "list[tuple[TextT, float]]"})
_POP = ("count", {"None": "TextT | None", "int": "list[TextT] | None"})
_WITH_SCORE = ("withscore", {_OFF: "int | None", _ON: "list[Any] | None"})
BY_ARGUMENT = {
    "hrandfield": ("count", {"None": "TextT | None", "int": "list[TextT]"}),
    "hscan": (
        "no_values",
        {
            f"{_OFF} | None": "tuple[int, dict[TextT, TextT]]",
            _ON: "tuple[int, list[TextT]]",
        },
    ),
    "hscan_iter": ("no_values", {f"{_OFF} | None": "tuple[TextT, TextT]", _ON: "TextT"}),
    "lpop": _POP,
    "lpos": ("count", {"None": "int | None", "int": "list[int]"}),
    "rpop": _POP,
    "set": ("get", {_OFF: "bool | None", _ON: "TextT | None"}),
    "spop": ("count", {"None": "TextT | None", "int": "list[TextT]"}),
    "srandmember": ("number", {"None": "TextT | None", "int": "list[TextT]"}),
    "xadd": ("nomkstream", {_OFF: "TextT", _ON: "TextT | None"}),
    "xclaim": (
        "justid",
        {_OFF: "list[tuple[TextT | None, dict[TextT, TextT] | None]]", _ON: "list[TextT]"},
    ),
    "zadd": ("incr", {_OFF: "int", _ON: "float | None"}),
    "zinter": _WITH_SCORES,
    "zrandmember": ("count", {"None": "TextT | None", "int": "list[TextT]"}),
    "zrange": _WITH_SCORES,
    "zrangebyscore": _WITH_SCORES,
    "zrank": _WITH_SCORE,
    "zrevrange": _WITH_SCORES,
    "zrevrangebyscore": _WITH_SCORES,
    "zrevrank": _WITH_SCORE,
    "zscan": ("score_cast_func", {"type[float]": "tuple[int, list[tuple[TextT, float]]]"}),
    "zscan_iter": ("score_cast_func", {"type[float]": "tuple[TextT, float]"}),
    "zunion": _WITH_SCORES,
}

# An argument that changes the type of scores; a call with it has the widest reply.
_UNLESS_GIVEN = "score_cast_func"

# Arguments whose annotation in redis-py is narrower than what its code takes.
_KEYS = {"keys": "KeysT", "args": "KeyT"}
ARGUMENTS = {
    "sdiff": _KEYS,
    "sdiffstore": _KEYS | {"dest": "KeyT"},
    "sinter": _KEYS,
    "sinterstore": _KEYS,
    "sismember": {"value": "EncodableT"},
    "smismember": {"values": "EncodableT | Iterable[EncodableT]", "args": "EncodableT"},
    "sunion": _KEYS,
    "sunionstore": _KEYS,
    "xclaim": {"message_ids": "list[Any] | tuple[StreamIdT, ...]"},
}

# What the iterators yield, which redis-py does not say.
ITERATORS = {
    "scan_iter": "TextT",
    "sscan_iter": "TextT",
    "hscan_iter": "tuple[TextT, TextT] | TextT",
    "zscan_iter": "tuple[TextT, Any]",
}

# Methods that stay as they are in redis-py, and why.
_NOT_SUPPORTED = "raises NotImplementedError"
_MODULE = "a module's commands, with types of their own"
_NO_ANNOTATION = "redis-py does not say what it returns"
_BY_CLUSTER = "redis-py's cluster client raises, or runs it node by node"
LEFT = {
    "bf": _MODULE,
    "bitfield": "builds a command",
    "cf": _MODULE,
    "client_tracking_off": _BY_CLUSTER,
    "client_tracking_on": _BY_CLUSTER,
    "cluster_bumpepoch": _NOT_SUPPORTED,
    "cluster_delslots": _BY_CLUSTER,
    "cluster_flushslots": _NOT_SUPPORTED,
    "cms": _MODULE,
    "command_docs": _NOT_SUPPORTED,
    "command_info": _NOT_SUPPORTED,
    "debug_segfault": _NOT_SUPPORTED,
    "digest_local": "computes; it sends nothing",
    "failover": _NOT_SUPPORTED,
    "ft": _MODULE,
    "hello": _NOT_SUPPORTED,
    "hotkeys_get": _BY_CLUSTER,
    "hotkeys_reset": _BY_CLUSTER,
    "hotkeys_start": _BY_CLUSTER,
    "hotkeys_stop": _BY_CLUSTER,
    "json": _MODULE,
    "latency_doctor": _NOT_SUPPORTED,
    "latency_graph": _NOT_SUPPORTED,
    "latency_histogram": _NOT_SUPPORTED,
    "memory_doctor": _NOT_SUPPORTED,
    "memory_help": _NOT_SUPPORTED,
    "mget_nonatomic": _BY_CLUSTER,
    "mset_nonatomic": _BY_CLUSTER,
    "readonly": _BY_CLUSTER,
    "readwrite": _BY_CLUSTER,
    "register_script": "makes a script; calling it returns anything",
    "replicaof": _BY_CLUSTER,
    "script_debug": _NOT_SUPPORTED,
    "sentinel": "only warns that it is deprecated",
    "shutdown": "ends the server",
    "slaveof": _BY_CLUSTER,
    "swapdb": _BY_CLUSTER,
    "tdigest": _MODULE,
    "topk": _MODULE,
    "ts": _MODULE,
    "unwatch": _NO_ANNOTATION,
    "vset": _MODULE,
    "watch": _NO_ANNOTATION,
}

HEADER = '''"""Commands and their replies; written by `scripts/types`, not by hand.

A client or pipeline lists one of these classes first among its bases.  At run
time that base disappears; see `typed.py`.

Replies are those with RESP2, the default; with RESP3 a few have another shape.
"""

'''

CLIENTS = (redis.asyncio.Redis, redis.asyncio.RedisCluster)
PIPELINES = (redis.asyncio.client.Pipeline, redis.asyncio.cluster.ClusterPipeline)

# What else a client has.  Any, because *func* may take redis-py's pipeline or ours.
CLIENT = {
    "transaction": """\
async def transaction(
    self,
    func: Callable[[Any], Any],
    *watches: KeyT,
    shard_hint: str | None = None,
    value_from_callable: bool = False,
    watch_delay: float | None = None,
) -> Any:
    \"\"\"Execute what *func* queues on a pipeline, with the keys watched.\"\"\"
""",
}

# What else a pipeline has.  Awaiting a command returns its reply under WATCH, else the pipeline.
PIPELINE = {
    "__aenter__": "async def __aenter__(self) -> Self: ...",
    "__await__": "def __await__(self) -> Generator[Any, Any, Any]: ...",
}

# What generic types without parameters mean.
BARE = {"list": "list[Any]", "Callable": "Callable[..., Any]"}

# Containers whose keys or members must have exactly the declared type.
INVARIANT = {"list", "dict", "mapping"}

# Builtins that an annotation cannot name, because a command has the same name.
SHADOWED = {"set", "type", "object"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Node = TypeVar("Node", bound=ast.AST)


@dataclass(frozen=True)
class Command:
    """One command as redis-py declares it.

    Attributes:
        name: The method's name.
        node: Its declaration for the asyncio client.
        doc: The first sentence of its documentation.
    """

    name: str
    node: Function
    doc: str


def commands(client: type) -> dict[str, Command | None]:
    """Return the public command methods of one of redis-py's clients; None for what has no type."""
    found: dict[str, Command | None] = {}
    for name in dir(client):
        owner = next(each for each in client.__mro__ if name in each.__dict__)
        if name.startswith("_") or not owner.__module__.startswith("redis.commands."):
            continue
        node = declaration(owner, name)
        found[name] = node and Command(name, node, sentence(getattr(client, name)))
    return found


def sentence(method: object) -> str:
    """Return the first sentence of a method's documentation."""
    paragraph = (inspect.getdoc(method) or "").split("\n\n")[0]
    words = " ".join(paragraph.split())
    first = re.split(r"\. |:param|:rtype|:return|See:|For more", words)[0].strip(" .")
    return first.replace("\\", "").replace('"', "'").replace("``", "`").strip("# ")


def declaration(owner: type, name: str) -> Function | None:
    """Return the declaration of a method for the asyncio client."""
    for node in class_body(owner):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return declaration(owner, ast.unparse(node.value))
        if not isinstance(node, Function) or node.name != name:
            continue
        if name in ITERATORS or "AsyncClientProtocol" in ast.unparse(node.args):
            return node
    return None


def class_body(owner: type) -> list[ast.stmt]:
    """Return the statements of a class."""
    return next(each.body for each in classes_of(owner.__module__) if each.name == owner.__name__)


def classes_of(module: str) -> list[ast.ClassDef]:
    """Return the classes of a module."""
    return [node for node in module_of(module).body if isinstance(node, ast.ClassDef)]


@cache
def module_of(name: str) -> ast.Module:
    """Return a module's source as a tree."""
    return ast.parse(inspect.getsource(sys.modules[name]))


# From redis-py's annotations to ours.


class Types(ast.NodeTransformer):
    """Writes `TextT` for `bytes | str`, also inside redis-py's aliases, and `X | Y` for `Union`.

    Args:
        reply: Whether these are a reply's types; an argument's stay what they are.
    """

    def __init__(self, *, reply: bool) -> None:
        self._reply = reply

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Open an alias that has text in it."""
        if node.id in {"List", "Dict", "Tuple", "Set"}:
            node.id = node.id.lower()
        if node.id in BARE:
            return ast.parse(BARE[node.id], mode="eval").body
        if self._reply and (alias := ALIASES.get(node.id)) is not None:
            opened: ast.expr = self.visit(deepcopy(alias))
            return opened if "TextT" in ast.unparse(opened) else node
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Take an annotation out of its quotes."""
        if not isinstance(node.value, str):
            return node
        opened: ast.expr = self.visit(ast.parse(node.value, mode="eval").body)
        return opened

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Write a union with text in it."""
        return self._union(list(members(node)))

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Write `Optional` and `Union` as unions."""
        head = ast.unparse(node.value)
        if head == "Literal":
            return node
        if head == "Optional":
            return self._union([node.slice, ast.Constant(None)])
        if head == "Union" and isinstance(node.slice, ast.Tuple):
            return self._union(node.slice.elts)
        node.slice = self.visit(node.slice)
        if not self._reply and head.lower() in INVARIANT:
            return opened(head.lower().replace("mapping", "Mapping"), node)
        if isinstance(node.value, ast.Name) and node.value.id in {"List", "Dict", "Tuple", "Set"}:
            node.value.id = node.value.id.lower()
        return node

    def _union(self, parts: Iterable[ast.expr]) -> ast.expr:
        written = dict.fromkeys(
            ast.unparse(part) for each in parts for part in members(self.visit(deepcopy(each)))
        )
        if self._reply and {"bytes", "str"} <= written.keys():
            first = next(each for each in written if each in {"bytes", "str"})
            names = ["TextT" if each == first else each for each in written]
            written = dict.fromkeys(each for each in names if each not in {"bytes", "str"})
        ordered = sorted(written, key="None".__eq__)
        return ast.parse(" | ".join(ordered), mode="eval").body


def opened(head: str, node: ast.Subscript) -> ast.expr:
    """Return a union of a container of `str`, one of `bytes` and the declared one."""
    first, *rest = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if ast.unparse(first) not in {"KeyT", "FieldT", "StreamIdT"}:
        wanted = f"{head}[{ast.unparse(node.slice).strip('()')}]"
        return ast.parse(wanted, mode="eval").body
    value = ["Any"] if head == "dict" else [ast.unparse(each) for each in rest]
    kinds = ("str", "bytes", ast.unparse(first))
    union = " | ".join(f"{head}[{', '.join([kind, *value])}]" for kind in kinds)
    return ast.parse(union, mode="eval").body


def members(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the members of a union."""
    if isinstance(node, ast.BinOp):
        yield from members(node.left)
        yield from members(node.right)
    else:
        yield node


def aliases() -> dict[str, ast.expr]:
    """Return redis-py's names for types."""
    return {
        ast.unparse(node.targets[0]): node.value
        for node in module_of("redis.typing").body
        if isinstance(node, ast.Assign)
    }


ALIASES = aliases()


def reply_of(command: Command) -> str:
    """Return the type of a command's reply."""
    if command.name in ITERATORS:
        return ITERATORS[command.name]
    if command.name in REPLIES:
        return REPLIES[command.name]
    awaitable = cast(ast.Subscript, command.node.returns)
    return ast.unparse(Types(reply=True).visit(deepcopy(awaitable.slice)))


def awaited(command: Command, reply: str) -> Function:
    """Return the declaration of a client's command with *reply* as what it answers."""
    if command.name in ITERATORS:
        return signature(command, f"AsyncIterator[{reply}]")
    declaration = vars(signature(command, reply))
    return ast.AsyncFunctionDef(**declaration)


def signature(command: Command, returns: str) -> ast.FunctionDef:
    """Return a command's declaration with *returns* as what it returns."""
    arguments = deepcopy(command.node.args)
    arguments.args[0].annotation = None
    arguments.defaults = [plain(each) for each in arguments.defaults]
    arguments.kw_defaults = [each and plain(each) for each in arguments.kw_defaults]
    every = [*arguments.posonlyargs, *arguments.args[1:], *arguments.kwonlyargs]
    known = ARGUMENTS.get(command.name, {})
    for each in [*every, *filter(None, (arguments.vararg, arguments.kwarg))]:
        wanted = each.annotation or ast.Name("Any")
        if each.arg in known:
            wanted = ast.parse(known[each.arg], mode="eval").body
        each.annotation = Types(reply=False).visit(wanted)
    returned = expression(returns)
    unshadow(arguments)
    return ast.FunctionDef(
        name=command.name,
        args=arguments,
        body=[ast.Expr(ast.Constant(...))],
        decorator_list=[],
        returns=returned,
        type_params=[],
    )


def expression(source: str) -> ast.expr:
    """Return an annotation for use inside a class of commands."""
    return unshadow(ast.parse(source, mode="eval").body)


def unshadow(node: Node) -> Node:
    """Qualify the builtins that share their name with a command."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and each.id in SHADOWED:
            each.id = f"builtins.{each.id}"
    return node


def plain(default: ast.expr) -> ast.expr:
    """Return a default that needs no name of redis-py's."""
    return default if isinstance(default, ast.Constant) else ast.Constant(...)


def declared(command: Command) -> list[Function]:
    """Return the declarations of a client's command, one for each kind of reply."""
    whole = awaited(command, reply_of(command))
    if command.name not in BY_ARGUMENT:
        return [whole]
    argument, replies = BY_ARGUMENT[command.name]
    found = []
    for number, (annotation, reply) in enumerate(replies.items()):
        one = awaited(command, reply)
        narrow(one.args, argument, annotation, required=number > 0)
        found.append(one)
    for each in (*found, whole):
        each.decorator_list.append(ast.Name("overload"))
    return [*found, whole]


def narrow(arguments: ast.arguments, name: str, annotation: str, *, required: bool) -> None:
    """Give one argument another annotation.

    A required one loses its default, and has to be named if an optional one
    stands before it.
    """
    position = next(i for i, each in enumerate(arguments.args) if each.arg == name)
    arguments.args[position].annotation = expression(annotation)
    if not required:
        return
    keep_positional(arguments, position)
    arguments.kw_defaults[0] = None
    if not arguments.defaults:
        arguments.args.append(arguments.kwonlyargs.pop(0))
        arguments.kw_defaults.pop(0)
    names = [each.arg for each in arguments.kwonlyargs]
    if _UNLESS_GIVEN in names:
        index = names.index(_UNLESS_GIVEN)
        del arguments.kwonlyargs[index], arguments.kw_defaults[index]


def keep_positional(arguments: ast.arguments, number: int) -> None:
    """Leave the first *number* arguments positional; the others, all optional, have to be named."""
    defaults = len(arguments.args) - number
    arguments.kwonlyargs = [*arguments.args[number:], *arguments.kwonlyargs]
    arguments.kw_defaults = [*arguments.defaults[-defaults:], *arguments.kw_defaults]
    arguments.args = arguments.args[:number]
    arguments.defaults = arguments.defaults[:-defaults]


# Writing.


def typed(client: type) -> dict[str, Command]:
    """Return the commands of a client that get types."""
    return {name: command for name, command in commands(client).items() if command is not None}


def method(command: Command, nodes: list[Function]) -> str:
    """Return the source of a method, with its documentation at its first declaration."""
    if command.doc:
        nodes[0].body = [ast.Expr(ast.Constant(f"{command.doc}."))]
    return "\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in nodes)


def write(name: str, base: str, methods: dict[str, str], doc: str) -> str:
    """Return the source of one class."""
    lines = "".join(f"    {line}\n" for each in methods.values() for line in each.splitlines())
    return f'class {name}{base}:\n    """{doc}"""\n\n{lines}\n'


def divided(first: dict[str, str], second: dict[str, str]) -> list[dict[str, str]]:
    """Return what both have in common, what only the first has and what only the second has."""
    common = {name: source for name, source in first.items() if second.get(name) == source}
    own = [
        {name: source for name, source in each.items() if name not in common}
        for each in (first, second)
    ]
    return [common, *own]


def client_methods(client: type) -> dict[str, str]:
    """Return the source of each typed command of a client."""
    return {name: method(each, declared(each)) for name, each in typed(client).items()}


def pipeline_methods(pipeline: type) -> dict[str, str]:
    """Return the source of each typed command of a pipeline."""
    return {
        name: ast.unparse(ast.fix_missing_locations(signature(each, "Self")))
        for name, each in typed(pipeline).items()
        if name not in ITERATORS
    }


def classes() -> str:
    """Return the source of all classes."""
    every, single, cluster = divided(*map(client_methods, CLIENTS))
    queued, queued_single, queued_cluster = divided(*map(pipeline_methods, PIPELINES))
    return "".join(
        [
            write("Commands", "(Generic[TextT])", CLIENT | every, "The commands of every client."),
            write(
                "RedisCommands", "(Commands[TextT])", single, "What only one server's client has."
            ),
            write(
                "ClusterCommands", "(Commands[TextT])", cluster, "What only a Cluster's client has."
            ),
            write("QueuedCommands", "", PIPELINE | queued, "The commands of every pipeline."),
            write(
                "PipelineCommands", "(QueuedCommands)", queued_single, "What only one server's has."
            ),
            write(
                "ClusterPipelineCommands",
                "(QueuedCommands)",
                queued_cluster,
                "What only a Cluster's has.",
            ),
        ]
    )


def imports(source: str) -> str:
    """Return the imports of what the classes use."""
    used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    lines = []
    for module, names in (
        ("collections.abc", vars(collections.abc)),
        ("typing", {"Any", "Generic", "Literal", "Self", "overload"}),
        ("redis.commands.core", {node.name for node in classes_of("redis.commands.core")}),
        ("redis.asyncio.cluster", {"TargetNodesT"}),
        ("redis.typing", ALIASES),
    ):
        wanted = ", ".join(sorted(used & set(names)))
        lines.append(f"from {module} import {wanted}\n")
        used -= set(names)
    unknown = {name for name in used if not hasattr(builtins, name)}
    if unknown != {"TextT", "Commands", "QueuedCommands", "builtins", "datetime"}:
        raise LookupError(f"redis-py's annotations use names from elsewhere: {unknown}")
    return "import builtins\nimport datetime\n" + "".join(lines)


def formatted(source: str) -> str:
    """Return *source* as the linter would have it."""
    for arguments in (["check", "--fix-only", "--quiet"], ["format", "--quiet"]):
        command = ["ruff", *arguments, "--stdin-filename", str(STUB), "-"]
        source = subprocess.run(
            [sys.executable, "-m", *command],
            input=source,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return source


def source() -> str:
    """Return the whole file, not formatted."""
    body = classes()
    return (
        f"{HEADER}{imports(body)}from typing_extensions import TypeVar\n\n"
        f"# Derived from redis-py {redis.__version__}.\n\n"
        f'TextT = TypeVar("TextT", bound=str | bytes, default=str)\n\n{body}'
    )


def main() -> None:
    """Write the file."""
    STUB.write_text(formatted(source()))


if __name__ == "__main__":
    main()
