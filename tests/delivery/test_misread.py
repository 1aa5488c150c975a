"""Replies of another shape than their command's, which redis-py's parsers stumble over."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import InvalidResponse

from tests.kit.fake_server import FakeServer
from tests.kit.managers import opened

TOLD = r"the reply to (TIME|SCAN|INFO|INCRBYFLOAT|a pipeline's command) has another shape"

Ask = Callable[[Any], Awaitable[object]]

CALLS: dict[str, tuple[Ask, bytes]] = {
    "TypeError": (lambda r: r.time(), b":1\r\n"),
    "ValueError": (lambda r: r.scan(), b"*1\r\n$1\r\n0\r\n"),
    "IndexError": (lambda r: r.time(), b"*1\r\n$1\r\n0\r\n"),
    "AttributeError": (lambda r: r.info(), b":1\r\n"),
    "of a built-in": (lambda r: r.incrbyfloat("key", 1.5), b"$1\r\nx\r\n"),
}


def piped(*, transaction: bool) -> Callable[[Any, Ask], Awaitable[object]]:
    async def execute(r: Any, ask: Ask) -> object:
        pipe = r.pipeline(transaction=transaction)
        ask(pipe)
        return await pipe.execute()

    return execute


async def alone(r: Any, ask: Ask) -> object:
    return await ask(r)


async def pinned(r: Any, ask: Ask) -> object:
    async with r.client() as c:
        return await ask(c)


@pytest.mark.parametrize("dedicated", [False, True], ids=["shared", "dedicated"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("way", [alone, pinned, piped(transaction=False)])
async def test_what_redis_py_stumbles_over_is_an_invalid_response(
    way: Callable[[Any, Ask], Awaitable[object]], call: str, dedicated: bool
) -> None:
    ask, reply = CALLS[call]
    async with FakeServer() as server, opened(server.url) as manager:
        r = manager.redis.with_options(dedicated=dedicated)
        assert await r.echo("a") == "a"
        server.replies[:] = [reply]
        with pytest.raises(InvalidResponse, match=TOLD) as raised:
            await way(r, ask)
        assert raised.value.__cause__ is not None
        server.replies.clear()
        assert await r.echo("b") == "b"


@pytest.mark.parametrize("dedicated", [False, True], ids=["shared", "dedicated"])
@pytest.mark.parametrize("way", [alone, pinned, piped(transaction=False)])
@pytest.mark.parametrize("raised", [ValueError, TimeoutError, AttributeError])
async def test_what_the_user_s_callback_raises_is_the_user_s(
    raised: type[Exception], way: Callable[[Any, Ask], Awaitable[object]], dedicated: bool
) -> None:
    def parse(response: Any, **kwargs: Any) -> Any:
        raise raised("mine")

    async with FakeServer() as server, opened(server.url) as manager:
        r = manager.redis.with_options(dedicated=dedicated)
        r.set_response_callback("ECHO", parse)
        with pytest.raises(raised, match="mine") as told:
            await way(r, lambda r: r.echo("a"))
        assert type(told.value) is raised
