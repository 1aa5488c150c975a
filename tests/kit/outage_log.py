"""What a service writes of an outage: `python -m tests.kit.outage_log [SECONDS]` prints it.

Requests come at a steady rate before, during and after; the log is uvicorn's default one, and
then the same outage in JSON.
"""

import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import httpx

from redis_manager_fastapi.testing import RedisServer
from tests.kit.json_log import CONFIG
from tests.kit.serving import ROOT, environment, server_process
from tests.kit.waiting import until

RATE = 60
_BEFORE, _AFTER = 0.5, 1.5


async def paced_requests(url: str, seconds: float) -> list[int]:
    """Ask `RATE` times a second; return the answers' statuses."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:

        async def ask(number: int) -> int:
            await asyncio.sleep(number / RATE)
            return (await http.get("/hits/page")).status_code

        return await asyncio.gather(*(ask(number) for number in range(round(RATE * seconds))))


async def outage_log(
    server: RedisServer, *arguments: str, away: float
) -> tuple[list[str], list[int]]:
    """Return what a service writes of an outage, and what its clients were answered meanwhile."""
    env = environment(REDIS_URL=server.url, REDIS_LOG_ADDRESSES="true")
    app = "tests.kit.service:app"
    async with server_process(app, *arguments, directory=ROOT, env=env) as service:
        url = await service.url()
        began = len(service.log.splitlines())
        load = asyncio.create_task(paced_requests(url, _BEFORE + away + _AFTER))
        await asyncio.sleep(_BEFORE)
        await server.kill()
        await asyncio.sleep(away)
        await server.start()
        statuses = await load
        await until(lambda: "were answered" in service.log)
        return service.log.splitlines()[began:], statuses


def as_json(directory: Path) -> tuple[str, str]:
    """Return uvicorn's arguments for a log in JSON."""
    config = directory / "log.json"
    config.write_text(json.dumps(CONFIG))
    return "--log-config", str(config)


async def main(away: float) -> None:
    """Print both logs."""
    with tempfile.TemporaryDirectory() as directory:
        for name, arguments in (("default", ()), ("JSON", as_json(Path(directory)))):
            async with RedisServer() as server:
                lines, answers = await outage_log(server, "--no-access-log", *arguments, away=away)
            told = f"{away:g} s, {RATE} requests a second, answers {dict(Counter(answers))}"
            sys.stdout.write("\n".join([f"# {name}: {told}", *lines, ""]))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
