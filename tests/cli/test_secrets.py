"""No command writes a secret, in whatever form, whether it works or not."""

from pathlib import Path
from urllib.parse import quote

import pytest

from redis_manager_fastapi.testing import RedisServer
from tests.kit.command_line import ended, run, started

SECRET = "hunter2/%!"
SENTINELS = "s3ntin3l"
PLACES = ("config", "config --format env", "config --json")
TALKERS = ("ping --json", "wait --timeout 0.5", "watch --count 1 --json")
DOCTORS = ("doctor", "doctor --json")


def assert_hidden(text: str) -> None:
    for secret in (SECRET, quote(SECRET, safe=""), SENTINELS):
        assert secret not in text
        assert secret[:6] not in text


def cases(server: RedisServer, tmp_path: Path) -> dict[str, dict[str, str]]:
    """Ways to give a secret, right and wrong."""
    encoded, address = quote(SECRET, safe=""), f"{server.host}:{server.port}"
    file = tmp_path / "password"
    file.write_text(SECRET)
    return {
        "in the URL, accepted": {"REDIS_URL": f"redis://:{encoded}@{address}"},
        "for an unknown user": {"REDIS_URL": f"redis://app:{encoded}@{address}"},
        "where nobody listens": {"REDIS_URL": f"redis://:{encoded}@127.0.0.1:1"},
        "in a file": {"REDIS_URL": f"redis://{address}", "REDIS_PASSWORD_FILE": str(file)},
        "by RESP3": {"REDIS_URL": f"redis://app:{encoded}@{address}", "REDIS_PROTOCOL": "3"},
        "in a URL that is wrong": {"REDIS_URL": f"redis://:{SECRET}@{address}"},
        "in a wrong place": {"REDIS_URL": f"redis://{encoded}@{address}", "REDIS_PORT": "x"},
        "of the Sentinels": {
            "REDIS_URL": f"redis+sentinel://:{encoded}@{address}/0/mymaster",
            "REDIS_SENTINEL__PASSWORD": SENTINELS,
        },
        "of a Cluster": {"REDIS_URL": f"redis+cluster://:{encoded}@{address}"},
    }


CASES = (
    *("in the URL, accepted", "for an unknown user", "where nobody listens", "in a file"),
    *("by RESP3", "in a URL that is wrong", "in a wrong place"),
    *("of the Sentinels", "of a Cluster"),
)
TOLD = [(command, case) for command in DOCTORS for case in CASES]
TOLD += [(command, case) for command in TALKERS for case in CASES[:3]]
TOLD += [(command, case) for command in PLACES for case in CASES[5:8]]


@pytest.mark.parametrize(("command", "case"), TOLD)
async def test_no_command_writes_a_secret(command: str, case: str, tmp_path: Path) -> None:
    async with RedisServer(password=SECRET) as server:
        variables = cases(server, tmp_path)[case]
        end = await run(*command.split(), **variables)

    assert_hidden(end.out + end.err)
    assert "Traceback" not in end.err


@pytest.mark.parametrize("command", ["ping", "doctor"])
async def test_a_url_given_by_option_is_hidden_too(command: str) -> None:
    url = f"redis://app:{quote(SECRET, safe='')}@127.0.0.1:1"
    end = await run(command, "--url", url)

    assert_hidden(end.out + end.err)


@pytest.mark.parametrize("words", ["ping {}", "{}", "config --json {}", "ping --name {}", "--{}"])
async def test_a_url_in_a_wrong_place_is_not_repeated(words: str) -> None:
    url = f"redis://app:{quote(SECRET, safe='')}@127.0.0.1:1"
    end = await run(*(word.format(url) for word in words.split()))

    assert_hidden(end.out + end.err)
    assert "a URL is given by --url" in end.out + end.err
    assert end.code == 2


async def test_a_traceback_shows_none(tmp_path: Path) -> None:
    """Whatever goes wrong in the command line itself, no variable of it is written."""
    (tmp_path / "sitecustomize.py").write_text(
        "import redis_manager_fastapi.cli.ready as ready\n"
        "async def broken(chosen, count, *, as_json):\n"
        "    password = chosen.settings.read_password()\n"
        "    raise RuntimeError('broken')\n"
        "ready.ping = broken\n"
    )
    url = f"redis://:{quote(SECRET, safe='')}@127.0.0.1:1"
    end = await ended(await started("ping", REDIS_URL=url, PYTHONPATH=str(tmp_path)))

    assert "RuntimeError: broken" in end.err
    assert end.code == 1
    assert_hidden(end.out + end.err)
