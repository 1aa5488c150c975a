"""Where servers are reached that are announced at other addresses."""

import asyncio
import functools
import pickle
from typing import Any

import pytest

from redis_manager_fastapi import RedisConfigError, RedisManager, RedisUnavailableError
from redis_manager_fastapi.settings import Address, RedisSettings
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment

PAIRS = (
    "10.0.0.5:6379=nat:7000, 10.0.0.6=nat2,[2001:db8::1]:6379=[::1]:7001,"
    "[FD00:0:0::6] = nat3, Node-7.example:6379 = nat:7007,unused=unused"
)


@pytest.mark.parametrize(
    ("announced", "reached"),
    [
        (("10.0.0.5", 6379), ("nat", 7000)),
        (("10.0.0.5", 6380), ("10.0.0.5", 6380)),
        (("10.0.0.6", 6380), ("nat2", 6380)),
        (("10.0.0.7", 6379), ("10.0.0.7", 6379)),
        (("2001:db8::1", 6379), ("::1", 7001)),
        (("2001:DB8:0::1", 6379), ("::1", 7001)),
        (("fd00::6", 6380), ("nat3", 6380)),
        (("node-7.Example", 6379), ("nat", 7007)),
    ],
)
def test_pairs_of_the_environment_are_looked_up(
    monkeypatch: pytest.MonkeyPatch, announced: Any, reached: Any
) -> None:
    monkeypatch.setenv("REDIS_ADDRESS_MAP", PAIRS.rpartition(",")[0])
    settings = RedisSettings()

    assert settings.reach(Address(*announced)) == reached
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301
    assert "nat2" in settings.model_dump_json()


def test_a_mapping_or_a_callable_does_the_same() -> None:
    announced = Address("10.0.0.5", 6379)

    assert RedisSettings(address_map={"10.0.0.5": "nat"}).reach(announced) == ("nat", 6379)
    pairs: Any = {announced: ("nat", 7000), ("::1", 1): Address("::1", 2)}
    assert RedisSettings(address_map=pairs).reach(announced) == ("nat", 7000)
    assert RedisSettings(address_map=pairs).reach(Address("::1", 1)) == ("::1", 2)
    shifted = RedisSettings(address_map=lambda address: ("nat", address.port + 1))
    assert shifted.reach(announced) == Address("nat", 6380)


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            "10.0.0.5",
            "10.0.0.5=",
            "a:1=b",
            "a=b:1",
            "a:x=b:1",
            "redis://a=b",
            "a=b,a=c",
            "a=b,A=c",
        ),
        *("[::1]=a,[0::1]=b", 5, {"a:1": ""}, {"a": None}, {"a": 1}, {("a", 1): ("b", 0)}),
    ],
)
def test_a_wrong_entry_is_told_with_the_variable_and_an_example(wrong: Any) -> None:
    with pytest.raises(RedisConfigError, match=r"REDIS_ADDRESS_MAP.*10\.0\.0\.5:6379=nat:7000"):
        RedisSettings(address_map=wrong)


class Asking:
    """A callable without a name of its own."""

    def __call__(self, address: Address) -> Any:
        return address.host  # which is no pair


def lookup(address: Address) -> Address:
    raise KeyError(address.host)


def cancelled(address: Address) -> Address:
    raise asyncio.CancelledError


async def looking_up(address: Address) -> Address:
    return address


class LookingUp:
    async def __call__(self, address: Address) -> Address:
        return address


@pytest.mark.parametrize("wrong", [looking_up, LookingUp(), functools.partial(looking_up)])
def test_what_has_to_be_awaited_is_refused(wrong: Any) -> None:
    with pytest.raises(RedisConfigError, match=r"REDIS_ADDRESS_MAP.*is an `async def`"):
        RedisSettings(address_map=wrong)


@pytest.mark.parametrize(
    "returned", ["ab", b"ab", ("h",), ("h", 0), ("h", 70_000), ("h", None), ("", 1), ("h:1", 1)]
)
def test_what_is_no_pair_of_host_and_port_is_not_connected_to(returned: Any) -> None:
    settings = RedisSettings(address_map=lambda _: returned)
    with pytest.raises(RedisUnavailableError, match="returned no pair of host and port: "):
        settings.reach(Address("10.0.0.5", 6379))


def test_a_port_may_be_text_and_an_ipv6_address_in_brackets() -> None:
    settings = RedisSettings(address_map=lambda _: ["[::1]", "7000"])  # type: ignore[arg-type,return-value]
    assert settings.reach(Address("10.0.0.5", 6379)) == Address("::1", 7000)


@pytest.mark.parametrize(
    ("address_map", "told"),
    [
        (lookup, "test_address_map.lookup raised KeyError"),
        (Asking(), "Asking returned no pair of host and port: TypeError"),
        (lambda _: looking_up(_), "returned no pair of host and port: TypeError"),
        (cancelled, "test_address_map.cancelled raised CancelledError"),
    ],
)
def test_a_callable_that_fails_is_named(address_map: Any, told: str) -> None:
    """The message has no address: it may reach an HTTP body."""
    settings = RedisSettings(address_map=address_map)

    with pytest.raises(RedisUnavailableError, match=f"^address_map: .*{told}$") as raised:
        settings.reach(Address("10.0.0.5", 6379))
    assert isinstance(raised.value.__cause__, KeyError | TypeError | asyncio.CancelledError)


async def test_one_that_chooses_among_ways_is_asked_once_for_a_server() -> None:
    """A server that is known is connected to without asking again where it is reached."""
    calls = 0

    def choose(address: Address) -> Address:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise LookupError
        return Address("127.0.0.1" if calls == 1 else "localhost", address.port)

    async with SentinelDeployment(replicas=0, sentinels=1) as deployment:
        fail: Any = {"policy": "fail"}
        for _ in range(2):
            async with RedisManager(url=deployment.url, address_map=choose, startup=fail) as opened:
                assert await opened.redis.set("key", "value")
                assert await opened.redis.with_options(dedicated=True).get("key") == "value"


async def test_it_sees_what_sentinels_announce() -> None:
    seen: list[str] = []

    def look(address: Address) -> Address:
        seen.append(repr(address))
        return address

    async with SentinelDeployment(replicas=0, sentinels=1, password="secret") as deployment:
        primary = deployment.servers[0]
        settings: Any = {"url": deployment.url, "password": "secret", "address_map": look}
        async with RedisManager(**settings, startup={"policy": "fail"}):
            assert set(seen) == {f"Address(host='{primary.host}', port={primary.port})"}


async def test_it_is_named_to_whoever_starts_with_sentinels() -> None:
    async with SentinelDeployment(replicas=0, sentinels=1) as deployment:
        manager = RedisManager(
            url=deployment.url, address_map=lookup, startup={"policy": "fail", "timeout": 1.0}
        )
        with pytest.raises(
            RedisUnavailableError,
            match=r"address_map: .*lookup raised KeyError.*: correct the given `address_map`",
        ):
            await manager.open()


async def test_it_is_named_to_whoever_starts_with_a_cluster() -> None:
    async with ClusterDeployment(shards=1, replicas=0) as deployment:
        manager = RedisManager(
            url=deployment.url, address_map=lookup, startup={"policy": "wait", "timeout": 1.0}
        )
        with pytest.raises(
            RedisUnavailableError,
            match=r"address_map: .*lookup raised KeyError.*: correct the given `address_map`",
        ):
            await manager.open()
