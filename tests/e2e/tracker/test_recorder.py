"""The recorder under a browser of its own: when it ends, and what a page that is left hands over."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.async_api import Error, Page

from tests.e2e.tracker.collector import TRACKER, Collector, wanting
from tests.e2e.tracker.conftest import Site

RECORDER = Path(TRACKER).with_name("replay.js")
TICKING = "<p id='p'>x</p><script>setInterval(() => { p.textContent = Date.now(); }, 100)</script>"


@pytest.fixture(autouse=True)
def recorder(collector: Collector) -> None:
    collector.scripts["replay.js"] = RECORDER.read_text("utf-8")


def stamps(collector: Collector) -> list[int]:
    return [event["timestamp"] for sent in collector.of("replay") for event in sent["events"]]


async def test_a_session_is_recorded_for_its_longest_time_and_no_page_begins_anew(
    page: Page, site: Site, collector: Collector
):
    collector.answers.extend([wanting({"replay": {"max_s": 6}}), wanting({"replay": {"max_s": 6}})])
    await page.goto(site.page("/", TICKING, mode="full"))
    await collector.until("replay", 2, within_s=15)
    await asyncio.sleep(2)
    recorded = stamps(collector)
    assert 5500 < max(recorded) - min(recorded) < 6500, "up to the end, and not beyond"
    assert [sent["sequence"] for sent in collector.of("replay")] == [0, 1]
    count = len(collector.of("replay"))
    await page.goto(site.page("/two", TICKING, mode="full"))
    await collector.until("track", 2)
    await asyncio.sleep(5)
    assert len(collector.of("replay")) == count
    assert await page.evaluate("JSON.parse(sessionStorage.analytics_replay).off")


async def test_what_a_page_that_is_left_hands_over_fits_a_beacon_whatever_it_showed(
    page: Page, site: Site, collector: Collector
):
    collector.answers.append(wanting({"replay": {"max_s": 600}}))
    await page.goto(site.page("/", "<ul id='list'></ul>", mode="full"))
    await page.wait_for_function("sessionStorage.analytics_replay")
    grow = """() => {
      const random = () => crypto.getRandomValues(new Uint32Array(8)).join(" ");
      for (let n = 0; n < 1500; n++) list.append(Object.assign(document.createElement("li"), {textContent: random()}));
    }"""
    for _ in range(3):
        await page.evaluate(grow)
    await page.wait_for_timeout(2000)  # half a megabyte, far more than a beacon: it was sent when it came up
    assert len(collector.of("replay")) > 3
    shown = "the very last"
    await page.evaluate("(shown) => { list.lastChild.textContent = shown; }", shown)
    await page.goto("about:blank")
    await collector.quiet(1)
    chunks = collector.of("replay")
    assert shown in json.dumps([sent.body for sent in chunks]), "the last that was shown arrived"
    numbers = {sent["sequence"] for sent in chunks}
    assert numbers == set(range(len(numbers)))


OPEN = "JSON.parse(sessionStorage.analytics_replay || '{}').open"


async def test_a_tab_that_goes_forth_and_back_stays_one_recording(page: Page, site: Site, collector: Collector):
    collector.answers.extend([wanting({"replay": {"max_s": 600}})] * 3)
    site.page("/two", TICKING, mode="full")
    await page.goto(site.page("/", TICKING, mode="full"))
    await page.wait_for_function(OPEN)
    await page.goto(site.url + "/two")
    await collector.until("track", 2)
    await page.wait_for_function(OPEN)
    with suppress(Error):  # a page that is loaded anew takes the script's context with it
        await page.evaluate("history.back()")
    await collector.until("track", 3)
    assert await page.evaluate("location.pathname") == "/"
    await page.wait_for_function(OPEN)
    await page.wait_for_timeout(300)
    await page.goto("about:blank")
    await collector.quiet(1)
    chunks = collector.of("replay")
    assert len({sent["tab"] for sent in chunks}) == 1
    numbers = {sent["sequence"] for sent in chunks}  # what is under way when a page is left is handed over once more
    assert numbers == set(range(len(numbers)))
    assert len(numbers) >= 3
    pages = [event["data"]["href"] for sent in chunks for event in sent["events"] if event["type"] == 4]
    assert {page.removeprefix(site.url) for page in pages} == {"/", "/two"}


async def test_a_copy_of_a_tab_numbers_its_own_chunks(page: Page, site: Site, collector: Collector):
    collector.answers.extend([wanting({"replay": {"max_s": 600}})] * 2)
    site.page("/two", TICKING, mode="full")
    await page.goto(site.page("/", TICKING, mode="full"))
    await page.wait_for_function(OPEN)
    tab = await page.evaluate("JSON.parse(sessionStorage.analytics_replay).tab")
    async with page.context.expect_page() as opened:
        await page.evaluate("window.open('/two') && undefined")  # it begins with a copy of what the tab keeps
    copy = await opened.value
    await copy.wait_for_function("(tab) => JSON.parse(sessionStorage.analytics_replay).tab !== tab", arg=tab)
    for one in (page, copy):
        await one.wait_for_timeout(300)
        await one.goto("about:blank")
    await collector.quiet(1)
    numbers: dict[str, set[int]] = {}
    for sent in collector.of("replay"):
        assert sent["session_id"] == "s-7"
        numbers.setdefault(sent["tab"], set()).add(sent["sequence"])
    assert len(numbers) == 2
    assert tab in numbers
    assert all(found == set(range(len(found))) for found in numbers.values())
