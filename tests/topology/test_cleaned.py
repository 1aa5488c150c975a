"""What is cut out of an error, and what stays of it: secrets that are short, or words."""

import logging
import ssl
import sys
import traceback
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha512
from typing import Any

import pytest
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from redis_manager_fastapi import RedisAuthError, RedisManager, RedisManagerError
from redis_manager_fastapi.topology.credentials import Credentials
from tests.kit.doors import answering
from tests.kit.waiting import until

USER, PASSWORD = "app-user", "hunter2-is-no-secret"


class Given(CredentialProvider):
    """Gives what it was last made to give, or raises it."""

    def __init__(self, *given: Any) -> None:
        self.given: Any = given

    def get_credentials(self) -> Any:
        if isinstance(self.given, BaseException):
            raise self.given
        return self.given

    async def get_credentials_async(self) -> Any:
        return self.get_credentials()


def cleaned(error: BaseException, *given: Any) -> str:
    """Return all that *error* says once it has been cleaned."""
    credentials = Credentials(Given(*given or (USER, PASSWORD)))
    credentials.get_credentials()
    credentials.clean(error)
    shown = "".join(traceback.format_exception(error))
    return f"{error} {error!r} {error.args!r} {vars(error)!r} {shown}"


def noted() -> Exception:
    error = ValueError("x")
    error.add_note(f"sent {PASSWORD}")
    return error


def with_body() -> Exception:
    error = ValueError("x")
    error.__dict__["body"] = {"sent": [PASSWORD]}
    return error


@dataclass(frozen=True)
class Frozen(Exception):  # noqa: N818 (as they are called elsewhere)
    """One that refuses to be changed."""

    said: str


class Slotted(Exception):  # noqa: N818
    """One that keeps what it was given where `vars` does not look."""

    __slots__ = ("said",)

    def __init__(self, said: str) -> None:
        self.said = said

    def __str__(self) -> str:
        return self.said


class WithOwnArguments(Exception):  # noqa: N818
    """One whose arguments are computed."""

    args: Any = property(lambda self: (len(str(self)),))


class WithRefusingAttribute(Exception):  # noqa: N818
    """One with an attribute that is there at times, as HTTP clients' `request` is."""

    @property
    def object(self) -> str:
        raise RuntimeError("it has not been set")


class Panic(BaseException):
    """What a library in another language raises for an error of its own."""


@pytest.mark.parametrize("error", [
    OSError(5, f"refused {PASSWORD}"),
    OSError(5, "no such file", f"/run/{PASSWORD}"),
    UnicodeDecodeError("utf-8", b"\xff" + PASSWORD.encode(), 0, 1, "invalid start byte"),
    ExceptionGroup("several", [ValueError(PASSWORD), ExceptionGroup("x", [OSError(PASSWORD)])]),
    ValueError([PASSWORD]),
    ValueError({PASSWORD}),
    ValueError(("AUTH", PASSWORD.encode())),
    ValueError({"password": PASSWORD}),
    ValueError({"sent": [("AUTH", PASSWORD)]}),
    SyntaxError("invalid syntax", ("vault.py", 1, 1, PASSWORD, 1, 2)),
    Frozen(PASSWORD),
    Slotted(PASSWORD),
    WithOwnArguments(PASSWORD),
    WithRefusingAttribute(PASSWORD),
    noted(),
    with_body(),
], ids=repr)  # fmt: skip
def test_nothing_that_an_error_holds_has_the_password(error: Exception) -> None:
    assert PASSWORD not in cleaned(error)


def test_an_error_with_very_much_in_it_is_not_looked_through_for_long() -> None:
    """All that is beyond the first letters is hidden."""
    credentials = Credentials(Given(USER, PASSWORD))
    credentials.get_credentials()
    error, calls = ValueError([f"{at} {PASSWORD}" for at in range(20_000)]), Counter[str]()

    def count(frame: Any, event: str, _: Any) -> None:
        calls[frame.f_code.co_name] += event == "call"

    sys.setprofile(count)
    try:
        credentials.clean(error)
    finally:
        sys.setprofile(None)

    assert PASSWORD not in str(error)
    assert calls["cut_out"] <= 200


def test_a_refused_connect_costs_little_with_long_tokens() -> None:
    """Each of three tokens is looked for in each text of the chain, in a few ways."""
    provider = Given()
    credentials = Credentials(provider)
    for at in range(3):
        provider.given = (USER, b64encode(sha512(bytes([at])).digest() * 20).decode())
        credentials.get_credentials()
    error: Exception = OSError(111, "Connect call failed ('10.0.0.1', 6379)")
    for at in range(8):
        error, cause = RedisConnectionError(f"Error {at} connecting to redis-{at}:6379"), error
        error.__cause__ = cause
    done = Counter[str]()

    def count(frame: Any, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        done[event] += 1
        if done["opcode"] > 500_000:
            raise AssertionError("it has taken too many steps")
        return count

    sys.settrace(count)
    try:
        credentials.clean(error)
    finally:
        sys.settrace(None)

    assert str(error) == "Error 7 connecting to redis-7:6379"


@pytest.mark.parametrize("shown", [repr, ascii])
def test_a_password_that_is_shown_as_python_does_is_cut(shown: Callable[[str], str]) -> None:
    password = "a\u00e91\x07b\u00e92\x07c\u00e93\x07d"
    told = cleaned(ResponseError(f"refused {shown(password)}"), USER, password)

    assert told.startswith("refused '**********'")


def test_a_part_of_a_long_token_is_cut() -> None:
    token = b64encode(sha512(b"").digest() * 20).decode()
    for at in (0, 1, 7, 500, len(token) - 24):
        told = cleaned(ResponseError(f"no user for {token[at : at + 24]} here"), USER, token)

        assert "'no user for ********** here'" in told


@pytest.mark.parametrize("password", ["a", "e", "is", "12", "the", "p@s", 'x"y', "\u00e9"])
def test_a_short_password_is_cut_and_leaves_the_sentence(password: str) -> None:
    said = "LOADING Redis has loaded 128 datasets in memory"
    told = cleaned(ResponseError(f"{said}: refused 'AUTH {password}'"), USER, password)

    assert told.startswith(f"{said}: refused 'AUTH **********'")


@pytest.mark.parametrize("given", [(USER.encode(), PASSWORD.encode()), (USER, 20_450_117)])
def test_a_password_that_is_no_text_is_cut_too(given: Any) -> None:
    told = cleaned(ResponseError(f"refused {USER} with {PASSWORD} 20450117"), *given)

    assert USER not in told
    assert (PASSWORD if isinstance(given[1], bytes) else str(given[1])) not in told


def test_the_password_before_a_rotation_is_cut_as_well() -> None:
    """An attempt with it may still be under way when the next one has the new one."""
    provider = Given(USER, PASSWORD)
    credentials, error = Credentials(provider), ResponseError(f"refused {PASSWORD}, wants n3w-one")
    credentials.get_credentials()
    provider.given = (USER, "n3w-one")
    credentials.get_credentials()

    credentials.clean(error)

    assert str(error) == "refused **********, wants **********"


@pytest.mark.parametrize(("said", "password", "reason"), [
    ("LOADING Redis is loading the dataset in memory", "loading", "is loading its data set"),
    ("ERR Client sent AUTH, but no password is set", "password", "has no password for the user"),
    ("DENIED Redis is running in protected mode", "protected", "runs in protected mode"),
])  # fmt: skip
async def test_a_password_that_is_a_word_of_the_server_s_hides_no_reason(
    said: str, password: str, reason: str
) -> None:
    async with answering(lambda _: f"-{said}\r\n".encode()) as port:
        manager = RedisManager(port=port, password=password, startup={"policy": "degraded"})
        async with manager:
            await until(lambda: manager.stats().reason not in ("", "opening"))
            assert reason in manager.stats().reason


async def test_a_password_that_looks_like_a_code_is_not_told() -> None:
    async with answering(lambda data: b"-" + data.split(b"\r\n")[-2] + b" is wrong\r\n") as port:
        manager = RedisManager(port=port, password="HUNTER", startup={"policy": "degraded"})
        async with manager:
            await until(lambda: manager.stats().reason not in ("", "opening"))
            assert "HUNTER" not in manager.stats().reason


class VaultError(Exception):
    """A provider's own, with the attribute that HTTP clients give theirs."""

    status_code = 401


@pytest.mark.parametrize("raised", [
    VaultError(f"the token {PASSWORD} is not valid"),
    OSError(111, f"connection refused with {PASSWORD}"),
    ssl.SSLError(1, f"[SSL] {PASSWORD}"),
    TimeoutError(PASSWORD),
    RedisConnectionError(f"no vault for {PASSWORD}"),
    ResponseError("WRONGPASS of another server's"),
    Frozen(PASSWORD),
    WithOwnArguments(PASSWORD),
    WithRefusingAttribute(PASSWORD),
    Panic(PASSWORD),
], ids=lambda error: type(error).__name__)  # fmt: skip
async def test_what_a_provider_raises_is_not_taken_for_the_server_s_word(
    caplog: pytest.LogCaptureFixture, raised: BaseException
) -> None:
    caplog.set_level(logging.DEBUG)
    provider = Given(USER, PASSWORD)
    told = f"the credentials could not be obtained ({type(raised).__name__})"
    async with answering(lambda _: b"+OK\r\n") as port:
        manager = RedisManager(
            port=port,
            name="cache",
            credential_provider=provider,
            startup={"policy": "degraded"},
            outage={"grace": 0},
        )
        async with manager:
            await until(lambda: manager.stats().reason not in ("", "opening"))
            provider.given = raised
            await until(lambda: told in manager.stats().reason)
            for attempt in (manager.redis.get("k"), manager.redis.blpop(["k"], timeout=1)):
                with pytest.raises(RedisAuthError) as caught:
                    await attempt
                assert told in str(caught.value)
                assert caught.value.instance == "cache"

    assert PASSWORD not in caplog.text
    assert "another server's" not in caplog.text


async def test_a_sentinel_that_repeats_a_password_later_does_not_show_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not when it is asked to authenticate, but by its answer to what it is asked then."""
    caplog.set_level(logging.DEBUG)

    def answer(data: bytes) -> bytes:
        if b"SENTINEL" not in data:
            return b"+OK\r\n"
        return b"-ERR upstream refused %b\r\n" % PASSWORD.encode() * data.count(b"SENTINEL\r\n")

    async with answering(answer) as port:
        nodes = f"127.0.0.1:{port}"
        manager = RedisManager(
            sentinel={"nodes": nodes, "service": "m", "username": USER, "password": PASSWORD},
            startup={"policy": "degraded"},
            outage={"grace": 0},
            log_addresses=True,
        )
        async with manager:
            await until(lambda: "upstream refused" in caplog.text)
            with pytest.raises(RedisManagerError) as caught:
                await manager.redis.get("k")

    assert PASSWORD not in caplog.text
    assert PASSWORD not in repr(caught.value.__cause__)
