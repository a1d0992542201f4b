"""Chromium on a page of another origin, the whole service behind it: the rows that must be there, and no others."""

import pytest
from aiohttp import web

from tests.e2e.conftest import DESKTOP, listen
from tests.e2e.tracker import acts
from tests.e2e.tracker.collector import Collector
from tests.e2e.tracker.conftest import TALL, Site

pytestmark = [pytest.mark.services, pytest.mark.browser]

MODES = ["lightweight", "full"]


@pytest.fixture
async def site(service, website):
    """A website at an origin of its own, whose pages carry the service's tracker."""
    site = Site(Collector(service.address, website["pixel_key"]))
    application = web.Application()
    application.router.add_get("/{tail:.*}", site.serve)
    runner, site.url = await listen(application)
    yield site
    await runner.cleanup()


@pytest.fixture
def stored(service, website, settled):
    """The website's events and sessions, once all that arrived is stored."""

    async def read(page=None):
        if page is not None:  # what it sends when it ends is under way then
            await page.goto("about:blank")
            await page.wait_for_timeout(600)
        await settled()
        return service.events(website["id"]), service.sessions(website["id"])

    return read


def answered(page, kind="track"):
    """Wait for the service's answer to a hit."""
    return page.expect_response(lambda response: response.url.endswith(f"/analytics/{kind}"))


async def visit(page, url, kind="track"):
    async with answered(page, kind) as answer:
        await page.goto(url)
    response = await answer.value
    assert response.status == 200
    return await response.json()


@pytest.mark.parametrize("mode", MODES)
async def test_a_visit_of_several_pages_is_one_session_with_its_views_and_events(mode, page, site, stored):
    site.page("/thanks", mode=mode)
    links = (
        f'<a id="next" href="/thanks">on</a> <a id="out" href="{site.url.replace("127.0.0.1", "localhost")}/x" '
        'target="_blank">out</a> <a id="file" href="/paper.pdf" target="_blank">file</a> '
        '<button id="buy" data-analytics-event="Buy" data-analytics-event-plan="pro" data-analytics-event-value="9.5" '
        'data-analytics-event-currency="EUR">buy</button>'
    )
    hit = await visit(page, site.page("/shop", links + TALL, mode=mode) + "?utm_source=news&utm_medium=email&x=1")
    assert set(hit) == {"ok", "event_id", "visitor_id", "session_id"}
    await page.evaluate("scrollTo(0, 1500)")
    await page.wait_for_timeout(1200)
    for press in ("#buy", "#out", "#file"):
        async with answered(page, "event"):
            await page.click(press)
    async with answered(page, "event"):
        await page.evaluate("analytics.track('Search', {term: 'tea', hits: 3})")
    async with answered(page):
        await page.click("#next")
    events, sessions = await stored(page)

    assert [(event["kind"], event["path"], event["name"]) for event in events] == [
        ("pageview", "/shop", None), ("event", "/shop", "Buy"), ("event", "/shop", "Outbound Link: Click"),
        ("event", "/shop", "File Download"), ("event", "/shop", "Search"), ("pageview", "/thanks", None),
    ]  # fmt: skip
    shop, buy, out, file, search, thanks = events
    assert (shop["id"], shop["title"]) == (hit["event_id"], "Page /shop")
    assert 1 <= shop["seconds"] <= 10
    assert shop["scroll"] == pytest.approx(2100 / 3040 * 100, abs=2)
    assert (thanks["scroll"], thanks["seconds"] <= 3) == (100, True)
    assert (str(buy["value"]), buy["currency"], buy["properties"]) == ("9.5000", "EUR", {"plan": "pro"})
    assert out["properties"]["url"].endswith("/x")
    assert file["properties"] == {"url": site.url + "/paper.pdf"}
    assert search["properties"] == {"term": "tea", "hits": 3}
    [session] = sessions
    expected = {
        "entry_path": "/shop", "exit_path": "/thanks", "pageviews": 2, "events": 4, "is_bounce": False,
        "utm_source": "news", "utm_medium": "email", "channel": "Email", "host": "127.0.0.1", "browser": "Chrome",
        "os": "Linux", "device_type": "desktop", "language": "en-GB", "screen": "1000x600", "referrer": None,
    }  # fmt: skip
    assert {name: session[name] for name in expected} == expected
    assert session["engaged_s"] == shop["seconds"] + thanks["seconds"]
    assert session["engaged_s"] - 1 <= session["duration_s"] <= 30
    assert {event["session_id"] for event in events} == {session["id"]}


@pytest.mark.parametrize("mode", MODES)
async def test_a_single_page_app_is_a_view_for_each_path_with_its_own_totals(mode, page, site, stored):
    await visit(page, site.page("/", TALL, mode=mode))
    await page.evaluate("scrollTo(0, 9999)")
    await page.wait_for_timeout(1200)
    for path, how in (("/a", "pushState"), ("/b", "replaceState")):
        async with answered(page):
            await acts.push(page, path, how)
    await acts.push(page, "/b?sort=up")  # the same page still
    await page.evaluate("history.back()")
    async with answered(page):
        await page.evaluate("history.back()")
    events, [session] = await stored(page)
    assert [(event["kind"], event["path"]) for event in events] == [
        ("pageview", path) for path in ("/", "/a", "/b", "/")
    ]
    assert events[0]["scroll"] == 100
    assert events[0]["seconds"] >= 1
    assert (session["pageviews"], session["entry_path"], session["exit_path"]) == (4, "/", "/")


async def test_the_back_button_is_a_view_of_the_same_session(page, site, stored):
    await visit(page, site.page("/first", TALL))
    await visit(page, site.page("/second"))
    async with answered(page):
        await page.evaluate("history.back()")
    events, [session] = await stored(page)
    assert [event["path"] for event in events] == ["/first", "/second", "/first"]
    assert (session["pageviews"], session["events"]) == (3, 0)


async def test_a_hidden_tab_adds_no_time_and_coming_back_no_view(page, site, stored):
    await page.clock.install()
    await visit(page, site.page("/", TALL))
    await acts.stay(page, 20)
    await acts.hide(page)
    await page.clock.run_for(300_000)
    await acts.show(page)
    await acts.stay(page, 10)
    await acts.hide(page)
    events, [session] = await stored(page)
    [view] = events
    assert view["seconds"] == pytest.approx(31, abs=2)
    assert session["engaged_s"] == view["seconds"]
    assert session["is_bounce"] is False, "half a minute engaged is no bounce"


@pytest.mark.parametrize("how", ["another page", "a closed tab"])
async def test_what_a_page_sends_as_it_ends_arrives(how, page, context, site, stored):
    await visit(page, site.page("/", TALL))
    await page.wait_for_timeout(2200)
    if how == "a closed tab":
        other = await context.new_page()
        await page.close(run_before_unload=True)
        page = other
    [view], [session] = await stored(page)
    assert 2 <= view["seconds"] <= 6
    assert view["scroll"] == 20
    assert session["duration_s"] >= 2
    assert session["is_bounce"] is True


async def test_a_tab_opened_behind_and_never_seen_is_nothing(page, site, stored):
    await page.add_init_script(f"({acts.BECOME})('hidden')")
    await page.goto(site.page())
    await page.wait_for_timeout(300)
    assert await stored(page) == ([], [])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("header", ["Sec-GPC", "DNT"])
async def test_a_browser_that_opts_out_leaves_no_row(header, mode, page, context, site, stored):
    await context.set_extra_http_headers({header: "1"})
    async with answered(page) as answer:
        await page.goto(site.page("/", TALL, mode=mode))
    response = await answer.value
    assert (response.status, await response.json()) == (
        202,
        {"ok": True, "ignored": header.removeprefix("Sec-").lower()},
    )
    await page.evaluate("analytics.track('Buy')")
    await page.wait_for_timeout(1100)
    assert await stored(page) == ([], [])


async def test_a_browser_without_scripts_is_counted_by_the_pixel(browser, site, service, website, stored):
    context = await browser.new_context(user_agent=DESKTOP, java_script_enabled=False)
    page = await context.new_page()
    pixel = f"{service.address}/analytics/pixel?key={website['pixel_key']}&p=/plain&t=Plain"
    async with page.expect_response(lambda response: "/analytics/pixel?" in response.url) as answer:
        await page.goto(site.page("/plain", f'<noscript><img src="{pixel}" alt=""></noscript>'))
    assert (await answer.value).headers["x-analytics"] == "recorded"
    [view], [session] = await stored()
    assert (view["kind"], view["path"], view["title"]) == ("pageview", "/plain", "Plain")
    assert (session["host"], session["browser"], session["pageviews"]) == ("127.0.0.1", "Chrome", 1)
    await context.close()


async def test_a_headless_browser_that_says_so_is_answered_and_not_counted(browser, site, stored):
    context = await browser.new_context(user_agent=DESKTOP.replace(" Chrome/", " HeadlessChrome/"))
    page = await context.new_page()
    assert "HeadlessChrome" in await page.evaluate("navigator.userAgent")
    hit = await visit(page, site.page("/", TALL))
    assert set(hit) == {"ok", "event_id", "visitor_id", "session_id"}
    await page.wait_for_timeout(1100)
    assert await stored(page) == ([], [])
    await context.close()


async def test_without_storage_two_tabs_are_one_visitor_in_one_session(page, context, site, stored):
    await visit(page, site.page("/one"))
    other = await context.new_page()
    await visit(other, site.page("/two"))
    assert await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    await other.close()
    events, sessions = await stored(page)
    assert (len(events), len(sessions), len({event["visitor"] for event in events})) == (2, 1, 1)


async def test_in_full_mode_a_visitor_stays_the_same_and_each_tab_is_a_session(page, context, browser, site, stored):
    await visit(page, site.page("/", mode="full"))
    other = await context.new_page()
    await visit(other, site.url)
    stranger = await browser.new_context(user_agent=DESKTOP)
    elsewhere = await stranger.new_page()
    await visit(elsewhere, site.url)
    await stranger.close()
    await other.close()
    events, sessions = await stored(page)
    assert (len(events), len(sessions), len({event["visitor"] for event in events})) == (3, 3, 2)
    assert events[0]["visitor"] == events[1]["visitor"]
