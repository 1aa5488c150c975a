"""Who writes the attributes of a dedicated connection: its own module, and the leases' two."""

import ast
from pathlib import Path

import pytest

from tests.test_layers import PACKAGE, SOURCES, relative

ATTRIBUTES = {
    *("decode", "socket_timeout", "himport_registry"),
    *("generation", "reconnect", "opened_at", "instance"),
}
WRITERS = {"pool/dedicated.py", "pool/leases.py", "pool/revival.py"}


def written(path: Path, source: str) -> set[str]:
    """Return the attributes of those names that *source* assigns to another object.

    What a class writes on itself is its own, a request has `decode` as
    well, and an error `instance`.
    """
    own = set() if relative(path) in WRITERS else {"self", "request", "error"}
    return {
        f"{ast.unparse(node.value)}.{node.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and not isinstance(node.ctx, ast.Load)
        and node.attr in ATTRIBUTES
        and ast.unparse(node.value) not in own
    }


def test_three_modules_write_a_dedicated_connection() -> None:
    found = {relative(path): written(path, path.read_text()) for path in SOURCES}

    assert {name for name, attributes in found.items() if attributes} == WRITERS


@pytest.mark.parametrize(
    "source",
    [
        "connection.decode = True",
        "limit, lease.connection.socket_timeout = 1, None",
        "for connection.generation in (): pass",
        "connection.opened_at += 1",
        "self.connection.reconnect: object = None",
        "with block() as connection.instance: pass",
        "del connection.himport_registry",
    ],
)
def test_every_way_to_write_is_seen(source: str) -> None:
    assert len(written(PACKAGE / "client" / "redis.py", source)) == 1
