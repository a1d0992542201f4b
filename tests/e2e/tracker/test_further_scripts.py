"""Scripts that the tracker loads when a view's answer asks for what they record."""

from playwright.async_api import Page

from tests.e2e.tracker import acts
from tests.e2e.tracker.collector import Collector, recorded_nothing, wanting
from tests.e2e.tracker.conftest import Site

PROBE = """
const _ = analytics._;
window.seen = [];
const take = (view) => seen.push([view.path, view.answer.session_id, view.answer.capture]);
take(_.view());
_.on.push(take);
_.beacon("heatmap", {key: _.key, api: _.api});
"""


async def test_what_an_answer_names_is_loaded_once_and_told_of_every_view(page: Page, site: Site, collector: Collector):
    collector.scripts["heatmap.js"] = PROBE
    collector.answers.extend([wanting({"heatmap": ["click"]}), wanting({"heatmap": ["scroll"]}), wanting({})])
    await page.goto(site.page())
    (sent,) = await collector.until("heatmap")
    assert sent.body == {"key": collector.key, "api": f"{collector.url}/analytics"}
    for number, path in enumerate(("/two", "/three"), 2):
        await acts.push(page, path)
        await collector.until("track", number)
    await page.wait_for_function("seen.length == 3")
    assert await page.evaluate("seen") == [
        ["/", "s-7", {"heatmap": ["click"]}],
        ["/two", "s-7", {"heatmap": ["scroll"]}],
        ["/three", "s-7", {}],
    ]
    assert collector.loads == ["heatmap.js"]


async def test_nothing_is_loaded_where_the_answer_asks_for_nothing(page: Page, site: Site, collector: Collector):
    await page.goto(site.page())
    await collector.until("track")
    collector.answers.append(recorded_nothing("gpc"))
    await acts.push(page, "/two")
    await collector.until("track", 2)
    await collector.quiet()
    assert collector.loads == []
    assert await page.evaluate("[analytics._.view().path, analytics._.view().answer.ignored]") == ["/two", "gpc"]


async def test_there_is_no_view_where_somebody_left_themselves_out(page: Page, site: Site, collector: Collector):
    await page.goto(site.page())
    await collector.until("track")
    await page.evaluate("localStorage.analytics_ignore = true")
    assert await page.evaluate("analytics._.skip('/')") == "analytics_ignore"
    await acts.push(page, "/two")
    await page.wait_for_function("!analytics._.view()")
