"""Fourteen broken set-ups: `doctor` names the step and the fix, and exits with the right code."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest

from redis_manager_fastapi.cli.exits import Exit
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.command_line import Ended, run
from tests.kit.servers import CERTIFICATES, needs, unable_to_save

CA = {"REDIS_TLS__CA_FILE": str(CERTIFICATES / "ca.pem")}

OWN = str(CERTIFICATES / "localhost.pem")


@asynccontextmanager
async def encrypted(server: RedisServer, certificate: str = "valid.pem") -> AsyncIterator[str]:
    """TLS in front of *server*; its `rediss://` URL."""
    proxy = FaultProxy(server.host, server.port, cert_file=CERTIFICATES / certificate)
    async with proxy:
        yield proxy.url


def assert_found(ended: Ended, step: str, fix: str, code: Exit) -> None:
    """*step* failed first, with that fix, which is also what to do first."""
    assert ended.err == ""
    assert ended.failed[0] == step, ended.out
    assert fix in ended.step(step)["fix"]
    assert fix in ended.document["first"]
    assert (ended.code, ended.document["exit_code"]) == (code, code)
    assert not ended.document["ok"]


async def test_wrong_port() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])

        ended = await run("doctor", "--json", REDIS_HOST="127.0.0.1", REDIS_PORT=port)

    assert_found(ended, "tcp", "start the server, or correct REDIS_PORT", Exit.UNREACHABLE)
    assert "connection refused" in ended.step("tcp")["said"]


async def test_wrong_password() -> None:
    async with RedisServer(password="right") as server:
        url = server.url.replace("right", "wrong")
        ended = await run("doctor", "--json", REDIS_URL=url)

    assert_found(ended, "auth", "correct the password in REDIS_URL", Exit.CREDENTIALS)
    assert ended.step("ping")["said"] == "needs a connection"


async def test_no_password_where_one_is_wanted() -> None:
    async with RedisServer(password="right") as server:
        ended = await run("doctor", "--json", REDIS_HOST=server.host, REDIS_PORT=str(server.port))

    assert_found(ended, "auth", "set REDIS_PASSWORD", Exit.CREDENTIALS)


@needs("ACL", redis="6.0")
async def test_no_such_user(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("//", "//nobody:secret@")
    ended = await run("doctor", "--json", REDIS_URL=url)

    assert_found(ended, "auth", "correct the user in REDIS_URL", Exit.CREDENTIALS)
    assert ended.step("auth")["said"] == "the server has no user 'nobody'"
    assert ended.step("version")["outcome"] == "ok"  # as far as a stranger may ask
    assert ended.step("acl")["outcome"] == "skipped"


@needs("ACL", redis="6.0")
async def test_no_such_user_on_a_server_with_a_password() -> None:
    """The server does not say whether it is the user or the password, and so neither do we."""
    async with RedisServer(password="right") as server:
        url = server.url.replace(":right", "nobody:right")
        ended = await run("doctor", "--json", REDIS_URL=url)

    assert_found(ended, "auth", "correct the user in REDIS_URL", Exit.CREDENTIALS)
    assert "'nobody' is no user there" in ended.step("auth")["said"]


async def test_wrong_database(redis_server: RedisServer) -> None:
    ended = await run("doctor", "--json", REDIS_URL=redis_server.url, REDIS_DB="1")
    assert ended.step("select")["said"] == "database 0"  # the URL goes first

    ended = await run("doctor", "--json", REDIS_URL=redis_server.url.replace("/0", "/99"))

    fix = "set the database in REDIS_URL to a number from 0 to 15"
    assert_found(ended, "select", fix, Exit.SETTINGS)
    assert ended.step("latency")["outcome"] == "ok"  # it goes on with database 0


async def test_tls_to_a_plain_port(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("redis://", "rediss://")
    ended = await run("doctor", "--json", REDIS_URL=url, **CA)

    assert_found(ended, "tls", "start REDIS_URL with redis://", Exit.TLS)
    assert ended.step("tls")["said"] == "the server does not speak TLS there"


async def test_plain_to_a_tls_port(redis_server: RedisServer) -> None:
    async with encrypted(redis_server) as url:
        address = url.removeprefix("rediss://").partition("/")[0]
        host, _, port = address.partition(":")
        ended = await run("doctor", "--json", REDIS_HOST=host, REDIS_PORT=port)

    assert_found(ended, "tls", "set REDIS_TLS__ENABLED=true", Exit.TLS)
    assert ended.step("tls")["said"] == "the server speaks TLS there"


async def test_a_second_deployment_s_own_variables_are_named(redis_server: RedisServer) -> None:
    async with encrypted(redis_server) as url:
        host, _, port = url.removeprefix("rediss://").partition("/")[0].partition(":")
        where = {"REDIS_CACHE_HOST": host, "REDIS_CACHE_PORT": port}
        ended = await run("doctor", "--name", "cache", "--json", **where)

    assert_found(ended, "tls", "set REDIS_CACHE_TLS__ENABLED=true", Exit.TLS)
    assert ended.out.count("REDIS_") == ended.out.count("REDIS_CACHE_")


@pytest.mark.parametrize(
    ("certificate", "ca", "said", "fix"),
    [
        ("expired.pem", "ca.pem", "has expired", "renew the server's certificate"),
        ("wrong-name.pem", "ca.pem", "but for elsewhere.example", "correct the host in REDIS_URL"),
        ("valid.pem", "other-ca.pem", "a CA that is not trusted", "set REDIS_TLS__CA_FILE to"),
    ],
    ids=["expired", "wrong name", "unknown CA"],
)
async def test_certificates(
    redis_server: RedisServer, certificate: str, ca: str, said: str, fix: str
) -> None:
    async with encrypted(redis_server, certificate) as url:
        trusted = str(CERTIFICATES / ca)
        ended = await run("doctor", "--json", REDIS_URL=url, REDIS_TLS__CA_FILE=trusted)

    assert_found(ended, "tls", fix, Exit.TLS)
    assert said in ended.step("tls")["said"]
    assert ended.step("auth")["outcome"] == "skipped"


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({}, "the server wants a client certificate"),
        ({"REDIS_TLS__CERT_FILE": OWN, "REDIS_TLS__KEY_FILE": OWN}, "refuses our client"),
    ],
    ids=["none", "of another CA"],
)
async def test_client_certificates(own: dict[str, str], said: str) -> None:
    with demanding() as port:
        url = f"rediss://127.0.0.1:{port}"
        ended = await run("doctor", "--json", REDIS_URL=url, **CA, **own)

    assert_found(ended, "tls", "set REDIS_TLS__CERT_FILE and REDIS_TLS__KEY_FILE", Exit.TLS)
    assert said in ended.step("tls")["said"]


@contextmanager
def demanding() -> Iterator[int]:
    """A TLS server that wants a certificate of its own CA's, and its port.

    asyncio's never sends the alert that says so.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=CA["REDIS_TLS__CA_FILE"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(CERTIFICATES / "valid.pem")

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client, suppress(OSError):
                context.wrap_socket(client, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


async def test_no_password_goes_to_a_server_that_is_not_trusted() -> None:
    async with (
        RedisServer(password="secret") as server,
        encrypted(server, "expired.pem") as url,
        server.client() as admin,
    ):
        await admin.config_resetstat()
        await run("doctor", REDIS_URL=url.replace("//", "//:secret@"), **CA)
        counted = await admin.info("commandstats")

    assert counted.keys() & {"cmdstat_auth", "cmdstat_hello"} == set()


async def test_a_name_that_does_not_resolve() -> None:
    ended = await run("doctor", "--json", REDIS_HOST="no-such-host.invalid")

    assert_found(ended, "name", "correct REDIS_HOST", Exit.UNREACHABLE)
    assert ended.step("tcp")["said"] == "needs an address"


async def test_a_server_at_maxclients(redis_server: RedisServer) -> None:
    async with redis_server.client() as holder:
        await holder.config_set("maxclients", 1)
        ended = await run("doctor", "--json", REDIS_URL=redis_server.url)
        await holder.config_set("maxclients", 100)

    assert_found(ended, "clients", "raise maxclients", Exit.UNREACHABLE)
    assert ended.step("answer")["outcome"] == "ok"


async def test_a_server_that_cannot_save(redis_server: RedisServer) -> None:
    await redis_server.command("SET", "key", "value")
    async with unable_to_save(redis_server):
        ended = await run("doctor", "--json", REDIS_URL=redis_server.url)

    assert_found(ended, "persistence", "make room in", Exit.UNREACHABLE)
    assert "MISCONF" in ended.step("persistence")["said"]
    assert ended.step("latency")["outcome"] == "ok"


async def test_a_replica_given_as_the_primary(redis_server: RedisServer) -> None:
    following = {"replicaof": f"{redis_server.host} {redis_server.port}"}
    async with RedisServer(following) as replica:
        url = f"redis://{replica.host}:{replica.port}"
        ended = await run("doctor", "--json", REDIS_URL=url)

    primary = f"{redis_server.host}:{redis_server.port}"
    assert_found(ended, "role", f"set the URL to the primary, {primary}", Exit.SETTINGS)


async def test_settings_that_contradict() -> None:
    ended = await run(
        "doctor", "--json", REDIS_HOST="db", REDIS_UNIX_SOCKET="/run/redis.sock", REDIS_DB="many"
    )

    assert_found(ended, "settings", "remove one of them", Exit.SETTINGS)
    assert "host (REDIS_HOST) and unix_socket (REDIS_UNIX_SOCKET)" in ended.document["first"]
    assert ended.failed == ["settings", "settings"]
    assert ended.step("name")["said"] == "needs settings without mistakes"


async def test_a_server_that_hangs(redis_server: RedisServer) -> None:
    redis_server.pause()
    ended = await run("doctor", "--json", REDIS_URL=redis_server.url)
    redis_server.resume()

    assert_found(ended, "answer", "look at the server's log", Exit.UNREACHABLE)
    assert "no connection within 1 s" in ended.step("answer")["said"]


async def test_what_answers_is_not_redis() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ended = await run("doctor", "--json", REDIS_HOST="127.0.0.1", REDIS_PORT=str(port))

    assert_found(ended, "answer", "another service listens there", Exit.UNREACHABLE)
