"""Which views are counted: loads, routers, the back button, tabs behind, prerendered pages."""

import re
from contextlib import suppress

import pytest
from playwright.async_api import Error

from tests.e2e.tracker import acts
from tests.e2e.tracker.conftest import TALL

pytestmark = pytest.mark.browser
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


async def test_a_page_that_is_loaded_is_one_view(page, site, collector):
    await page.goto(site.page("/pricing", TALL))
    [view] = await collector.until("track")
    assert UUID.fullmatch(view.body.pop("id"))
    assert view.body == {
        "key": collector.key,
        "type": "pageview",
        "host": "127.0.0.1",
        "path": "/pricing",
        "title": "Page /pricing",
        "referrer": "",
        "screen_width": 1000,
        "screen_height": 600,
        "language": "en-GB",
        "properties": {},
    }
    await collector.quiet()
    assert [sent.kind for sent in collector.requests] == ["track"]


async def test_a_view_asks_for_no_preflight_and_carries_no_cookie(page, site, collector, context):
    await context.add_cookies([{"name": "secret", "value": "1", "url": collector.url}])
    await page.goto(site.page())
    [view] = await collector.until("track")
    assert view.headers["Content-Type"].startswith("text/plain")
    assert view.headers["Origin"] == site.url
    assert "Cookie" not in view.headers
    assert not collector.of("preflight")


async def test_nothing_is_kept_in_the_browser(page, site, collector, context):
    await page.goto(site.page())
    await collector.until("track")
    await page.goto(site.page("/next"))
    views = await collector.until("track", 2)
    assert not any({"visitor_id", "session_id"} & set(view.body) for view in views)
    assert await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert await context.cookies() == []


async def test_full_mode_keeps_a_visitor_and_a_session(page, site, collector, context):
    await page.goto(site.page(mode="full"))
    await page.goto(site.page("/next", mode="full"))
    first, second = await collector.until("track", 2)
    assert UUID.fullmatch(first["visitor_id"])
    assert UUID.fullmatch(first["session_id"])
    assert (second["visitor_id"], second["session_id"]) == (first["visitor_id"], first["session_id"])
    other = await context.new_page()
    await other.goto(site.url)
    third = (await collector.until("track", 3))[2]
    assert third["visitor_id"] == first["visitor_id"]
    assert third["session_id"] != first["session_id"]


async def test_the_campaign_comes_from_the_address_and_the_query_is_left_out(page, site, collector):
    site.page("/")
    await page.goto(
        site.url + "/?utm_source=news&utm_medium=email&utm_campaign=may&utm_term=a&utm_content=b&mail=x@y.z"
    )
    [view] = await collector.until("track")
    assert view["path"] == "/"
    assert {name: value for name, value in view.body.items() if name.startswith("utm_")} == {
        "utm_source": "news", "utm_medium": "email", "utm_campaign": "may", "utm_term": "a", "utm_content": "b",
    }  # fmt: skip


async def test_ref_stands_for_the_source(page, site, collector):
    site.page("/")
    await page.goto(site.url + "/?ref=hackernews")
    [view] = await collector.until("track")
    assert view["utm_source"] == "hackernews"


async def test_the_query_is_kept_where_the_tag_says_so(page, site, collector):
    site.page("/search", query="true")
    await page.goto(site.url + "/search?q=tea")
    assert (await collector.until("track"))[0]["path"] == "/search?q=tea"


async def test_a_router_that_goes_on_is_a_view_each(page, site, collector):
    await page.goto(site.page())
    await collector.until("track")
    await acts.push(page, "/a")
    await page.evaluate("document.title = 'A, set a moment later'")
    second = (await collector.until("track", 2))[1]
    assert (second["path"], second["title"], second["referrer"]) == ("/a", "A, set a moment later", site.url + "/")
    await acts.push(page, "/b", "replaceState")
    third = (await collector.until("track", 3))[2]
    assert (third["path"], third["referrer"]) == ("/b", site.url + "/a")
    await page.evaluate("history.back()")
    await collector.until("track", 4)
    assert collector.paths == ["/", "/a", "/b", "/"]


async def test_a_change_that_leaves_the_path_as_it_is_is_no_view(page, site, collector):
    await page.goto(site.page("/a"))
    await collector.until("track")
    await acts.push(page, "/a?sort=up", "replaceState")
    await acts.push(page, "/a?sort=down")
    await acts.push(page, "/a#below")
    await page.evaluate("location.hash = 'top'")
    await collector.quiet()
    assert collector.paths == ["/a"]


async def test_a_router_that_redirects_at_once_is_one_view(page, site, collector):
    await page.goto(site.page())
    await collector.until("track")
    await page.evaluate("history.pushState({}, '', '/account'); history.replaceState({}, '', '/login')")
    await collector.until("track", 2)
    await collector.quiet()
    assert collector.paths == ["/", "/login"]


async def test_a_hash_is_a_path_where_the_tag_says_so(page, site, collector):
    await page.goto(site.page("/app", hash="true"))
    await collector.until("track")
    await page.evaluate("location.hash = '#/inbox'")
    await collector.until("track", 2)
    await acts.push(page, "/app#/sent")
    await collector.until("track", 3)
    assert collector.paths == ["/app", "/app#/inbox", "/app#/sent"]


async def test_a_later_view_goes_on_with_the_session_that_the_first_was_given(page, site, collector):
    await page.goto(site.page())
    await collector.until("track")
    await collector.quiet()
    await acts.push(page, "/a")
    second = (await collector.until("track", 2))[1]
    assert (second["visitor_id"], second["session_id"]) == ("v-1", "s-1")


async def test_a_tab_left_alone_for_hours_does_not_carry_its_ids_along(page, site, collector):
    await page.clock.install()
    await page.goto(site.page())
    await collector.until("track")
    await page.clock.fast_forward("02:00:00")
    await acts.push(page, "/a")
    await page.clock.run_for(200)
    second = (await collector.until("track", 2))[1]
    assert "visitor_id" not in second.body
    assert "session_id" not in second.body


async def test_coming_back_from_the_browsers_cache_is_a_view(page, site, collector):
    for _ in range(4):  # a busy machine's chromium does not keep every page
        collector.requests.clear()
        await page.goto(site.page("/first", TALL))
        await collector.until("track")
        await page.evaluate("window.same = true")
        await page.goto(site.page("/second"))
        await collector.until("track", 2)
        with suppress(Error):  # a page that is loaded anew takes the script's context with it
            await page.evaluate("history.back()")
            await collector.until("track", 3)
            if await page.evaluate("window.same === true"):
                break
    else:
        pytest.fail("chromium loaded the page anew each time: this test saw no cache")
    assert collector.paths == ["/first", "/second", "/first"]


async def test_a_tab_opened_behind_is_counted_when_it_is_seen(page, site, collector):
    await page.add_init_script(f"({acts.BECOME})('hidden')")
    await page.goto(site.page())
    await page.evaluate("analytics.track('Early')")
    await collector.quiet()
    assert collector.requests == []
    await acts.show(page)
    await collector.until("track")
    await collector.until("event")
    assert collector.paths == ["/"]


async def test_a_prerendered_page_is_counted_when_it_is_shown(page, site, collector):
    # Playwright keeps chromium from prerendering; so the page is told that it is.
    await page.add_init_script("Object.defineProperty(document, 'prerendering', {value: true, configurable: true})")
    await page.goto(site.page())
    await collector.quiet()
    assert collector.requests == []
    await page.evaluate(
        "Object.defineProperty(document, 'prerendering', {value: false});"
        "document.dispatchEvent(new Event('prerenderingchange'))"
    )
    await collector.until("track")


async def test_views_by_hand_take_the_place_of_automatic_ones(page, site, collector):
    await page.goto(site.page(auto="false"))
    await acts.push(page, "/a")
    await collector.quiet()
    assert collector.requests == []
    await page.evaluate("analytics.pageview({path: '/made/up', title: 'Mine', properties: {plan: 'pro'}})")
    [view] = await collector.until("track")
    assert (view["path"], view["title"], view["properties"]) == ("/made/up", "Mine", {"plan": "pro"})


async def test_properties_of_the_tag_go_with_every_view_and_event(page, site, collector):
    await page.goto(site.page(prop_author="Ada", prop_post_type="essay"))
    await page.evaluate("analytics.track('Read', {author: 'Bob'})")
    assert (await collector.until("track"))[0]["properties"] == {"author": "Ada", "post_type": "essay"}
    assert (await collector.until("event"))[0]["properties"] == {"author": "Bob", "post_type": "essay"}
