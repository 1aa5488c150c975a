"""How the demo starts, and what it says when it cannot."""

import signal
import socket

import httpx
import pytest

from tests.kit.command_line import ended
from tests.kit.command_line import started as command
from tests.kit.demo import address, run, started
from tests.kit.serving import PATIENCE

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "80000"], "cannot serve on port 80000: it is none of 0 to 65535"),
        (["--redis-url", "http://127.0.0.1"], "REDIS_URL"),
    ],
)
async def test_what_is_wrong_is_one_line(arguments: list[str], said: str) -> None:
    end = await run(*arguments)

    assert end.code == 2
    assert said in end.err
    assert end.err.startswith("demo: ")
    assert end.err.count("\n") == 1


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        end = await run("--port", str(port))

    assert (end.code, end.err) == (
        2,
        f"demo: cannot serve on port {port}: Address already in use\n",
    )


async def test_a_server_that_is_away_is_shown_as_such_and_keeps_nobody_waiting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    process = await started("--redis-url", f"redis://127.0.0.1:{port}")
    url = await address(process)
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        page = await http.get(url)
    process.send_signal(signal.SIGINT)
    end = await ended(process)

    assert page.status_code == 200
    assert end.code == 0
    assert "Traceback" not in end.out + end.err


async def test_the_command_takes_the_same_options(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await command("demo", "--port", str(port), "--redis-url", redis_url)
    url = await address(process)
    process.send_signal(signal.SIGINT)
    end = await ended(process)

    assert url == f"http://127.0.0.1:{port}/redis"
    assert end.code == 0
