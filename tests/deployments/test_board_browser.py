"""The board in a real browser: readable on a phone, in light and dark, for everyone."""

import asyncio
import os
from contextlib import asynccontextmanager
from itertools import product

import pytest
import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright

from tests import needs
from tests.deployments.boards import now, open_ledger, write_site
from tests.ports import free_port
from tests.watch.weeks import HOUR, MINUTE, add, look, release, slot, walk, week

__all__ = ["open_ledger", "write_site"]

pytestmark = pytest.mark.slow

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
PHONE, DESKTOP = (360, 740), (1280, 900)
LONG = "a-version-whose-name-is-as-long-as-it-may-be-" * 2
QUESTIONS = [
    "Does the site keep its promises?",
    "Is it up?",
    "Is it slow?",
    "Are jobs failing?",
    "Did the last deployment change anything?",
]
PAGES = {"/": ("magazine needs somebody now", 3), "/sites/magazine": ("magazine", 5), "/sites/shop": ("shop", 5)}


@pytest.fixture
def weeks(write_site, open_ledger):
    """A site that is well, one that is not, one that nobody looked at, and jobs of no site."""
    at = now()
    for name in ("shop", "magazine", "garden-post"):
        write_site(name)
    week(open_ledger, "shop", at)
    week(open_ledger, "magazine", at, bad=True)
    overran = [slot(at - HOUR, "overrun", "garden-post"), slot(at, site="garden-post")]
    long = look(at + MINUTE, up=False, site="magazine", status=0, detail="x" * 150)
    add(
        open_ledger,
        long,
        release(LONG, at - MINUTE, "garden-post"),
        slot(at, site="", deployment="publish-status"),
        *overran,
    )
    walk(open_ledger, at - HOUR, site="garden-post")


@asynccontextmanager
async def served():
    """The board on a port of its own."""
    from prefect.settings import PREFECT_UI_URL, temporary_settings

    from deployments.board.app import create

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create(), port=port, log_level="warning"))
    with temporary_settings({PREFECT_UI_URL: "http://127.0.0.1:4200"}):
        serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(30):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


#: For a page or a word in it, on a busy machine.
PATIENCE_MS = 180_000


@asynccontextmanager
async def browser():
    async with async_playwright() as player:
        chromium = await player.chromium.launch(executable_path=needs.program("chromium"), args=QUIET)
        try:
            yield chromium
        finally:
            await chromium.close()


async def test_the_board_is_readable_on_phone_and_desktop_in_light_and_dark(weeks, tmp_path):
    shots = os.environ.get("ROUNDSMAN_SHOTS", str(tmp_path))
    async with served() as address, browser() as chromium:
        page = await chromium.new_page()
        page.set_default_timeout(PATIENCE_MS)
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        for path, (heading, pictures) in PAGES.items():
            await page.goto(f"{address}{path}")
            assert (await page.locator("h1").inner_text()).startswith(heading), path
            name = path.strip("/").replace("/", "-") or "index"
            for (width, height), scheme in product((PHONE, DESKTOP), ("light", "dark")):
                where = f"{path} {scheme} {width}"
                await page.set_viewport_size({"width": width, "height": height})
                await page.emulate_media(color_scheme=scheme)
                await page.screenshot(path=f"{shots}/{name}-{scheme}-{width}.png", full_page=True)
                assert width >= await page.evaluate("document.documentElement.scrollWidth"), where
                await pictures_are_shown(page, pictures, width, where)
                assert [] == await violations(page), where
                assert scheme == await scheme_of(page), where
        assert [] == complaints


async def pictures_are_shown(page, count, width, where):
    """As many as there should be, drawn by the browser, as wide as the screen lets them be."""
    sizes = await page.evaluate(
        "Array.from(document.images, one => [one.complete, one.naturalWidth, one.naturalHeight, one.width, one.height])"
    )
    assert count == len(sizes), where
    for complete, own_width, own_height, shown_width, shown_height in sizes:
        assert complete, where
        assert (538, True) == (own_width, own_height in {48, 86}), where
        assert min(width, 600) * 0.75 < shown_width <= width - 40, where
        assert abs(shown_height / shown_width - own_height / own_width) < 0.02, where


async def violations(page):
    """What axe finds wrong, by rule and place."""
    found = await Axe().run(page)
    return [(one["id"], [node["target"] for node in one["nodes"]]) for one in found.response["violations"]]


async def scheme_of(page):
    """Whether the page is light or dark, by the brightness of its own background."""
    colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
    return "light" if brightness > 3 * 128 else "dark"


async def test_ten_seconds_are_enough_on_a_phone(weeks):
    """The first screen of the first page names what fails, whose it is and how to go back; without any script."""
    async with served() as address, browser() as chromium:
        context = await chromium.new_context(viewport={"width": 360, "height": 740}, java_script_enabled=False)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(address)
        for text in ("magazine needs somebody now", "No: /health does not answer", "make rollback", "✕ FAIL"):
            box = await page.get_by_text(text).first.bounding_box()
            assert box["y"] + box["height"] < 740, text
        outcomes = await page.locator("h3").all_inner_texts()
        assert [f"{words}\n✕ FAIL" for words in QUESTIONS] == outcomes[:5]
        await page.get_by_role("link", name="magazine").click()
        assert page.url.endswith("/sites/magazine")
        links = page.get_by_role("link", name="the run in Prefect")
        assert (await links.first.get_attribute("href")).startswith(
            "http://127.0.0.1:4200/runs/flow-run/flow-magazine-"
        )
        assert QUESTIONS == [text.split("\n")[0] for text in await page.locator("h2").all_inner_texts()]
        for label in ("Since", "Owner", "Expected", "Rollback", "Run"):
            assert 5 == await page.locator("dt", has_text=label).count()


async def test_outcomes_are_told_apart_without_colour(weeks):
    """Each has a word, a shape and a border of its own."""
    async with served() as address, browser() as chromium:
        page = await chromium.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(address)
        badges = await page.evaluate(
            "Array.from(document.querySelectorAll('.badge'), one => "
            "[one.classList[1], one.innerText.trim(), getComputedStyle(one).borderTopStyle])"
        )
    told = {tuple(badge) for badge in badges}
    assert {"pass", "warn", "unknown", "fail"} == {outcome for outcome, _, _ in told}
    words, borders = {text for _, text, _ in told}, {border for _, _, border in told}
    assert {"✓ PASS", "▲ WARN", "? UNKNOWN", "✕ FAIL"} == words
    assert {"solid", "dashed", "dotted"} == borders


async def test_a_browser_can_ask_for_the_token(weeks, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_BOARD_TOKEN", "spelled-out-nowhere")
    async with served() as address, browser() as chromium:
        for password, code in (("wrong", 401), ("spelled-out-nowhere", 200)):
            context = await chromium.new_context(http_credentials={"username": "me", "password": password})
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            assert code == (await page.goto(f"{address}/sites/shop")).status
            await context.close()
