"""Take the README's picture: `scripts/picture`.

It starts the demo, lets it run, has an outage of one second and one of five, and takes
the picture in the second, while routes answer 503.
"""

import argparse
import asyncio
import re
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import async_playwright

PICTURE = Path(__file__).parents[1] / "docs/demo.png"
RATE = 150
QUIET = 40
BETWEEN = 20
INTO = 3.5
"""How far into the long outage: grace is over, and both charts show it."""


@asynccontextmanager
async def demo() -> AsyncIterator[str]:
    """Run the demo; yield its address."""
    command = (sys.executable, "-m", "redis_manager_fastapi.demo")
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    assert process.stdout is not None  # noqa: S101 (it is PIPE)
    said = ""
    while "Ctrl-C" not in said:
        said += (await process.stdout.readline()).decode()
    log = asyncio.create_task(process.stdout.read())
    try:
        yield re.findall(r"open   (\S+)", said)[0]
    finally:
        process.terminate()
        await log
        await process.wait()


async def until(page: Any, state: str) -> None:
    """Wait for a state."""
    await page.locator(f".state[data-state={state}]").wait_for()


async def take(path: Path, scheme: Literal["light", "dark"]) -> None:
    """Take the picture."""
    async with demo() as url, async_playwright() as driver:
        chromium = shutil.which("chromium")
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
        await page.goto(url)
        await until(page, "ready")
        await page.locator("#rate").fill(str(RATE))
        await asyncio.sleep(QUIET)
        await page.locator("button[data-name=outage_1]").click()
        await asyncio.sleep(BETWEEN)
        await page.locator("button[data-name=outage_5]").click()
        await until(page, "down")
        await asyncio.sleep(INTO)
        await page.mouse.move(0, 0)
        await page.screenshot(path=path)
        await browser.close()


def main() -> None:
    """Take it, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=PICTURE)
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    given = parser.parse_args()
    asyncio.run(take(given.to, given.scheme))
    sys.stdout.write(f"{given.to}: {given.to.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
