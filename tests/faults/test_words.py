"""Rows 53, 54, 59 and 60: what a server's words mean, and that a script's own mean nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError, WatchError

from redis_manager_fastapi import (
    PoolState,
    RedisManagerError,
    RedisOutOfMemoryError,
    RedisPermissionError,
    RedisUnavailableError,
    RedisWritesRefusedError,
    ReplyLostError,
)
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import RedisServer
from tests.kit.fake_server import FakeServer
from tests.kit.invariants import QUICK, upheld
from tests.kit.managers import opened
from tests.kit.servers import needs, unable_to_save
from tests.kit.waiting import eventually, until

COUNT_AND_FAIL = "redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])"


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def settings(request: pytest.FixtureRequest, mode: dict[str, Any]) -> dict[str, Any]:
    """Both protocols, over shared connections and dedicated ones."""
    if request.param == 3 and needs("RESP3", redis="6.0").args[0]:
        pytest.skip("RESP3 needs Redis 6.0")
    return {**QUICK, **mode, "protocol": request.param}


async def watched(redis: Redis[str]) -> None:
    async with redis.pipeline() as pipe:
        await pipe.watch("key")
        pipe.multi()
        pipe.set("key", "value")
        await pipe.execute()


async def transaction(redis: Redis[str]) -> None:
    await redis.pipeline().set("key", "value").execute()


async def pipeline(redis: Redis[str]) -> None:
    await redis.pipeline(transaction=False).get("key").set("key", "value").execute()


async def pinned(redis: Redis[str]) -> None:
    async with redis.client() as client:
        await client.set("key", "value")


WRITES: dict[str, Callable[[Redis[str]], Awaitable[Any]]] = {
    "command": lambda redis: redis.set("key", "value"),
    "large": lambda redis: redis.set("key", "v" * 70_000),
    "blocking": lambda redis: redis.brpoplpush("list", "list", 1),
    "script": lambda redis: redis.eval("return redis.call('SET', KEYS[1], 1)", 1, "key"),
    "pipeline": pipeline,
    "transaction": transaction,
    "WATCH": watched,
    "pinned": pinned,
}
MAYBE = {"pipeline", "script"}
every_write = pytest.mark.parametrize("write", WRITES)


@pytest.fixture
async def unsaving() -> AsyncIterator[RedisServer]:
    """A server of its own that cannot save."""
    async with RedisServer() as server:
        async with server.client() as admin:
            await admin.set("key", "old")
            await admin.rpush("list", "item")
        async with unable_to_save(server):
            yield server


@every_write
async def test_a_server_that_cannot_save_reads(
    unsaving: RedisServer,
    settings: dict[str, Any],
    write: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Row 53: it opens, it is READY through heartbeats, reads are served, writes say why."""
    with caplog.at_level(logging.WARNING):
        async with opened(unsaving.url, **settings) as manager:
            for _ in range(3):
                assert await manager.redis.get("key") == "old"
                await asyncio.sleep(0.15)
            assert manager.stats().state is PoolState.READY
            with pytest.raises(RedisWritesRefusedError, match="cannot save") as raised:
                await WRITES[write](manager.redis)
            assert isinstance(raised.value, ResponseError)
            assert raised.value.maybe_executed is (write in MAYBE)
            assert manager.stats().generation == 1
    said = [each for each in caplog.messages if "MISCONF" in each]
    assert len(said) == 1


async def test_a_server_that_cannot_save_any_more(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Row 53: the same in operation, and writes go on when it can."""
    async with RedisServer() as server, opened(server.url, **settings) as manager:
        await manager.redis.set("key", "old")
        async with unable_to_save(server):
            await until(lambda: "MISCONF" in caplog.text)
            assert await manager.redis.get("key") == "old"
            with pytest.raises(RedisWritesRefusedError):
                await manager.redis.set("key", "new")
        await server.command("BGSAVE")

        async def saved() -> bool:
            state = await server.command("INFO", "persistence")
            return bool(state["rdb_last_bgsave_status"] == "ok")

        await eventually(saved)
        await manager.redis.set("key", "new")
        assert manager.stats().generation == 1


@every_write
async def test_out_of_memory_on_every_path(
    redis_server: RedisServer, settings: dict[str, Any], write: str
) -> None:
    """Row 15: a 503 by a class that is redis-py's too."""
    async with opened(redis_server.url, **settings) as manager:
        await manager.redis.rpush("list", "item")
        await redis_server.config_set("maxmemory", 1)
        try:
            with pytest.raises(OutOfMemoryError, match="memory is full") as raised:
                await WRITES[write](manager.redis)
        finally:
            await redis_server.config_set("maxmemory", 0)
        assert type(raised.value) is RedisOutOfMemoryError
        assert raised.value.maybe_executed is (write in MAYBE)
        assert await manager.redis.get("key") is None


@every_write
async def test_too_few_replicas(
    redis_server: RedisServer, settings: dict[str, Any], write: str
) -> None:
    """Row 54: a write waits within grace, all callers together, and is told then."""
    if write == "script" and needs("the check of a script's writes", redis="7.0").args[0]:
        pytest.skip("older servers let a script write without replicas")
    waits = write not in ("pipeline", "WATCH", "pinned", "script")
    async with opened(redis_server.url, **settings) as manager:
        clock = asyncio.get_running_loop().time
        await manager.redis.rpush("list", "item")
        await redis_server.config_set("min-replicas-to-write", 1)
        try:
            begun = clock()
            with pytest.raises(RedisWritesRefusedError, match="too few replicas") as raised:
                await WRITES[write](manager.redis)
            assert raised.value.maybe_executed is (write in MAYBE)
            assert (clock() - begun >= 0.5) is waits
            assert clock() - begun < 1.0
            if waits:
                with pytest.raises(RedisWritesRefusedError):
                    await WRITES[write](manager.redis)
                assert clock() - begun < 1.1
        finally:
            await redis_server.config_set("min-replicas-to-write", 0)
        await WRITES[write](manager.redis)
        assert manager.stats().generation == 1


@every_write
async def test_replicas_that_come_back_within_grace(
    redis_server: RedisServer, settings: dict[str, Any], write: str
) -> None:
    """Row 54: what waited is executed, once, and no caller hears of it."""
    if write in ("pipeline", "WATCH", "pinned", "script"):
        pytest.skip("is not sent again")
    async with opened(redis_server.url, **settings) as manager:
        await manager.redis.rpush("list", "item")
        await redis_server.config_set("min-replicas-to-write", 1)
        writing = asyncio.ensure_future(WRITES[write](manager.redis))
        await asyncio.sleep(0.2)
        assert not writing.done()
        await redis_server.config_set("min-replicas-to-write", 0)
        await writing


@pytest.mark.parametrize("words", ["MOVED to the archive", "ASK", "MOVED 1 nowhere:1", "BUSY bee"])
async def test_a_script_s_own_words_are_its_caller_s_alone(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any], words: str
) -> None:
    """Row 59: that caller's own error, run once, while the others notice nothing."""
    async with upheld(redis_server, bystander, **mode) as trial:
        others = [asyncio.ensure_future(trial.redis.incr("others")) for _ in range(5)]
        with pytest.raises(ResponseError) as raised:
            await trial.redis.eval(COUNT_AND_FAIL, 1, "runs", words)
        await asyncio.gather(*others)
        pipe = trial.redis.pipeline(transaction=False).incr("piped")
        pipe.eval(COUNT_AND_FAIL, 1, "runs", words)
        with pytest.raises(ResponseError):
            await pipe.execute()

        assert not isinstance(raised.value, RedisManagerError)
        assert await trial.redis.get("runs") == "2"
        assert trial.manager.stats().generation == 1


async def evaluate_pinned(redis: Redis[str], *args: Any) -> Any:
    async with redis.client() as client:
        return await client.execute_command("EVAL", *args)


async def evaluate_under_watch(redis: Redis[str], *args: Any) -> Any:
    async with redis.pipeline() as pipe:
        await pipe.watch("other")
        evaluating: Any = pipe.execute_command("EVAL", *args)
        return await evaluating


async def evaluate(redis: Redis[str], *args: Any) -> Any:
    return await redis.execute_command("EVAL", *args)


async def evaluate_in_lower_case(redis: Redis[str], *args: Any) -> Any:
    return await redis.execute_command("eval", *args)


EVALUATE = [evaluate, evaluate_in_lower_case, evaluate_pinned, evaluate_under_watch]


@pytest.mark.parametrize("way", EVALUATE)
@pytest.mark.parametrize(
    "words",
    [
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down",
        "READONLY You can't write against a read only replica.",
        "BUSY Redis is busy running a script.",
        "CLUSTERDOWN The cluster is down",
        "NOREPLICAS Not enough good replicas to write.",
        "MISCONF Errors writing to the AOF file",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "NOPERM not this one",
    ],
    ids=lambda words: words.split(" ")[0] if isinstance(words, str) else "",
)
async def test_a_script_in_the_server_s_own_words_may_have_run(
    redis_server: RedisServer,
    mode: dict[str, Any],
    way: Callable[..., Awaitable[Any]],
    words: str,
) -> None:
    """Row 59: nobody can tell them from the server's, so the error does not deny the script."""
    async with opened(redis_server.url, **QUICK, **mode) as manager:
        with pytest.raises(RedisManagerError) as raised:
            await way(manager.redis, COUNT_AND_FAIL, 1, "runs", words)

        assert raised.value.maybe_executed
        assert await manager.redis.get("runs") in ("1", "2")


@pytest.mark.parametrize("words", ["LOADING later", "NOAUTH no", "ERR invalid password", "ERR no"])
@pytest.mark.parametrize("watch", [False, True])
async def test_a_script_s_error_in_a_transaction_is_raised(
    redis_server: RedisServer, mode: dict[str, Any], words: str, watch: bool
) -> None:
    """Row 59: also if redis-py has a class for it that means a lost connection."""
    async with (
        opened(redis_server.url, **QUICK, **mode) as manager,
        manager.redis.pipeline() as pipe,
    ):
        if watch:
            await pipe.watch("other")
            pipe.multi()
        evaluating: Any = pipe.eval(COUNT_AND_FAIL, 1, "runs", words)
        with pytest.raises(RedisError) as raised:
            await evaluating.execute()

        assert not isinstance(raised.value, WatchError)
        assert getattr(raised.value, "maybe_executed", True)
        assert await manager.redis.get("runs") == "1"


@pytest.mark.parametrize(
    "reply",
    [
        b"*1000000000000\r\n",
        b"*4294967295\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"%1\r\n*1\r\n:1\r\n:2\r\n",
        b",abc\r\n",
    ],
)
@pytest.mark.parametrize("blocking", [True, False])
async def test_no_raw_error_leaves(reply: bytes, mode: dict[str, Any], blocking: bool) -> None:
    """Rows 12 and 59: a reply that cannot be read is a lost reply, on every path."""
    async with FakeServer() as server, opened(server.url, **{**QUICK, **mode}) as manager:
        server.replies = [reply]
        with pytest.raises(RedisUnavailableError) as raised:
            await (manager.redis.blpop("list", 1) if blocking else manager.redis.set("key", 1))
        assert raised.value.maybe_executed
        server.replies = []
        assert await manager.redis.get("key") == "key"


async def test_an_answer_to_exec_that_is_none(mode: dict[str, Any]) -> None:
    """Row 12: a transaction whose end is answered by no list has lost its reply."""
    async with FakeServer() as server, opened(server.url, **{**QUICK, **mode}) as manager:
        server.replies = [b"+OK\r\n", b"-ERR no\r\n", b"+QUEUED\r\n"]
        with pytest.raises(ReplyLostError, match="not a reply to it"):
            await manager.redis.pipeline().set("key", 1).execute()
        assert await manager.redis.get("key") == "key"


@pytest.mark.parametrize("report", [b"*0\r\n", b"_\r\n", b":1\r\n", b"%0\r\n"])
async def test_a_report_of_replicas_that_is_no_text(report: bytes, mode: dict[str, Any]) -> None:
    async with FakeServer() as server, opened(server.url, **{**QUICK, **mode}) as manager:
        server.replies = [report]
        with pytest.raises(RedisError):
            await manager.redis.wait(1, 10)


# Transactions that are refused in part.


async def denied(server: RedisServer, *commands: str) -> str:
    """Make a user who may do all but *commands*; return its URL."""
    rights = [f"-{each}" for each in commands]
    await server.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", *rights)
    return server.url.replace("redis://", "redis://app:secret@")


async def counted(redis: Redis[str], *, watch: bool) -> None:
    async with redis.pipeline() as pipe:
        if watch:
            await pipe.watch("other")
            pipe.multi()
        for _ in range(3):
            pipe.incr("counter")
        await pipe.execute()


@needs("ACL", redis="6.2")
@pytest.mark.parametrize("watch", [True, False], ids=["WATCH", "plain"])
@pytest.mark.parametrize("commands", [("multi", "exec"), ("multi",), ("exec",)], ids="-".join)
async def test_a_transaction_that_is_refused_in_part(
    redis_server: RedisServer,
    settings: dict[str, Any],
    commands: tuple[str, ...],
    watch: bool,
) -> None:
    """Row 60: without MULTI its commands run one by one, and the error does not deny it."""
    url = await denied(redis_server, *commands)
    async with opened(url, **settings) as manager:
        with pytest.raises(RedisError) as raised:
            await counted(manager.redis, watch=watch)
        ran = await redis_server.command("GET", "counter")
        assert (ran is not None) is ("multi" in commands)
        assert getattr(raised.value, "maybe_executed", True) or not ran
        if commands != ("exec",):
            assert isinstance(raised.value, RedisPermissionError)
    await redis_server.command("ACL", "DELUSER", "app")


@pytest.mark.parametrize(
    "words", ["READONLY You can't write against a read only replica.", "OOM > 'maxmemory'"]
)
async def test_a_transaction_one_of_whose_commands_fails_has_run(
    redis_server: RedisServer, settings: dict[str, Any], words: str
) -> None:
    """A refusal among EXEC's replies is a script's, and the other commands ran."""
    async with opened(redis_server.url, **settings) as manager:
        pipe = manager.redis.pipeline().incr("counter")
        pipe.eval(COUNT_AND_FAIL, 1, "runs", words)
        with pytest.raises(RedisUnavailableError) as raised:
            await pipe.execute()
        assert raised.value.maybe_executed
        assert await manager.redis.get("counter") == "1"
        assert await manager.redis.get("runs") == "1"


async def test_readonly_inside_a_script_leaves_the_server(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any]
) -> None:
    """Row 16: before 7.0 the word comes within others."""
    async with upheld(redis_server, bystander, **mode) as trial:
        await redis_server.command("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(RedisUnavailableError, match="READONLY"):
            await trial.redis.eval("return redis.call('SET', KEYS[1], 1)", 1, "key")
        assert trial.manager.stats().generation > 1
        await redis_server.command("REPLICAOF", "NO", "ONE")
