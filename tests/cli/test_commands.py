"""`ping`, `wait`, `watch`, `config` and `demo`, their options, and what they end with."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from redis_manager_fastapi.cli.exits import Exit
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.settings.sources import setting_paths
from redis_manager_fastapi.testing import RedisServer
from tests.kit.command_line import COMMAND, ended, run, started
from tests.kit.serving import PATIENCE, environment

ROOT = Path(__file__).parents[2]
NOWHERE = "redis://127.0.0.1:1"


async def test_ping(redis_server: RedisServer) -> None:
    person = await run("ping", REDIS_URL=redis_server.url)
    program = await run("ping", "--count", "3", "--json", "--url", redis_server.url)

    assert person.out.startswith(f"PONG from 127.0.0.1:{redis_server.port} in ")
    assert program.document["pings"] == 3
    assert (person.code, program.code) == (Exit.OK, Exit.OK)


async def test_exit_codes_tell_the_causes_apart(redis_server: RedisServer) -> None:
    wrong = redis_server.url.replace("//", "//:secret@")
    encrypted = redis_server.url.replace("redis:", "rediss:")
    ends = [
        await run("ping", "--url", "http://x"),
        await run("ping", "--url", redis_server.url.replace("/0", "/99")),
        await run("ping", "--url", NOWHERE),
        await run("ping", "--url", wrong),
    ]

    assert [end.code for end in ends] == [2, 2, 3, 4]
    assert all(end.err.startswith("fail  ") and not end.out for end in ends)
    assert (await run("ping", "--url", encrypted)).code in {Exit.TLS, Exit.UNREACHABLE}
    assert (await run("ping", "--no-such-option")).code == Exit.SETTINGS


async def test_json_also_says_why(redis_server: RedisServer) -> None:
    end = await run("ping", "--json", "--url", NOWHERE)

    assert end.document["exit_code"] == end.code == Exit.UNREACHABLE
    assert "connection refused" in end.document["error"]


async def test_wait_ends_when_redis_comes(redis_server: RedisServer) -> None:
    await redis_server.kill()
    process = await started("wait", "--timeout", "20", REDIS_URL=redis_server.url)
    assert process.stderr is not None
    first = await asyncio.wait_for(process.stderr.readline(), PATIENCE)
    await redis_server.start()
    end = await ended(process)

    assert b"connection refused" in first
    assert end.out.startswith("ready after ")
    assert end.code == Exit.OK


async def test_wait_gives_up() -> None:
    end = await run("wait", "--timeout", "0.3", "--json", REDIS_URL=NOWHERE)

    assert end.code == end.document["exit_code"] == Exit.UNREACHABLE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_watch_sees_an_outage_and_ends_on_a_signal(
    redis_server: RedisServer, number: signal.Signals
) -> None:
    options = ("--json", "--interval", "0.1")
    process = await started("watch", *options, REDIS_URL=redis_server.url)
    assert process.stdout is not None

    async def until(serving: bool) -> dict[str, object]:
        assert process.stdout is not None
        while True:
            look = json.loads(await process.stdout.readline())
            if look["serving"] is serving:
                return dict(look)

    async with asyncio.timeout(PATIENCE):
        sound = await until(serving=True)
        await redis_server.kill()
        lost = await until(serving=False)
        process.send_signal(number)
    end = await ended(process)

    assert sound["state"] == "ready"
    assert sound["ping"]
    assert isinstance(sound["server"], dict)
    assert sound["server"]["clients"] >= 1
    assert lost["reason"]
    assert (end.code, end.err) == (Exit.OK, "")


async def test_watch_in_lines(redis_server: RedisServer) -> None:
    end = await run("watch", "--count", "2", "--interval", "0.1", REDIS_URL=redis_server.url)

    assert len(end.out.splitlines()) == 2
    assert "  ready  ping " in end.out
    assert end.code == Exit.OK


async def test_config_has_every_setting_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "app.env"
    file.write_text("REDIS_TIMEOUT__CONNECT=3\n")
    variables = {
        "REDIS_URL": "redis://app:secret@db:6380/2",
        "REDIS_MAX_CONNECTIONS": "5",
        "REDIS_PASSWORD": "other",
    }
    end = await run("config", "--json", "--env-file", str(file), **variables)

    settings = end.document["settings"]
    assert settings.keys() == setting_paths(RedisSettings)
    assert [(settings[path]["value"], settings[path]["source"]) for path in SHOWN] == [
        ("db", "REDIS_URL"),
        ("**********", "REDIS_URL"),
        ("5", "REDIS_MAX_CONNECTIONS (alias)"),
        ("3.0", f"REDIS_TIMEOUT__CONNECT in {file}"),
        ("2.0", "default"),
        (None, "default"),
    ]
    assert end.document["notes"] == [
        "REDIS_PASSWORD is set and has no effect; REDIS_URL goes first"
    ]


SHOWN = (
    *("host", "password", "pool.max_connections"),
    *("timeout.connect", "timeout.command", "tls.ca_file"),
)


async def test_config_of_a_second_deployment() -> None:
    variables = {"REDIS_HOST": "one", "REDIS_CACHE_HOST": "two"}
    end = await run("config", "--name", "cache", "--json", **variables)

    host = end.document["settings"]["host"]
    assert (host["value"], host["source"]) == ("two", "REDIS_CACHE_HOST")
    assert (await run("config", "--name", "no name")).code == Exit.SETTINGS


async def test_config_as_an_environment_means_the_same() -> None:
    """What is not masked, and read back, gives the same settings."""
    given = {"REDIS_URL": "redis+sentinel://a,b:1/3/it's", "REDIS_ADDRESS_MAP": "10.0.0.1:1=x:1"}
    end = await run("config", "--format", "env", **given)
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'set -a\n{end.out}\nexec "$@"', "sh", *COMMAND, "config", "--json"),
        env=environment(),
        stdout=subprocess.PIPE,
    )
    again = json.loads((await shell.communicate())[0])["settings"]
    first = (await run("config", "--json", **given)).document["settings"]

    values = {path: row["value"] for path, row in first.items() if path != "url"}
    assert {path: row["value"] for path, row in again.items() if path != "url"} == values


async def test_config_as_a_table() -> None:
    end = await run("config", REDIS_HOST="db")

    lines = [line.split() for line in end.out.splitlines()]
    assert ["host", "db", "REDIS_HOST"] in lines
    assert ["port", "6379", "default"] in lines
    assert max(map(len, end.out.splitlines())) <= 80


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['typer'] = None; sys.argv[1:] = ['ping']\n"
    code = f"{hidden}import runpy; runpy.run_module('redis_manager_fastapi', run_name='__main__')"
    end = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, check=False, timeout=PATIENCE
    )

    expected = "redis-manager-fastapi needs: pip install 'redis_manager_fastapi[cli]'\n"
    assert (end.returncode, end.stdout) == (Exit.SETTINGS, "")
    assert end.stderr == expected


async def test_the_installed_script_is_the_same() -> None:
    script = Path(sys.executable).with_name("redis-manager-fastapi")
    if not script.exists():
        pytest.skip("the package is not installed with its scripts")
    process = await asyncio.create_subprocess_exec(script, "--help", stdout=subprocess.PIPE)
    by_script = (await process.communicate())[0].decode()

    assert "doctor" in by_script
    assert by_script == (await run("--help")).out


def test_demo_serves_the_minimal_example() -> None:
    app = ROOT / "redis_manager_fastapi" / "demo" / "minimal.py"

    assert app.read_text() == (ROOT / "examples" / "minimal.py").read_text()


async def test_demo_runs_in_the_command_s_place(redis_server: RedisServer) -> None:
    process = await started("demo", REDIS_URL=redis_server.url)
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while b"Ctrl-C" not in await process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
    end = await ended(process)

    assert end.code == Exit.OK
