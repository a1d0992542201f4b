"""What visitors do: events of the page's own, marked elements, links, downloads, forms, missing pages, web vitals."""

import pytest

from tests.e2e.tracker import acts

pytestmark = pytest.mark.browser
STUB = "<script>window.analytics = window.analytics || {q: [], track() { this.q.push(arguments) }}</script>"
# Whatever is clicked or sent, the browser stays where it is.
STAY = """<script>
  addEventListener("click", (click) => click.target.closest("a") && click.preventDefault());
  addEventListener("submit", (submit) => submit.preventDefault());
</script>"""


async def event_of(page, site, collector, body, act, **data):
    """The event that an act on a page brings, without what all of them carry."""
    await page.goto(site.page("/", STAY + body, **data))
    await collector.until("track")
    await act()
    [event] = await collector.until("event")
    await collector.quiet()
    assert len(collector.events) == 1
    return event["name"], event["properties"]


async def no_event_of(page, site, collector, body, act, **data):
    await page.goto(site.page("/", STAY + body, **data))
    await collector.until("track")
    await act()
    await collector.quiet()
    assert collector.events == []


async def test_an_event_of_the_page_carries_its_name_and_properties(page, site, collector):
    await page.goto(site.page("/shop"))
    await collector.until("track")
    await collector.quiet(0.1)
    await page.evaluate("analytics.track('Buy', {plan: 'pro', seats: 3, trial: false}, {value: 9.5, currency: 'EUR'})")
    [event] = await collector.until("event")
    assert len(event.body.pop("id")) == 36
    assert event.body == {
        "key": collector.key,
        "host": "127.0.0.1",
        "path": "/shop",
        "name": "Buy",
        "properties": {"plan": "pro", "seats": 3, "trial": False},
        "value": 9.5,
        "currency": "EUR",
        "visitor_id": "v-1",
        "session_id": "s-1",
    }


async def test_properties_that_are_no_scalars_are_left_out(page, site, collector):
    await page.goto(site.page())
    await page.evaluate(
        "analytics.track('X', {a: 1, b: null, c: [1], d: {}, e: NaN, f: undefined, g: () => 1, h: 'ok'})"
    )
    assert (await collector.until("event"))[0]["properties"] == {"a": 1, "h": "ok"}


async def test_calls_before_the_tracker_is_there_are_made_up_for(page, site, collector):
    early = STUB + "<script>analytics.track('Early', {n: 1}); window.mine = analytics</script>"
    await page.goto(site.page(head=early))
    await collector.until("event")
    await page.evaluate(
        "mine.track('Late'); analytics.q.push(['Pushed']); analytics.q.push(() => analytics.track('Called'))"
    )
    events = await collector.until("event", 4)
    assert [event["name"] for event in events] == ["Early", "Late", "Pushed", "Called"]
    assert events[0]["properties"] == {"n": 1}
    assert events[0]["session_id"] == "s-1", "it waited for the view's answer"


async def test_a_marked_element_is_an_event_when_it_is_clicked(page, site, collector):
    marks = 'data-analytics-event="Signup" data-analytics-event-plan="pro" data-analytics-event-from-page="a"'
    body = f"<button {marks}><b>Go</b></button>"
    event = await event_of(page, site, collector, body, lambda: page.click("b"))
    assert event == ("Signup", {"plan": "pro", "from_page": "a"})


async def test_a_marked_element_may_say_what_it_is_worth(page, site, collector):
    worth = 'data-analytics-event-value="12.50" data-analytics-event-currency="GBP"'
    body = f'<button data-analytics-event="Buy" {worth}>Buy</button>'
    assert await event_of(page, site, collector, body, lambda: page.click("button")) == ("Buy", {})
    assert (collector.events[0]["value"], collector.events[0]["currency"]) == (12.5, "GBP")


async def test_a_marked_link_that_leads_out_is_only_the_event_it_names(page, site, collector):
    body = '<a href="https://example.com/a.pdf" data-analytics-event="Guide">Guide</a>'
    assert await event_of(page, site, collector, body, lambda: page.click("a")) == ("Guide", {})


async def test_a_link_that_leads_out(page, site, collector):
    event = await event_of(
        page, site, collector, '<a href="https://example.com/x"><i>out</i></a>', lambda: page.click("i")
    )
    assert event == ("Outbound Link: Click", {"url": "https://example.com/x"})


async def test_a_link_that_leads_out_opened_in_a_tab_behind(page, site, collector):
    stay = '<script>addEventListener("auxclick", (click) => click.preventDefault())</script>'
    body = f'<a href="https://example.com/x">out</a>{stay}'
    event = await event_of(page, site, collector, body, lambda: page.click("a", button="middle"))
    assert event[0] == "Outbound Link: Click"


@pytest.mark.parametrize(
    "link",
    [
        '<a href="/inside">in</a>',
        '<a href="mailto:a@b.c">mail</a>',
        '<a href="#top">up</a>',
        "<a>no link</a>",
        "<p><a></a>text</p>",
    ],
)
async def test_other_links_are_no_events(page, site, collector, link):
    await no_event_of(page, site, collector, link, lambda: page.click("a, p", force=True, position={"x": 1, "y": 1}))


async def test_a_right_click_is_no_event(page, site, collector):
    body = '<a href="https://example.com/x">out</a>'
    await no_event_of(page, site, collector, body, lambda: page.click("a", button="right"))


@pytest.mark.parametrize("href", ["/report.PDF?v=2", "https://files.example.com/data.csv", "/deep/archive.7z"])
async def test_a_download(page, site, collector, href):
    name, properties = await event_of(page, site, collector, f'<a href="{href}">file</a>', lambda: page.click("a"))
    assert name == "File Download"
    assert properties["url"].endswith(href)


async def test_a_link_marked_for_download_is_one_whatever_its_name(page, site, collector):
    event = await event_of(page, site, collector, '<a href="/export" download>file</a>', lambda: page.click("a"))
    assert event[0] == "File Download"


async def test_the_tag_may_name_its_own_kinds_of_files(page, site, collector):
    body = '<a href="/model.stl">file</a>'
    event = await event_of(page, site, collector, body, lambda: page.click("a"), downloads="stl, obj")
    assert event[0] == "File Download"


async def test_a_form_that_is_sent(page, site, collector):
    body = '<form id="contact"><input name="id" value="7"><button>Send</button></form>'
    event = await event_of(page, site, collector, body, lambda: page.click("button"))
    assert event == ("Form: Submit", {"form": "contact"})


async def test_a_marked_form_is_the_event_it_names_and_no_click_inside_is(page, site, collector):
    body = '<form data-analytics-event="Newsletter"><input value="x"><button>Send</button></form>'

    async def act():
        await page.click("input")
        await page.click("button")

    assert await event_of(page, site, collector, body, act) == ("Newsletter", {})


@pytest.mark.parametrize(
    ("name", "body", "target"),
    [
        ("outbound", '<a href="https://example.com/">out</a>', "a"),
        ("downloads", '<a href="/a.pdf">file</a>', "a"),
        ("forms", "<form><button>Send</button></form>", "button"),
    ],
)
async def test_each_kind_can_be_switched_off(page, site, collector, name, body, target):
    await no_event_of(page, site, collector, body, lambda: page.click(target), **{name: "false"})


async def test_a_missing_page_is_known_by_its_status(page, site, collector):
    await page.goto(site.page("/gone", status=404))
    [event] = await collector.until("event")
    assert (event["name"], event["properties"], event["interactive"]) == ("404", {"path": "/gone"}, False)
    assert collector.paths == ["/gone"]


async def test_a_missing_page_may_say_so_itself(page, site, collector):
    await page.goto(site.page("/gone", head='<meta name="analytics-status" content="404">'))
    assert (await collector.until("event"))[0]["name"] == "404"
    collector.reset()
    await page.goto(site.page("/gone-too", **{"404": ""}))
    assert (await collector.until("event"))[0]["name"] == "404"


async def test_missing_pages_can_be_left_uncounted(page, site, collector):
    await page.goto(site.page("/gone", status=404, **{"404": "false"}))
    await collector.until("track")
    await collector.quiet()
    assert collector.events == []


async def test_web_vitals_are_one_event_when_the_page_is_left(page, site, collector):
    jump = "<script>setTimeout(() => { document.querySelector('div').style.height = '300px' }, 300)</script>"
    slow = '<button onclick="const end = performance.now() + 120; while (performance.now() < end);">Slow</button>'
    body = f'<div style="height: 10px"></div><h1>Big words</h1>{slow}{jump}'
    await page.goto(site.page("/", body, web_vitals=""))
    await collector.until("track")
    await page.wait_for_timeout(1000)
    await page.click("button")
    await page.wait_for_timeout(500)
    await acts.hide(page)
    [event] = await collector.until("event")
    await acts.show(page)
    await acts.hide(page)
    await collector.quiet()
    assert len(collector.events) == 1
    vitals = event["properties"]
    assert (event["name"], event["interactive"], event["path"]) == ("Web Vitals", False, "/")
    assert set(vitals) == {"ttfb", "fcp", "lcp", "cls", "inp"}
    assert 0 <= vitals["ttfb"] <= vitals["fcp"] <= vitals["lcp"] < 3000
    assert 0 < vitals["cls"] < 1
    assert 100 <= vitals["inp"] < 1000


async def test_web_vitals_are_not_watched_unless_asked_for(page, site, collector):
    await page.goto(site.page("/", "<h1>Big words</h1>"))
    await collector.until("track")
    await acts.hide(page)
    await collector.quiet()
    assert collector.events == []
