"""Engaged time and scroll depth: totals of a view, sent while it lasts and when it ends."""

from itertools import pairwise

import pytest

from tests.e2e.tracker import acts
from tests.e2e.tracker.conftest import TALL

pytestmark = pytest.mark.browser


async def begin(page, site, collector, body=TALL):
    """A page whose clock can be moved on, its view answered."""
    await page.clock.install()
    await page.goto(site.page("/", body))
    await collector.until("track")
    await collector.quiet(0.1)


async def test_a_reader_is_reported_every_quarter_of_a_minute_in_totals(page, site, collector):
    await begin(page, site, collector)
    await acts.stay(page, 40)
    reports = await collector.until("heartbeat", 2)
    assert [report["time_on_page"] for report in reports] == pytest.approx([15, 30], abs=2)
    assert {name: reports[0][name] for name in ("key", "event_id", "session_id", "scroll_depth")} == {
        "key": collector.key, "event_id": 1, "session_id": "s-1", "scroll_depth": 20,
    }  # fmt: skip


async def test_reports_of_a_long_view_grow_rare(page, site, collector):
    await begin(page, site, collector)
    await acts.stay(page, 600)
    await collector.quiet(0.2)
    reports = [report["time_on_page"] for report in collector.of("heartbeat")]
    assert len(reports) < 20
    assert max(later - earlier for earlier, later in pairwise(reports)) in {60, 61}


async def test_a_hidden_tab_reports_its_totals_at_once_and_takes_its_leave(page, site, collector):
    await begin(page, site, collector)
    await acts.stay(page, 7)
    await acts.hide(page)
    [report] = await collector.until("heartbeat")
    assert report["time_on_page"] == pytest.approx(7, abs=1)
    [leave] = await collector.until("leave")
    assert leave.body == {"key": collector.key, "session_id": "s-1"}


async def test_time_in_a_hidden_tab_does_not_count_and_coming_back_is_the_same_view(page, site, collector):
    await begin(page, site, collector)
    await acts.stay(page, 5)
    await acts.hide(page)
    await page.clock.run_for(120_000)
    await acts.show(page)
    await acts.stay(page, 5)
    await acts.hide(page)
    reports = await collector.until("heartbeat", 2)
    await collector.quiet(0.2)
    assert [report["time_on_page"] for report in reports] == pytest.approx([6, 11], abs=1)
    assert len(collector.of("leave")) == 2
    assert collector.paths == ["/"]


async def test_time_without_the_focus_does_not_count(page, site, collector):
    await begin(page, site, collector)
    await acts.stay(page, 4)
    await acts.focus(page, False)
    await page.clock.run_for(50_000)
    await acts.focus(page, True)
    await acts.stay(page, 4)
    await acts.hide(page)
    [report] = await collector.until("heartbeat")
    assert report["time_on_page"] == pytest.approx(9, abs=1)


async def test_a_minute_without_a_touch_is_the_most_that_counts(page, site, collector):
    await begin(page, site, collector)
    await page.mouse.move(30, 30)
    await page.clock.run_for(600_000)
    await page.mouse.move(40, 40)
    await page.clock.run_for(3_000)
    await acts.hide(page)
    await collector.quiet(0.2)
    assert max(report["time_on_page"] for report in collector.of("heartbeat")) == pytest.approx(64, abs=1.5)


async def test_the_deepest_place_seen_counts_not_the_last(page, site, collector):
    await begin(page, site, collector)
    await page.evaluate("scrollTo(0, 1500)")
    await page.wait_for_timeout(200)
    await page.evaluate("scrollTo(0, 0)")
    await page.wait_for_timeout(200)
    await acts.hide(page)
    [report] = await collector.until("heartbeat")
    assert report["scroll_depth"] == pytest.approx(2100 / 3016 * 100, abs=1)


async def test_a_page_without_scrolling_is_seen_whole(page, site, collector):
    await begin(page, site, collector, body="short")
    await acts.hide(page)
    [report] = await collector.until("heartbeat")
    assert report["scroll_depth"] == 100


async def test_a_router_ends_a_view_with_its_totals_and_begins_the_next_at_nought(page, site, collector):
    await begin(page, site, collector)
    await page.evaluate("scrollTo(0, 2400)")
    await page.wait_for_timeout(200)
    await acts.stay(page, 10)
    await acts.push(page, "/a")
    await page.evaluate("scrollTo(0, 0)")
    await page.clock.run_for(200)
    await collector.until("track", 2)
    await collector.quiet(0.2)
    await acts.stay(page, 3)
    await acts.hide(page)
    first, second = await collector.until("heartbeat", 2)
    assert (first["event_id"], first["scroll_depth"]) == (1, 99)
    assert first["time_on_page"] == pytest.approx(11, abs=1)
    assert (second["event_id"], second["scroll_depth"]) == (2, 20)
    assert second["time_on_page"] == pytest.approx(3, abs=1)


async def test_leaving_the_page_sends_totals_and_leave_once(page, site, collector):
    await page.goto(site.page("/", TALL))
    await collector.until("track")
    await page.wait_for_timeout(1200)
    await page.goto("about:blank")
    await collector.until("leave")
    await collector.quiet()
    [report] = collector.of("heartbeat")
    assert report["time_on_page"] >= 1
    assert [sent.kind for sent in collector.requests] == ["track", "heartbeat", "leave"]


async def test_closing_the_tab_sends_the_same(page, site, collector):
    await page.goto(site.page("/", TALL))
    await collector.until("track")
    await page.wait_for_timeout(1200)
    await page.close(run_before_unload=True)
    await collector.until("heartbeat")
    await collector.until("leave")


async def test_totals_that_have_not_grown_are_not_sent_again(page, site, collector):
    await begin(page, site, collector)
    for _ in range(3):
        await acts.hide(page)
        await acts.show(page)
    await collector.quiet(0.2)
    assert len(collector.of("heartbeat")) == 1
