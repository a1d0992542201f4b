"""Where the tracker runs and where it keeps still: the tag's attributes, self-exclusion, frames, this machine."""

import pytest

from tests.e2e.tracker.collector import TRACKER

pytestmark = pytest.mark.browser


@pytest.fixture
def said(page):
    """What the page's console says."""
    lines = []
    page.on("console", lambda message: lines.append(message.text))
    return lines


async def counted(collector):
    await collector.quiet()
    return bool(collector.views)


async def test_the_key_may_stand_in_the_address_of_the_script(page, site, collector):
    await page.goto(site.page(key="-", src=f"{collector.url}/js/analytics.js?key={collector.key}"))
    assert (await collector.until("track"))[0]["key"] == collector.key


async def test_the_service_may_be_elsewhere_than_the_script(page, site, collector):
    await page.goto(
        site.page(
            src=f"{collector.url.replace('127.0.0.1', 'localhost')}/js/analytics.js", api=f"{collector.url}/analytics"
        )
    )
    await collector.until("track")


async def test_a_script_that_is_added_later_works_and_a_second_one_does_nothing(page, site, collector):
    await page.goto(site.url)
    add = """(src) => {
      for (let i = 0; i < 2; i++) document.head.append(Object.assign(document.createElement("script"), {src}));
    }"""
    await page.evaluate(add, f"{collector.url}/js/analytics.js?key={collector.key}")
    await collector.until("track")
    await collector.quiet()
    assert len(collector.requests) == 1


async def test_a_tag_without_a_key_says_so(page, site, collector, said):
    await page.goto(site.page(key="-"))
    assert not await counted(collector)
    assert "analytics: data-key" in said


@pytest.mark.parametrize(("value", "expected"), [("true", False), ("1", False), ("false", True)])
async def test_people_may_leave_themselves_out(page, site, collector, said, value, expected):
    await page.add_init_script(f"localStorage.analytics_ignore = '{value}'")
    await page.goto(site.page())
    await page.evaluate("analytics.track('X')")
    assert await counted(collector) is expected
    assert ("analytics: analytics_ignore" in said) is not expected


@pytest.mark.parametrize(
    ("domains", "expected"), [("example.com", False), ("example.com, 127.0.0.1", True), ("127.*", True)]
)
async def test_only_the_named_hosts_are_counted(page, site, collector, domains, expected):
    await page.goto(site.page(domains=domains))
    assert await counted(collector) is expected


@pytest.mark.parametrize(
    ("globs", "path", "matches"),
    [
        ("/admin", "/admin", True),
        ("/admin", "/admin/", True),
        ("/admin", "/admins", False),
        ("/admin/*", "/admin/users", True),
        ("/admin/*", "/admin/users/7", False),
        ("/admin/**", "/admin/users/7", True),
        ("/a, /b.html", "/b.html", True),
        ("/b.html", "/bxhtml", False),
    ],
)
async def test_paths_are_excluded_and_included_by_globs(page, site, collector, globs, path, matches):
    await page.goto(site.page(path, exclude=globs))
    assert await counted(collector) is not matches
    collector.reset()
    await page.goto(site.page(path, include=globs))
    assert await counted(collector) is matches


async def test_a_frame_is_not_counted_unless_the_tag_says_so(page, site, collector):
    site.page("/inner")
    site.page("/outer-frame", frames="")
    await page.goto(site.page("/", '<iframe src="/inner"></iframe><iframe src="/outer-frame"></iframe>'))
    await collector.until("track", 2)
    await collector.quiet()
    assert sorted(collector.paths) == ["/", "/outer-frame"]


async def test_this_machine_is_counted_by_a_service_on_it_and_no_other(page, site, collector, said):
    await page.route(
        "https://analytics.example/**", lambda route: route.fulfill(path=TRACKER, content_type="text/javascript")
    )
    elsewhere = "https://analytics.example/js/analytics.js"
    await page.goto(site.page(src=elsewhere, api=f"{collector.url}/analytics"))
    assert not await counted(collector)
    assert "analytics: localhost" in said
    await page.goto(site.page(src=elsewhere, api=f"{collector.url}/analytics", local=""))
    assert await counted(collector)
    collector.reset()
    await page.goto(site.page(local="false"))
    assert not await counted(collector)


async def test_a_page_without_storage_is_counted(page, site, collector):
    await page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage'])"
        "Object.defineProperty(window, name, {get() { throw new DOMException('denied', 'SecurityError') }})"
    )
    await page.goto(site.page(mode="full"))
    assert "visitor_id" not in (await collector.until("track"))[0].body
