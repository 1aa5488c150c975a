"""The demo's page and the console in a real browser: pressed, broken, read and looked at."""

import asyncio
import re
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.kit.serving import environment

playwright = pytest.importorskip("playwright.async_api", reason="needs playwright")
axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="needs axe")

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 60_000
KINDS = {"one server": (), "sentinel": ("--sentinel",), "cluster": ("--cluster",)}
SIZES = {"wide": 1280, "phone": 390}
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}

# A replica may take over before a driver has looked.
NOTE_LOST_SLOTS = """() => {
  const slots = document.querySelector(".slots");
  window.lost = new Promise((noted) => {
    const note = () => { if (slots.querySelector(".lost")) noted(true); };
    new MutationObserver(note).observe(slots, { childList: true });
  });
}"""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium"),
    pytest.mark.timeout(180),
]


@dataclass
class Shown:
    """A page, and what it must not do.

    Attributes:
        page: Playwright's.
        url: The demo's address.
        complaints: What it wrote to the browser's console, and requests to other hosts.
        restarts: Whether the app is away for a while, which the browser remarks on.
        refused: Whether a press is refused, which it remarks on as well.
    """

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    restarts: bool = False
    refused: bool = False

    def listen(self) -> None:
        self.page.on("console", self._wrote)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _wrote(self, message: Any) -> None:
        away = self.restarts and "ERR_CONNECTION_REFUSED" in message.text
        if not away and not (self.refused and "409" in message.text):
            self.complaints.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(self.url):
            self.complaints.append(f"asked {request.url}")

    async def press(self, act: str) -> None:
        await self.page.locator(f"button[data-name={act}]").click()

    async def until_state(self, state: str) -> None:
        await self.page.locator(f".state[data-state={state}]").wait_for(timeout=PATIENCE)

    async def visits(self, rate: int) -> None:
        """Have so many visits a second, and wait for the first answers."""
        await self.page.locator("#rate").fill(str(rate))
        await self.until_text("#answers li:first-child .status", lambda text: text == "200")

    async def until_text(self, selector: str, fits: Callable[[str], object]) -> str:
        """Wait until the text of an element is as it should be; return it."""
        text = ""
        async with asyncio.timeout(PATIENCE / 1000):
            while not fits(text):
                text = str(await self.page.locator(selector).inner_text(timeout=PATIENCE))
        return text

    async def until_verdict(self) -> str:
        """Wait until Redis can be asked what it has counted; return what follows from that."""
        return await self.until_text("#verdict", lambda text: "counted" in text)

    async def answered(self, status: int) -> int:
        """How many visits were answered with *status*."""
        name = self.page.locator("dt", has_text=str(status))
        text = await self.page.locator("#statuses .tile", has=name).inner_text()
        return int(re.findall(r"([\d,]+) in all", text)[0].replace(",", ""))

    async def assert_accessible(self) -> None:
        found = await axe.Axe().run(self.page, options=WCAG)
        assert not found.violations_count, found.generate_report()


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[str]:
    """Run a demo, and hand out its address."""
    command = (sys.executable, "-m", "redis_manager_fastapi.demo", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(), stdout=PIPE, stderr=STDOUT
    )
    assert process.stdout is not None
    said = ""
    while "Ctrl-C" not in said:
        line = (await process.stdout.readline()).decode()
        assert line, said
        said += line
    log = asyncio.create_task(process.stdout.read())
    yield re.findall(r"open   (\S+)", said)[0]
    process.terminate()
    assert "Traceback" not in (await log).decode()
    assert await process.wait() == 0


@pytest.fixture
async def demo(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a demo."""
    async with running(*request.param) as url:
        yield url


@asynccontextmanager
async def shown(url: str, width: int = 1280, scheme: str = "light") -> AsyncIterator[Shown]:
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            size = {"width": width, "height": 900}
            page = await browser.new_page(viewport=size, color_scheme=scheme)
            looked = Shown(page, url)
            looked.listen()
            await page.goto(url)
            await looked.until_state("ready")
            yield looked
            assert not looked.complaints
        finally:
            await browser.close()


def picture(tmp_path: Path, name: str) -> dict[str, Any]:
    return {"path": tmp_path / f"{name}.png", "full_page": True}


@pytest.mark.parametrize("demo", [KINDS["one server"]], indirect=True, ids=["one server"])
async def test_a_short_outage_costs_nothing_and_a_long_one_is_told(
    demo: str, tmp_path: Path
) -> None:
    """What anyone may see who presses the buttons."""
    async with shown(demo) as looked:
        await looked.visits(100)
        await looked.press("outage_1")
        await looked.page.get_by_text(re.compile("ready again after")).first.wait_for()
        await looked.until_state("ready")
        failed = await looked.answered(503)
        await looked.press("outage_5")
        await looked.until_state("down")
        await looked.until_text("#answers li:first-child .status", lambda text: text == "503")
        await looked.page.screenshot(**picture(tmp_path, "outage"))
        await looked.until_state("ready")
        await looked.until_text("#answers li:first-child .status", lambda text: text == "200")
        assert await looked.answered(503) > failed
        said = await looked.until_text("#verdict", lambda text: "None lost" in text)
        assert "twice" not in said
        line = looked.page.locator(".chart path.one").first
        assert len((await line.get_attribute("d")).split("L")) > 5
        assert await looked.page.locator(".chart rect.bad").count()


@pytest.mark.parametrize("demo", [KINDS["one server"]], indirect=True, ids=["one server"])
@pytest.mark.parametrize(("size", "scheme"), [("wide", "light"), ("phone", "dark")])
async def test_everybody_can_read_it(demo: str, size: str, scheme: str, tmp_path: Path) -> None:
    async with shown(demo, SIZES[size], scheme) as looked:
        await looked.visits(50)
        await looked.press("kill")
        await looked.until_state("down")
        await looked.page.screenshot(**picture(tmp_path, f"{size}-{scheme}"))
        await looked.assert_accessible()
        wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert await looked.page.evaluate(wide), "it scrolls sideways"


@pytest.mark.parametrize("demo", [KINDS["one server"]], indirect=True, ids=["one server"])
async def test_it_goes_by_keyboard_alone(demo: str) -> None:
    async with shown(demo) as looked:
        keys = looked.page.keyboard
        await keys.press("Tab")
        assert await looked.page.evaluate("document.activeElement.id") == "rate"
        for _ in range(10):
            await keys.press("ArrowRight")
        await looked.until_text("#answers li:first-child .status", lambda text: text == "200")
        await keys.press("Tab")
        assert await looked.page.evaluate("document.activeElement.dataset.name") == "kill"
        await keys.press("Enter")
        await looked.until_state("down")
        await keys.press("Tab")
        await keys.press("Enter")
        await looked.until_state("ready")


@pytest.mark.parametrize("demo", [KINDS["one server"]], indirect=True, ids=["one server"])
async def test_one_thing_is_done_at_a_time_and_restore_ends_it(demo: str) -> None:
    async with shown(demo) as looked:
        kill = looked.page.locator("button[data-name=kill]")
        outage = looked.page.locator("button[data-name=outage_5]")
        await looked.press("outage_5")
        await looked.page.locator("button[data-name=kill][aria-disabled=true]").wait_for()
        assert await outage.get_attribute("aria-pressed") == "true"
        await kill.click(force=True)
        await looked.until_state("down")
        await looked.press("restart")
        await looked.page.locator("button[data-name=kill]:not([aria-disabled])").wait_for()
        await looked.until_state("ready")
        assert await kill.get_attribute("aria-pressed") == "false"
        assert await outage.get_attribute("aria-pressed") is None
        assert await looked.page.locator("#alive").inner_text() == "Every process runs."


@pytest.mark.parametrize("demo", [KINDS["one server"]], indirect=True, ids=["one server"])
async def test_a_press_that_comes_second_is_answered(demo: str) -> None:
    """Somebody else has begun something that this page has not heard of yet."""
    async with shown(demo) as looked:
        looked.refused = True

        async def after_another(route: Any) -> None:
            address = f"{demo}demo/acts/outage_5"
            await looked.page.request.post(address, headers={"X-Demo": "1"})
            await route.continue_()

        await looked.page.route("**/demo/acts/kill", after_another)
        await looked.press("kill")
        said = "Not done: Kill: something else is being done."
        await looked.until_text("#alive", lambda text: said in text)


@pytest.mark.parametrize("demo", [KINDS["one server"]], indirect=True, ids=["one server"])
async def test_the_verdict_adds_up(demo: str) -> None:
    """What was counted is what visitors were told, and what they are about to be told."""
    async with shown(demo) as looked:
        await looked.visits(100)
        await looked.press("slow")
        said = await looked.until_text("#verdict", lambda text: "on their way" in text)

        numbers = [int(each.replace(",", "")) for each in re.findall(r"[\d,]*\d", said)]
        assert said.startswith("None lost, none doubled.")
        assert numbers[0] == numbers[1] + numbers[2]


@pytest.mark.parametrize("demo", [KINDS["one server"]], indirect=True, ids=["one server"])
async def test_what_is_frozen_is_named(demo: str) -> None:
    async with shown(demo) as looked:
        await looked.press("pause")
        await looked.until_text("#alive", lambda text: text == "Frozen: server.")


async def test_the_page_goes_on_where_it_was_when_the_app_is_back() -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        url = await first.enter_async_context(running())
        looked = await stack.enter_async_context(shown(url))
        looked.restarts = True
        drawn = looked.page.locator(".chart path.one").first
        await drawn.wait_for()
        await looked.page.locator("button[data-name=pause]").focus()
        await first.aclose()
        await looked.press("pause")
        await looked.until_text("#alive", lambda text: "does not answer" in text)
        await looked.page.locator("#said.away").wait_for(timeout=PATIENCE)
        assert await looked.page.locator("#beside.stale").count() == 1
        assert await looked.page.locator(".acts button:not([aria-disabled=true])").count() == 0
        assert await looked.page.title() == "no news · Break Redis, and watch the app"
        await stack.enter_async_context(running("--port", url.strip("/").rpartition(":")[2]))
        await looked.page.locator("#said:not(.away)").wait_for(timeout=PATIENCE)
        await looked.page.locator("#beside:not(.stale)").wait_for(timeout=PATIENCE)
        assert await looked.page.locator(".acts button[aria-disabled=true]").count() == 0
        assert await looked.page.evaluate("document.activeElement.dataset.name") == "pause"
        assert await looked.page.locator("ol.news", has_text="ready").locator("li").count() == 4
        assert await looked.page.locator(".life [data-state=unknown]").count() == 2


@pytest.mark.parametrize("demo", [KINDS["sentinel"]], indirect=True, ids=["sentinel"])
async def test_sentinels_fail_over(demo: str) -> None:
    async with shown(demo) as looked:
        await looked.visits(50)
        await looked.press("failover")
        await looked.page.get_by_text("on another server").first.wait_for(timeout=PATIENCE)
        await looked.until_state("ready")
        await looked.page.get_by_text("watched by 3 of 3 Sentinels").wait_for(timeout=PATIENCE)
        assert "twice" not in await looked.until_verdict()


@pytest.mark.parametrize("demo", [KINDS["cluster"]], indirect=True, ids=["cluster"])
async def test_slots_of_a_cluster_move_and_are_lost(demo: str, tmp_path: Path) -> None:
    async with shown(demo) as looked:
        await looked.visits(50)
        await looked.press("move")
        rows = looked.page.locator("tbody", has_text="serves").locator("tr td:first-child")
        await looked.page.get_by_text(re.compile(r"\d+-\d+, \d+-\d+")).first.wait_for()
        assert await rows.count() == 3
        await looked.page.evaluate(NOTE_LOST_SLOTS)
        await looked.press("kill")
        await asyncio.wait_for(looked.page.evaluate("window.lost"), PATIENCE / 1000)
        await looked.page.screenshot(**picture(tmp_path, "lost-shard"))
        await looked.press("restart")
        await looked.until_state("ready")
        assert "twice" not in await looked.until_verdict()
        await looked.page.reload()
        await looked.until_state("ready")
        assert "then down for" in (
            await looked.page.locator(".life").get_attribute("aria-label") or ""
        )


@pytest.mark.parametrize("demo", [KINDS["one server"]], indirect=True, ids=["one server"])
async def test_no_other_page_presses_the_buttons(demo: str) -> None:
    async with shown(demo) as looked:
        pressed = await looked.page.request.post(f"{demo}demo/acts/kill")
        assert pressed.status == 422
        unknown = await looked.page.request.post(f"{demo}demo/acts/format", headers={"X-Demo": "1"})
        assert unknown.status == 404
