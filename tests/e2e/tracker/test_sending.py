"""What becomes of a hit on its way: no answer, a refusal, a page that ends first."""

import asyncio

import pytest

from tests.e2e.tracker import acts
from tests.e2e.tracker.collector import recorded_nothing, refused, unavailable
from tests.e2e.tracker.conftest import TALL

pytestmark = pytest.mark.browser


async def test_a_view_that_may_not_be_stored_is_sent_again_with_its_id(page, site, collector):
    collector.answers.extend([unavailable(), unavailable()])
    await page.goto(site.page())
    views = await collector.until("track", 3, within_s=15)
    await collector.quiet()
    assert len({view["id"] for view in views}) == 1
    assert len(collector.views) == 3
    await acts.hide(page)
    await collector.until("heartbeat")


async def test_an_event_that_may_not_be_stored_is_sent_again_with_its_id(page, site, collector):
    await page.goto(site.page())
    await collector.until("track")
    collector.answers.append(unavailable())
    await page.evaluate("analytics.track('Buy')")
    first, second = await collector.until("event", 2, within_s=15)
    assert first["id"] == second["id"]


async def test_a_retry_waits_as_long_as_it_is_told(page, site, collector):
    await page.clock.install()
    collector.answers.append(unavailable(retry_after_s=40))
    await page.goto(site.page())
    await collector.until("track")
    await asyncio.sleep(0.3)
    await page.clock.run_for(39_000)
    await asyncio.sleep(0.3)
    assert len(collector.views) == 1
    await page.clock.run_for(2_000)
    await collector.until("track", 2)


async def test_tries_come_to_an_end(page, site, collector):
    await page.clock.install()
    collector.answers.extend([unavailable()] * 9)
    await page.goto(site.page())
    for count in range(1, 6):
        await collector.until("track", count)
        await asyncio.sleep(0.2)
        await page.clock.run_for(40_000)
    await collector.quiet()
    assert len(collector.views) == 5


async def test_without_a_network_a_view_waits_for_it(page, site, collector, context):
    await page.route("**/analytics/track", lambda route: route.abort("internetdisconnected"))
    await page.goto(site.page())
    await collector.quiet()
    assert collector.requests == []
    await page.unroute("**/analytics/track")
    await collector.until("track", within_s=15)


async def test_a_refusal_is_final_and_ends_all_sending(page, site, collector):
    said = []
    page.on("console", lambda message: said.append(message.text))
    collector.answers.append(refused(404, "Unknown key"))
    await page.goto(site.page("/", TALL))
    await collector.until("track")
    await collector.quiet()
    await page.evaluate("analytics.track('Buy')")
    await acts.push(page, "/a")
    await acts.hide(page)
    await collector.quiet()
    assert [sent.kind for sent in collector.requests] == ["track"]
    assert any("Unknown key" in line for line in said)


async def test_a_bad_event_is_dropped_and_the_next_one_sent(page, site, collector):
    await page.goto(site.page())
    await collector.until("track")
    await collector.quiet(0.1)
    collector.answers.append(refused(400, "Bad name"))
    await page.evaluate("analytics.track('')")
    await collector.until("event")
    await collector.quiet()
    await page.evaluate("analytics.track('Good')")
    assert [event["name"] for event in await collector.until("event", 2)] == ["", "Good"]


async def test_a_visitor_who_is_not_to_be_counted_is_not_followed(page, site, collector):
    collector.answers.append(recorded_nothing("gpc"))
    await page.goto(site.page("/", TALL))
    await collector.until("track")
    await collector.quiet()
    await acts.hide(page)
    await collector.quiet()
    assert [sent.kind for sent in collector.requests] == ["track"]


async def test_gpc_is_told_by_the_browser_itself(page, site, collector, context):
    await context.set_extra_http_headers({"Sec-GPC": "1"})
    await page.goto(site.page())
    [view] = await collector.until("track")
    assert view.headers["Sec-GPC"] == "1"


async def test_a_view_left_before_its_answer_arrives_all_the_same(page, site, collector):
    collector.held = asyncio.Event()
    await page.goto(site.page("/", TALL))
    await collector.until("track")
    await page.goto("about:blank")
    collector.held.set()
    await collector.quiet()
    assert [sent.kind for sent in collector.requests] == ["track"]


async def test_a_view_left_at_once_is_counted(page, site, collector):
    await page.goto(site.page("/", "<script>addEventListener('load', () => { location.href = '/elsewhere' })</script>"))
    await page.wait_for_url("**/elsewhere")
    await collector.until("track")


async def test_what_waits_to_be_sent_again_goes_when_the_page_is_left(page, site, collector):
    collector.answers.append(unavailable(retry_after_s=60))
    await page.goto(site.page())
    await collector.until("track")
    await page.evaluate("analytics.track('Buy')")
    await asyncio.sleep(0.3)
    assert collector.events == []
    await page.goto("about:blank")
    first, second = await collector.until("track", 2)
    assert first["id"] == second["id"]
    assert (await collector.until("event"))[0]["name"] == "Buy"
    await collector.quiet()
    assert (len(collector.views), len(collector.events)) == (2, 1)


async def test_an_event_on_the_way_out_is_counted(page, site, collector):
    leave = "onclick=\"analytics.track('Bye'); location.href = '/elsewhere'\""
    await page.goto(site.page("/", f"<button {leave}>Bye</button>"))
    await page.click("button")
    assert (await collector.until("event"))[0]["name"] == "Bye"


async def test_totals_of_a_tab_hidden_before_its_answer_are_sent_when_it_comes(page, site, collector):
    collector.held = asyncio.Event()
    await page.goto(site.page("/", TALL))
    await collector.until("track")
    await acts.hide(page)
    collector.held.set()
    await collector.until("heartbeat")


async def test_events_after_a_view_that_was_handed_over_are_still_sent(page, site, collector):
    collector.answers.append(unavailable(retry_after_s=60))
    await page.goto(site.page())
    await collector.until("track")
    await asyncio.sleep(0.3)
    await acts.hide(page)
    await collector.until("track", 2)
    await acts.show(page)
    await page.evaluate("analytics.track('Back')")
    await collector.until("event")
