"""What this library takes from redis-py, hiredis and asyncio beside their public face.

A name that goes away fails here, by name, before it fails in production.
"""

import inspect
from typing import Any

import hiredis
import pytest
import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import Connection
from redis.client import EMPTY_RESPONSE, NEVER_DECODE

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.redis_py import PRIVATE_NAMES, PrivateName
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.private_names import exists, title

# Names that are not private, and whose place is documented nowhere.
TAKEN = [
    (Pipeline, "parse_response", "a shared pipeline parses by it"),
    (Pipeline, "load_scripts", "a pipeline with scripts stays redis-py's own"),
    (hiredis, "PushNotification", "RESP3 pushes are told from replies by it"),
    (hiredis, "pack_command", "requests are packed by it"),
    (hiredis, "Reader", "replies are parsed by it"),
]


@pytest.mark.parametrize("row", PRIVATE_NAMES, ids=title)
def test_private_name_exists(row: PrivateName) -> None:
    assert exists(row), f"{title(row)} is gone: {row.reason} ({row.read_in})"


@pytest.mark.parametrize(("owner", "name", "use"), TAKEN, ids=lambda value: str(value)[:60])
def test_name_exists(owner: Any, name: str, use: str) -> None:
    assert hasattr(owner, name), f"{owner.__name__}.{name} is gone; {use}"


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (Pipeline._execute_transaction, ["self", "connection", "commands", "raise_on_error"]),
        (Pipeline._execute_pipeline, ["self", "connection", "commands", "raise_on_error"]),
        (
            redis.asyncio.Redis._send_command_parse_response,
            ["self", "conn", "command_name", "args", "options"],
        ),
    ],
)
def test_arguments_are_the_ones_that_we_pass(function: Any, arguments: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == arguments


async def test_connection_has_a_writer_and_a_parser_with_parse_error(
    redis_server: RedisServer,
) -> None:
    connection = Connection(host=redis_server.host, port=redis_server.port, protocol=2)
    await connection.connect()
    try:
        writer = connection._writer
        assert writer is not None, "a connection that is connected has a writer"
        assert hasattr(writer.transport, "set_protocol"), "the transport's protocol is swapped"
        error = connection._parser.parse_error("WRONGTYPE that is wrong")
        assert isinstance(error, redis.ResponseError)
        assert hasattr(connection, "himport_registry"), "it is gone; the client sets it"
    finally:
        await connection.disconnect()


def test_options_that_change_how_a_reply_is_read_are_strings() -> None:
    assert {EMPTY_RESPONSE, NEVER_DECODE} == {"EMPTY_RESPONSE", "NEVER_DECODE"}


def test_reader_tells_too_little_data_from_a_false_reply() -> None:
    marker = object()
    reader = hiredis.Reader(notEnoughData=marker)

    reader.feed(b"#f\r\n#t")

    assert reader.gets(False) is False
    assert reader.gets(False) is marker


def test_reader_gives_pushes_a_type_of_their_own() -> None:
    reader = hiredis.Reader()

    reader.feed(b">2\r\n+a\r\n+b\r\n*1\r\n+a\r\n")

    assert type(reader.gets()) is hiredis.PushNotification
    assert type(reader.gets()) is list


async def test_the_client_works_without_a_second_layer_of_retries(redis_url: str) -> None:
    """redis-py retries by `conn.retry`; ours are off, because a replay may repeat a write."""
    async with RedisManager(url=redis_url) as manager, manager.connection() as pinned:
        await pinned.ping()

        assert pinned.connection is not None
        assert pinned.connection.retry.get_retries() == 0
