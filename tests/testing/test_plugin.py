"""The fixtures, as a user's own test suite gets them: through the entry point."""

import subprocess
import sys

import pytest

from redis_manager_fastapi import testing

pytest_plugins = ["pytester"]

USER_TESTS = """
import pytest
from redis.asyncio import Redis

pytestmark = {marks}

async def test_server_is_mine(redis_server, redis_url):
    async with Redis.from_url(redis_url, protocol=2) as client:
        assert await client.incr("hits") == 1
    await redis_server.restart()

async def test_server_is_new(redis_server):
    assert await redis_server.command("INCR", "hits") == 1

async def test_proxy_stands_before_the_server(redis_server, fault_proxy):
    async with Redis.from_url(fault_proxy.url, protocol=2) as client:
        assert await client.incr("hits") == 1
    assert await redis_server.command("GET", "hits") == "1"
"""

MANAGER_TEST = """
import pytest

async def test_manager_survives(redis_manager, redis_server):
    async with redis_manager.client() as redis:
        assert await redis.incr("hits") == 1
        await redis_server.restart()
        assert await redis.incr("hits") == 1
"""

SYNC_TEST = """
import socket

def test_synchronous_test_has_a_server(redis_server, redis_url):
    with socket.create_connection((redis_server.host, redis_server.port)) as client:
        client.sendall(b"PING\\r\\n")
        assert client.recv(100) == b"+PONG\\r\\n"
"""

# Stands for an environment in which pytest-asyncio was never installed.
WITHOUT_EXTRA = "import sys; sys.modules['pytest_asyncio'] = None"

IMPORTS = """
import sys
import redis_manager_fastapi
before = set(sys.modules)
import redis_manager_fastapi.testing.plugin
print(*(name for name in set(sys.modules) - before if name.startswith(("redis", "valkey"))))
"""


def run(pytester: pytest.Pytester, mode: str, *options: str) -> pytest.RunResult:
    """Run the user's tests in a process of their own, with warnings as errors."""
    pytester.makeini(
        f"""
        [pytest]
        asyncio_mode = {mode}
        asyncio_default_fixture_loop_scope = function
        filterwarnings = error
        """
    )
    return pytester.runpytest_subprocess(*options)


@pytest.mark.parametrize(("mode", "marks"), [("strict", "pytest.mark.asyncio"), ("auto", "[]")])
def test_fixtures_work_in_both_modes(pytester: pytest.Pytester, mode: str, marks: str) -> None:
    pytester.makepyfile(
        test_async=USER_TESTS.format(marks=marks),
        test_sync=SYNC_TEST,
    )

    result = run(pytester, mode)

    result.assert_outcomes(passed=4)


def test_manager_is_open_and_survives_a_restart(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the developer's environment says of another server does not matter."""
    monkeypatch.setenv("REDIS_URL", "rediss://u:p@elsewhere:1/3")
    monkeypatch.setenv("REDIS_TLS__ENABLED", "true")
    monkeypatch.setenv("REDIS_PASSWORD", "secret")
    pytester.makepyfile(MANAGER_TEST)

    result = run(pytester, "auto")

    result.assert_outcomes(passed=1)


def test_proxy_starts_where_python_imports_nothing_from_its_folder(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    pytester.makepyfile(USER_TESTS.format(marks="[]"))

    result = run(pytester, "auto", "-k", "stands")

    result.assert_outcomes(passed=1, deselected=2)


def test_naming_the_plugin_as_well_is_harmless(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["redis_manager_fastapi.testing.plugin"]')
    pytester.makepyfile(SYNC_TEST)

    result = run(pytester, "strict", "-p", "redis_manager_fastapi.testing.plugin")

    result.assert_outcomes(passed=1)


def test_missing_extra_is_named_by_the_fixture_and_nowhere_else(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        without_extra=WITHOUT_EXTRA,
        test_user="def test_alone(): pass\n\ndef test_served(redis_url): pass",
    )

    result = pytester.runpytest_subprocess("-p", "without_extra", "-p", "no:asyncio")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*'redis_server' needs*pip install 'redis_manager_fastapi?testing?'*"]
    )


def test_plugin_imports_nothing_heavy() -> None:
    found = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
    ).stdout

    assert set(found.split()) == {testing.__name__, f"{testing.__name__}.plugin"}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="NoSuchName"):
        _ = testing.NoSuchName
    assert all(getattr(testing, name) for name in testing.__all__)
