"""What an error shows: no frame of it holds a password, no answer the server's own text."""

import base64
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from fastapi import FastAPI
from redis.credentials import CredentialProvider
from redis.exceptions import ResponseError

from redis_manager_fastapi import (
    RedisConfigError,
    RedisDep,
    RedisManager,
    RedisManagerError,
    health_router,
)
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.ports import ReservedPort
from redis_manager_fastapi.topology.credentials import Credentials, HiddenBytes, HiddenText
from tests.kit.doors import answering
from tests.kit.waiting import until

USER, PASSWORD, UPSTREAM = "app-user", "hunter2-is-no-secret", "10.9.8.7:6390"

Provider = Callable[[Path], dict[str, Any]]


class Given(CredentialProvider):
    """A provider of the app's own."""

    def get_credentials(self) -> tuple[str, str]:
        return USER, PASSWORD

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()


def fields(_: Path) -> dict[str, Any]:
    return {"username": USER, "password": PASSWORD}


def file(directory: Path) -> dict[str, Any]:
    (directory / "password").write_text(PASSWORD)
    return {"username": USER, "password_file": directory / "password"}


def provider(_: Path) -> dict[str, Any]:
    return {"credential_provider": Given()}


def every_error(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its causes and contexts, and the members of groups."""
    ahead, seen = [error], set[int]()
    while ahead:
        each = ahead.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        ahead += [link for link in (each.__cause__, each.__context__) if link is not None]
        ahead += each.exceptions if isinstance(each, BaseExceptionGroup) else ()


def rendered(value: Any) -> str:
    """Return its `repr`; pydantic's own fails for a model that could not be filled."""
    try:
        return repr(value)
    except AttributeError:
        return str(getattr(value, "__dict__", ""))


def shown(error: BaseException) -> str:
    """Return all that a reporter could show of an error, but for what this module's frames hold."""
    texts: list[str] = []
    for each in every_error(error):
        texts.append(f"{each!r} {each} {each.args!r}")
        step = each.__traceback__
        while step is not None:
            frame, step = step.tb_frame, step.tb_next
            if frame.f_code.co_filename != __file__:
                texts += [f"{name}={rendered(value)}" for name, value in frame.f_locals.items()]
    return "\n".join(texts)


def objects_in_frames(error: BaseException) -> Iterator[Any]:
    """Yield the library's own objects in an error's frames: a reporter may look into them."""
    step = error.__traceback__
    while step is not None:
        frame, step = step.tb_frame, step.tb_next
        for value in frame.f_locals.values():
            ours = type(value).__module__.startswith("redis_manager_fastapi")
            if ours and hasattr(value, "__dict__"):
                yield value


def repeating(data: bytes) -> bytes:
    """Answer as a proxy that tells its upstream and repeats what it was sent."""
    words = b" ".join(data.split(b"\r\n")[2::2])
    return b"-ERR upstream %b refused: %b\r\n" % (UPSTREAM.encode(), words)


def echoing(data: bytes) -> bytes:
    """Answer as an echo service."""
    return data


def hanging_up(_: bytes) -> None:
    """Close."""


def silent(_: bytes) -> bytes:
    """Say nothing."""
    return b""


async def failures(manager: RedisManager) -> list[BaseException]:
    """Return what callers on every path meet while the server cannot be used."""
    await until(lambda: manager.stats().reason not in ("", "opening"))
    r = manager.redis

    async def shared() -> Any:
        return await r.get("k")

    async def dedicated() -> Any:
        return await r.blpop(["k"], timeout=1)

    async def pipeline() -> Any:
        return await r.pipeline(transaction=False).get("k").execute()

    async def transaction() -> Any:
        return await r.pipeline().set("k", 1).execute()

    async def watching() -> Any:
        async with r.pipeline() as pipe:
            await pipe.watch("k")

    async def pinned() -> Any:
        async with manager.connection() as connection:
            await connection.get("k")

    async def subscribed() -> Any:
        async with r.pubsub() as pubsub:
            await pubsub.subscribe("c")

    met: list[BaseException] = []
    paths: list[Callable[[], Awaitable[Any]]] = [
        shared,
        dedicated,
        pipeline,
        transaction,
        watching,
        pinned,
        subscribed,
    ]
    for path in paths:
        with pytest.raises(RedisManagerError) as caught:
            await path()
        met.append(caught.value)
    with pytest.raises(RedisManagerError) as caught:
        await manager._deployment.require().wait_ready(0.05)
    return [*met, caught.value]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("given", [fields, file, provider])
@pytest.mark.parametrize("reply", [None, repeating, echoing, hanging_up, silent])
async def test_no_frame_of_an_outage_s_errors_shows_a_password(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    reply: Callable[[bytes], bytes | None] | None,
    given: Provider,
    protocol: int,
) -> None:
    caplog.set_level(logging.DEBUG)
    settings: dict[str, Any] = {
        "protocol": protocol,
        "startup": {"policy": "degraded"},
        "outage": {"grace": 0},
        "timeout": {"connect": 0.1},
        **given(tmp_path),
    }
    with closing(ReservedPort()) as refused:
        async with answering(reply or silent) as port:
            where = refused.port if reply is None else port
            async with RedisManager(port=where, **settings) as manager:
                met = await failures(manager)

    for each in map(shown, met):
        assert PASSWORD not in each
    assert PASSWORD not in caplog.text
    assert USER not in caplog.text


@pytest.mark.parametrize("policy", ["fail", "wait"])
async def test_no_frame_of_a_refused_start_shows_a_password(policy: Any) -> None:
    async with answering(repeating) as port:
        manager = RedisManager(
            port=port,
            username=USER,
            password=PASSWORD,
            startup={"policy": policy, "timeout": 0.1},
        )
        with pytest.raises(RedisManagerError) as caught:
            await manager.open()

    assert PASSWORD not in shown(caught.value)


async def test_no_frame_shows_the_password_of_a_server_that_is_killed() -> None:
    async with RedisServer(password=PASSWORD) as server:
        url = f"redis://{server.host}:{server.port}"
        async with RedisManager(url, password=PASSWORD, outage={"grace": 0}) as manager:
            assert await manager.redis.with_options(dedicated=True).get("k") is None
            await server.kill()
            met = await failures(manager)

    for each in map(shown, met):
        assert PASSWORD not in each


@pytest.mark.parametrize("given", [
    {"password": PASSWORD, "port": "x"},
    {"sentinel": {"password": PASSWORD, "nodes": "a"}},
    {"username": f" {PASSWORD}"},
    {"host": f"{PASSWORD}@h"},
    {"unknown": PASSWORD},
    {"settings": f"redis://:{PASSWORD}@h:x"},
    {"settings": f"redis://:{PASSWORD}@h", "url": "redis://h"},
    {"settings": f"redis://{PASSWORD}@h"},
    {"settings": "redis://h:x", "password": PASSWORD},
    {"sentinel": {"password": PASSWORD}, "bogus": 1},
])  # fmt: skip
def test_no_frame_of_a_wrong_setting_shows_a_password(given: dict[str, Any]) -> None:
    with pytest.raises((RedisConfigError, TypeError)) as caught:
        RedisManager(**given)

    assert PASSWORD not in shown(caught.value)
    for each in every_error(caught.value):
        for held in map(vars, objects_in_frames(each)):
            assert PASSWORD not in rendered(held)


def test_no_frame_shows_a_password_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    monkeypatch.setenv("REDIS_PORT", "x")
    with pytest.raises(RedisConfigError) as caught:
        RedisManager()

    assert PASSWORD not in shown(caught.value)


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
async def test_sentinels_and_nodes_are_told_a_password_that_no_frame_shows(kind: str) -> None:
    async with answering(repeating) as port:
        nodes = f"127.0.0.1:{port}"
        groups: dict[str, Any] = {
            "sentinel": {"nodes": nodes, "service": "m", "username": USER, "password": PASSWORD},
            "cluster": {"nodes": nodes},
        }
        manager = RedisManager(
            username=USER,
            password=PASSWORD,
            startup={"policy": "wait", "timeout": 0.2},
            **{kind: groups[kind]},
        )
        with pytest.raises(RedisManagerError) as caught:
            await manager.open()

    assert PASSWORD not in shown(caught.value)
    assert UPSTREAM not in str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_server_s_text_reaches_the_log_and_no_answer(
    caplog: pytest.LogCaptureFixture, protocol: Any
) -> None:
    caplog.set_level(logging.INFO, "redis_manager_fastapi")
    reason = "REDIS_PROTOCOL=2" if protocol == 3 else "the server refused the handshake (ERR)"
    async with answering(repeating) as port:
        manager = RedisManager(
            port=port,
            username=USER,
            password=PASSWORD,
            protocol=protocol,
            startup={"policy": "degraded"},
            outage={"grace": 0},
        )
        app = FastAPI()
        app.include_router(health_router)

        @app.get("/read")
        async def read(r: RedisDep) -> str | None:
            return await r.get("k")

        @app.get("/pop")
        async def pop(r: RedisDep) -> Any:
            return await r.blpop(["k"], timeout=1)

        app.router.lifespan_context = manager.lifespan
        transport = httpx.ASGITransport(app)
        async with manager.lifespan(app) as state:

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            await until(lambda: reason in manager.stats().reason)
            transport = httpx.ASGITransport(with_state)
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                answers = [await client.get(path) for path in ("/read", "/pop", "/readyz")]
            await until(lambda: UPSTREAM in caplog.text)

    for answer in answers:
        assert answer.status_code == 503
        text = json.dumps(answer.json())
        assert reason in text
        assert not any(word in text for word in (UPSTREAM, PASSWORD, USER))
    assert not any(word in caplog.text for word in (PASSWORD, USER))


async def test_no_error_is_its_own_cause() -> None:
    """Who follows the causes of an error of this library's own, as the log does, gets to an end."""
    async with RedisServer() as server:
        nodes = f"127.0.0.1:{server.port}"
        manager = RedisManager(
            sentinel={"nodes": nodes, "service": "m"}, startup={"policy": "degraded"}
        )
        async with manager:
            await until(lambda: manager.stats().reason not in ("", "opening"))
            with pytest.raises(RedisManagerError) as caught:
                await manager.redis.blpop(["k"], timeout=1)

    for each in every_error(caught.value):
        assert each.__cause__ is not each


ODD = "hunt'er2/p@ss w\u00f6rd\\x%"


def basic(text: str) -> str:
    return base64.b64encode(f"{USER}:{text}".encode()).decode()


@pytest.mark.parametrize("written", [
    str, repr, ascii, json.dumps, quote, quote_plus, basic,
    lambda text: quote(text, safe=""),
    lambda text: repr(text.encode()),
    lambda text: text.encode().hex(),
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(f"AUTH {text}".encode()).decode(),
    lambda text: json.dumps([text, {"a": text}], ensure_ascii=False),
    lambda text: f"{text[:8]}...",
    lambda text: f"...{text[-8:]}",
    lambda text: f"{text[:9]} {text[9:]}",
])  # fmt: skip
async def test_no_way_to_write_a_password_is_left_in_an_error(
    written: Callable[[str], str],
) -> None:
    credentials = Credentials(Odd())
    await credentials.get_credentials_async()
    error = ResponseError(f"upstream {UPSTREAM} said {written(ODD)}")
    error.status_code = written(ODD)
    error.__cause__ = OSError(written(ODD))

    credentials.clean(error)

    for told in (str(error), str(error.status_code), str(error.__cause__)):
        for size in range(6, len(ODD)):
            telling = (ODD[at : at + size] for at in range(len(ODD) - size + 1))
            assert not any(written(part).strip("'\"b.") in told for part in telling)
        assert not re.search(r"hunt|p@ss|p%40ss|68756e|rd.x", told)
    assert str(error).startswith(f"upstream {UPSTREAM} said ")


async def test_the_server_s_own_words_stay() -> None:
    """Also such as are a part of the password."""
    credentials = Credentials(Given())
    credentials._hide((USER, "my-password-of-the-cluster"))
    said = "AUTH without any password configured for a user of the cluster"
    error = ResponseError(said)

    credentials.clean(error)

    assert str(error) == said


class Odd(Given):
    """A provider whose password is written in as many ways as there are."""

    def get_credentials(self) -> tuple[str, str]:
        return USER, ODD


def test_a_part_of_what_is_hidden_is_hidden() -> None:
    text, packed = HiddenText(PASSWORD), HiddenBytes(PASSWORD.encode())

    assert (text, packed) == (PASSWORD, PASSWORD.encode())
    for each in (text, text[:3], text[0], packed, packed[:3]):
        assert repr(each) in ("'**********'", "b'**********'")
    assert packed[0] == ord("h")
