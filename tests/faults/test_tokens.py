"""Credentials that change while connections are open: streamed tokens, and files under load."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from redis.auth.idp import IdentityProviderInterface
from redis.auth.token import SimpleToken, TokenInterface
from redis.auth.token_manager import (
    CredentialsListener,
    RetryPolicy,
    TokenManager,
    TokenManagerConfig,
)
from redis.credentials import StreamingCredentialProvider

from redis_manager_fastapi import PoolState
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.clusters import shard_keys
from tests.kit.invariants import upheld
from tests.kit.managers import opened, until_state
from tests.kit.servers import needs
from tests.kit.waiting import eventually, until

pytestmark = needs("ACL", redis="6.0")

USERS = ("first", "second")


class Tokens(StreamingCredentialProvider):
    """A provider that pushes the tokens that the test wants."""

    def __init__(self, user: str = "first", value: str = "secret-1") -> None:
        self.given = (user, value)
        self.next: Callable[[Any], Any] = self._unheard
        self.error: Callable[[Exception], Any] = self._unheard

    def _unheard(self, _: Any) -> None:
        raise AssertionError("nobody listens")

    def get_credentials(self) -> tuple[str, str]:
        raise AssertionError("the event loop would stand still")

    async def get_credentials_async(self) -> tuple[str, str]:
        await asyncio.sleep(0)
        return self.given

    def on_next(self, callback: Callable[[Any], Any]) -> None:
        self.next = callback

    def on_error(self, callback: Callable[[Exception], Any]) -> None:
        self.error = callback

    def is_streaming(self) -> bool:
        return True

    def push(self, user: str, value: str) -> Any:
        """Give these credentials from now on, and say so."""
        self.given = (user, value)
        return self.next(SimpleToken(value, -1, 0, {"oid": user}))


async def grant(server: RedisServer, user: str, value: str) -> None:
    """Let *user* in by *value*; what it may do is whatever the default user may."""
    await server.command("ACL", "SETUSER", user, "on", f">{value}", "~*", "&*", "+@all")


async def users(server: RedisServer) -> list[str]:
    """Whose connections the server has, but for the one that asks."""
    clients = await server.command("CLIENT LIST")
    return sorted(each["user"] for each in clients if each["user"] != "default")


async def all_are(server: RedisServer, user: str) -> None:
    """Wait until every connection is that user's."""

    async def holds() -> bool:
        return set(await users(server)) == {user}

    await eventually(holds)


async def connections_received(server: RedisServer) -> int:
    """How many connections the server has accepted, this question's included."""
    return int((await server.command("INFO", "stats"))["total_connections_received"])


@pytest.mark.parametrize("pushed", ["called", "awaited", "from a thread"])
async def test_a_pushed_token_reaches_every_open_connection(
    redis_server: RedisServer, bystander: RedisServer, mode: dict[str, Any], pushed: str
) -> None:
    """Row 19: in band, under load: not one error, and not one connect."""
    for user in USERS:
        await grant(redis_server, user, "secret-1")
    tokens = Tokens()
    async with upheld(redis_server, bystander, credential_provider=tokens, **mode) as trial:
        await trial.warm(4)
        before = await connections_received(redis_server)
        questions = 0
        async with trial.traffic(150, "read", "write", "transact", "block"):
            for number in range(2, 8):
                user = USERS[number % 2]
                await grant(redis_server, user, f"secret-{number}")
                if pushed == "from a thread":
                    thread = threading.Thread(target=tokens.push, args=(user, f"secret-{number}"))
                    thread.start()
                    thread.join()
                elif pushed == "awaited":
                    await tokens.push(user, f"secret-{number}")
                else:
                    tokens.push(user, f"secret-{number}")
                await asyncio.sleep(0.1)
                questions += 1
        await all_are(redis_server, user)
        idle = trial.manager.stats().idle

        assert trial.errors() == {}
        assert idle >= 4
        assert trial.manager.stats().generation == 1
        # The dedicated connections that the load needed at once may be more than were warm.
        ours = trial.manager.stats().connects
        assert ours <= trial.manager.stats().links + idle
        assert await connections_received(redis_server) - before >= questions
        # Nothing is the old user's any more, so nothing of ours ends with it.
        await redis_server.command("ACL", "DELUSER", next(each for each in USERS if each != user))
        assert await trial.read() is None
        assert trial.manager.stats().connects == ours


async def test_a_leased_connection_gets_the_token_before_it_is_leased_again(
    redis_server: RedisServer, redis_url: str
) -> None:
    for user in USERS:
        await grant(redis_server, user, "secret")
    tokens = Tokens(value="secret")
    async with opened(redis_url, credential_provider=tokens) as manager:
        async with manager.redis.client() as pinned:
            number = await pinned.client_id()
            tokens.push("second", "secret")
            await all_but(redis_server, "second", others=1)
            assert await pinned.get("key") is None
        async with manager.redis.client() as pinned:
            assert await pinned.client_id() == number
            assert await pinned.acl_whoami() == "second"


async def all_but(server: RedisServer, user: str, *, others: int) -> None:
    """Wait until all connections but so many are that user's."""

    async def holds() -> bool:
        found = await users(server)
        return user in found and sum(each != user for each in found) == others

    await eventually(holds)


@pytest.mark.usefixtures("pipelining")
async def test_a_token_that_comes_while_connections_are_made(
    redis_server: RedisServer, redis_url: str
) -> None:
    """The connection was authenticated with the one before: it gets the new one at once."""
    for user in USERS:
        await grant(redis_server, user, "secret")

    class Late(Tokens):
        async def get_credentials_async(self) -> tuple[str, str]:
            given = self.given
            if given[0] == "first":
                self.push("second", "secret")
            return given

    async with opened(redis_url, credential_provider=Late(value="secret")) as manager:
        await manager.redis.get("key")
        await all_are(redis_server, "second")
        assert manager.stats().connects == manager.stats().links


async def test_a_refused_token_costs_nothing_but_a_line(
    redis_server: RedisServer, bystander: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The connections serve on as who they were; the next token is taken."""
    for user in USERS:
        await grant(redis_server, user, "secret-1")
    tokens = Tokens()
    async with upheld(redis_server, bystander, credential_provider=tokens) as trial:
        await trial.warm(2)
        caplog.clear()
        async with trial.traffic(100, "read", "write"):
            tokens.next(SimpleToken("never-granted", -1, 0, {"oid": "second"}))
            await until(lambda: "refused a renewed token" in caplog.text)
            await asyncio.sleep(0.3)
            tokens.push("second", "secret-1")
            await all_are(redis_server, "second")

        assert trial.errors() == {}
        refused = [each for each in caplog.records if "refused a renewed token" in each.message]
        assert len(refused) == 1
        assert "never-granted" not in caplog.text


async def test_a_provider_that_fails_later_is_told_of_without_its_words(
    redis_server: RedisServer, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await grant(redis_server, "first", "secret-1")
    tokens = Tokens()
    async with opened(redis_url, credential_provider=tokens) as manager:
        await tokens.error(KeyError("my-token"))
        tokens.next(object())
        assert await manager.redis.get("key") is None

    told = [each.message for each in caplog.records if "credential provider" in each.message]
    assert len(told) == 2
    assert "(KeyError)" in told[0]
    assert "my-token" not in caplog.text


async def test_a_token_after_the_end_is_nobody_s(redis_server: RedisServer, redis_url: str) -> None:
    """And a manager that is opened again hears of the next one."""
    for user in USERS:
        await grant(redis_server, user, "secret")
    tokens = Tokens(value="secret")
    async with opened(redis_url, credential_provider=tokens) as manager:
        pass
    tokens.push("second", "secret")
    async with manager:
        assert await manager.redis.get("key") is None
        tokens.push("first", "secret")
        await all_are(redis_server, "first")


@pytest.mark.usefixtures("pipelining")
async def test_tokens_of_a_sentinel_deployment_reach_primary_and_replica() -> None:
    async with SentinelDeployment() as deployment:
        for server in deployment.servers:
            for user in USERS:
                await grant(server, user, "secret")
        tokens = Tokens(value="secret")
        settings: dict[str, Any] = {"sentinel": {"reads": "any"}}
        async with opened(deployment.url, credential_provider=tokens, **settings) as manager:
            await asyncio.gather(*(manager.redis.get(f"key:{n}") for n in range(4)))
            await until(lambda: manager.stats().replica is not None)
            tokens.push("second", "secret")
            await all_are(deployment.servers[0], "second")
            assert await manager.redis.get("key") is None
            for server in deployment.servers[1:]:
                await eventually(partial(none_of, server, "first"))


async def none_of(server: RedisServer, user: str) -> bool:
    return user not in await users(server)


async def test_tokens_of_a_cluster_reach_every_node() -> None:
    async with ClusterDeployment(elections=False) as deployment:
        for server in deployment.primaries:
            for user in USERS:
                await grant(server, user, "secret")
        for index in range(len(deployment.primaries)):
            for user in USERS:
                await grant(deployment.replica_of(index), user, "secret")
        tokens = Tokens(value="secret")
        async with opened(deployment.url, credential_provider=tokens) as manager:
            keys = [key for key, *_ in shard_keys(deployment)]
            await asyncio.gather(*(manager.redis.set(key, 1) for key in keys))
            tokens.push("second", "secret")
            for server in deployment.primaries:
                await all_are(server, "second")
            assert [await manager.redis.get(key) for key in keys] == ["1"] * 3


class Identity(IdentityProviderInterface):
    """Gives a token that is good for a moment, as an identity provider of a cloud does."""

    def __init__(self, server: RedisServer) -> None:
        self.asked = 0
        self._server = server
        self._lock = threading.Lock()

    def request_token(self, force_refresh: bool = False) -> TokenInterface:
        with self._lock:
            self.asked += 1
            now = datetime.now(UTC).timestamp() * 1000
            return SimpleToken(f"secret-{self.asked}", now + 400, now, {"oid": "first"})


class Managed(Tokens):
    """A provider over redis-py's token manager, put together as redis-entraid's is."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self._listener = CredentialsListener()
        retries = RetryPolicy(3, 10)
        self.manager = TokenManager(identity, TokenManagerConfig(0.5, 0, 1000, retries))
        self._started = False

    def on_next(self, callback: Callable[[Any], Any]) -> None:
        self._listener.on_next = callback

    def on_error(self, callback: Callable[[Exception], Any]) -> None:
        self._listener.on_error = callback

    async def get_credentials_async(self) -> tuple[str, str]:
        token = (await self.manager.acquire_token_async()).get_token()
        if not self._started:
            self._started = True
            await self.manager.start_async(self._listener)
        return token.try_get("oid"), token.get_value()


async def test_redis_py_s_own_token_manager_is_heard(
    redis_server: RedisServer, redis_url: str
) -> None:
    """Tokens that live for 0.4 s each, under load: not one error."""
    await grant(redis_server, "first", "secret-1")
    for number in range(2, 200):
        await redis_server.command("ACL", "SETUSER", "first", f">secret-{number}")
    identity = Identity(redis_server)
    provider = Managed(identity)
    async with opened(redis_url, credential_provider=provider) as manager:
        auths = await auth_calls(redis_server)
        while identity.asked < 6:
            await manager.redis.incr("counter")
        provider.manager.stop()

        assert manager.stats().generation == 1
        assert await auth_calls(redis_server) - auths >= 3


async def auth_calls(server: RedisServer) -> int:
    """How many AUTH the server has seen."""
    stats = await server.command("INFO", "commandstats")
    return int(stats.get("cmdstat_auth", {"calls": 0})["calls"])


async def test_after_a_loss_the_last_token_is_the_first(
    redis_server: RedisServer, redis_url: str
) -> None:
    """A new generation authenticates with what the provider gives then, once."""
    for user in USERS:
        await grant(redis_server, user, "secret")
    tokens = Tokens(value="secret")
    async with opened(redis_url, credential_provider=tokens) as manager:
        tokens.push("second", "secret")
        await all_are(redis_server, "second")
        await redis_server.command("ACL", "DELUSER", "first")
        await redis_server.command("CLIENT", "KILL", "USER", "second")
        await until(lambda: manager.stats().generation == 2)
        await until_state(manager, PoolState.READY)

        assert await users(redis_server) == ["second"]
