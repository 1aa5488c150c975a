"""Read the built site as everybody may: in light on a desk, and in the dark on a phone.

axe looks for what cannot be told from its background or reached by keyboard.  A page of each
kind is enough, because all of a kind are made alike.
"""

import asyncio
import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ViewportSize, async_playwright

PAGES = ("", "guides/cache-aside/", "errors/", "reference/", "reference/web/")
LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 390))
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and does not write that it did."""

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def served(site: str) -> Iterator[str]:
    """Serve the site; yield its address."""
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


async def problems(browser: Browser, url: str) -> list[str]:
    """Say what somebody could not read or reach, on which pages."""
    found = []
    for scheme, width in LOOKS:
        size: ViewportSize = {"width": width, "height": 900}
        page = await browser.new_page(viewport=size, color_scheme=scheme)
        for name in PAGES:
            await page.goto(url + name)
            result = await Axe().run(page, options=RULES)
            if result.violations_count:
                found.append(f"{name or 'start'}, {scheme}: {result.generate_report()}")
    return found


async def main(site: str) -> None:
    """Read it, and end with what is wrong."""
    chromium = shutil.which("chromium")
    with served(site) as url:
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            found = await problems(browser, url)
            await browser.close()
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
