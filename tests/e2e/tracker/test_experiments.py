"""Experiments on a page: who is asked for, what a page is told, and what a visitor sees meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, Route

from tests.e2e.tracker.collector import Collector, recorded_nothing
from tests.e2e.tracker.conftest import Site

pytestmark = pytest.mark.browser
SCRIPT = Path(__file__).parents[3] / "web" / "static" / "built" / "experiments.js"
BLUE = {"variant_id": 2, "variant_name": "Blue Button", "config": {"color": "blue"}, "in_experiment": True}
NOTHING = {"variant_id": None, "variant_name": None, "config": {}, "in_experiment": False}
PAINT = "<h1>Hello</h1><script>analytics.experiment(7).then((shown) => { window.shown = shown; });</script>"


@dataclass
class Service:
    """The endpoint that answers with variants."""

    asked: list[dict[str, str]] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Any = None
    status: int = 200

    async def take(self, route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        self.asked.append({name: values[-1] for name, values in query.items()})
        await self.answers.wait()
        headers = {"Access-Control-Allow-Origin": "*"}
        await route.fulfill(json=self.answer or BLUE, status=self.status, headers=headers)


@pytest.fixture
async def service(page: Page, collector: Collector) -> AsyncIterator[Service]:
    collector.scripts["experiments.js"] = SCRIPT.read_text("utf-8")
    service = Service()
    service.answers.set()
    await page.route("**/analytics/experiment/variant?*", service.take)
    yield service
    service.answers.set()


def tag(collector: Collector, attributes: str = "") -> str:
    return f'<script src="{collector.url}/js/experiments.js" {attributes}></script>'


async def shown(page: Page) -> Any:
    """What the page was told."""
    await page.wait_for_function("window.shown")
    return await page.evaluate("window.shown")


async def test_a_page_is_told_what_the_tracked_visitor_is_shown(page, site: Site, collector, service):
    await page.goto(site.page("/", PAINT, tag(collector)))
    assert await shown(page) == BLUE
    assert service.asked == [{"experiment_id": "7", "visitor_id": "v-1"}], "the id that the view was answered with"


async def test_in_full_mode_the_visitor_is_the_one_that_is_kept(page, site: Site, collector, service):
    await page.goto(site.page("/", PAINT, tag(collector), mode="full"))
    assert await shown(page) == BLUE
    kept = await page.evaluate("localStorage.analytics_visitor")
    assert [one["visitor_id"] for one in service.asked] == [kept]
    assert (await collector.until("track"))[0]["visitor_id"] == kept


async def test_nothing_is_kept_in_the_browser(page, site: Site, collector, service, context):
    await page.goto(site.page("/", PAINT, tag(collector)))
    await shown(page)
    assert await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


async def test_the_service_is_asked_once_for_a_page(page, site: Site, collector, service):
    await page.goto(site.page("/", PAINT, tag(collector, 'data-guard="7"')))
    await shown(page)
    await page.evaluate("Promise.all([analytics.experiment(7), analytics.experiment('7'), analytics.experiment(8)])")
    assert [one["experiment_id"] for one in service.asked] == ["7", "8"]


async def test_the_tracker_counts_as_without_it(page, site: Site, collector, service):
    await page.goto(site.page("/", PAINT, tag(collector)))
    await shown(page)
    await page.evaluate("analytics.track('Signup')")
    await collector.until("event")
    assert [sent.kind for sent in collector.requests] == ["track", "event"]


async def test_the_script_may_come_after_the_tracker(page, site: Site, collector, service):
    await page.goto(site.page("/", tag(collector) + PAINT))
    assert await shown(page) == BLUE


async def test_a_variant_is_forced_by_the_address(page, site: Site, collector, service):
    site.page("/", PAINT, tag(collector))
    await page.goto(site.url + "/?analytics_variant=7:3&analytics_variant=8:4")
    await shown(page)
    assert service.asked == [{"experiment_id": "7", "visitor_id": "v-1", "variant_id": "3"}]


async def test_who_is_not_counted_takes_part_in_nothing_and_is_not_asked_for(page, site: Site, collector, service):
    collector.answers.append(recorded_nothing("gpc"))
    await page.goto(site.page("/", PAINT, tag(collector)))
    assert await shown(page) == NOTHING
    await page.goto(site.page("/left-out", PAINT, tag(collector), exclude="/left-out"))
    assert await shown(page) == NOTHING
    assert service.asked == []


@pytest.mark.parametrize("status", [404, 503])
async def test_an_error_of_the_service_leaves_the_page_as_it_is(page, site: Site, collector, service, status):
    service.status, service.answer = status, {"ok": False, "error": "no", "code": "X"}
    await page.goto(site.page("/", PAINT, tag(collector, 'data-guard="7"')))
    assert await shown(page) == NOTHING
    await page.wait_for_function("document.documentElement.style.opacity === ''")


async def test_without_the_tracker_the_page_is_shown_in_time(page, site: Site, collector, service):
    await page.goto(site.page("/", PAINT, tag(collector, 'data-guard="7" data-timeout="300"'), src="about:blank"))
    assert await shown(page) == NOTHING
    await page.wait_for_function("document.documentElement.style.opacity === ''")


# The guard.


async def test_a_guarded_page_is_not_seen_before_it_is_as_the_variant_wants_it(page, site: Site, collector, service):
    service.answers.clear()
    body = """<h1>Hello</h1><script>
      const root = document.documentElement.style;
      window.seen = [root.opacity];
      analytics.experiment(7).then(() => {
        seen.push(root.opacity);
        document.querySelector("h1").id = "painted";
      });
      new MutationObserver(() => seen.push(root.opacity + document.querySelector("h1").id))
        .observe(document.documentElement, {attributes: true, attributeFilter: ["style"]});
    </script>"""
    await page.goto(site.page("/", body, tag(collector, 'data-guard="7" data-timeout="8000"')), wait_until="commit")
    await page.wait_for_selector("h1", state="attached")
    assert await page.evaluate("getComputedStyle(document.documentElement).opacity") == "0"
    service.answers.set()
    await page.wait_for_function("document.documentElement.style.opacity === ''")
    assert await page.evaluate("seen") == ["0", "0", "painted"]


async def test_the_guard_gives_up_in_time_and_the_late_answer_changes_nothing(page, site: Site, collector, service):
    service.answers.clear()
    await page.goto(site.page("/", PAINT, tag(collector, 'data-guard="7" data-timeout="400"')), wait_until="commit")
    assert await shown(page) == NOTHING
    await page.wait_for_function("document.documentElement.style.opacity === ''")


async def test_a_page_without_a_guard_is_seen_at_once(page, site: Site, collector, service):
    service.answers.clear()
    await page.goto(site.page("/", PAINT, tag(collector)), wait_until="commit")
    await page.wait_for_selector("h1", state="visible")
    assert await page.evaluate("getComputedStyle(document.documentElement).opacity") == "1"
