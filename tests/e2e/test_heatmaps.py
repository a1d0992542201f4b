"""Heatmaps in chromium, the whole service behind them: what is done on a page lies in its cells, and is drawn there."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from playwright.async_api import expect

from tests.e2e.conftest import DESKTOP, TOKEN, listen
from tests.e2e.tracker import acts
from tests.e2e.tracker.collector import Collector
from tests.e2e.tracker.conftest import Site

pytestmark = [pytest.mark.services, pytest.mark.browser]

BODY = (
    '<div style="position: absolute; left: 0; top: 0; width: 100%; height: 3000px">'
    '<button id="buy" class="big" style="position: absolute; left: 40px; top: 200px; width: 200px; height: 60px">Buy'
    '</button><input style="position: absolute; left: 40px; top: 300px"></div>'
)
WIDTHS = {"mobile": 390, "tablet": 800, "desktop": 1280}
TYPES = ("click", "move", "scroll")


@pytest.fixture
async def website(admin):
    return await admin.new_website(tracking_type="full")


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
async def heatmaps(admin, website):
    """A heatmap of each type, of every page; by type, its path."""
    paths = {}
    for type_ in TYPES:
        body = {"name": f"All {type_}s", "url_pattern": "*", "type": type_}
        made = await admin.post(f"/analytics/websites/{website['id']}/heatmaps", json=body)
        paths[type_] = f"/analytics/websites/{website['id']}/heatmaps/{(await made.json())['data']['id']}"
    return paths


@pytest.fixture
def data(admin, heatmaps, settled):
    """What a heatmap shows once all that was sampled is stored."""

    async def read(type_, **asked):
        await settled()
        response = await admin.get(heatmaps[type_] + "/data", params=asked)
        assert response.status == 200, await response.text()
        return await response.json()

    return read


def points(found):
    return {(point["x"], point["y"]): point["count"] for point in found["data"]}


@asynccontextmanager
async def visiting(browser, url, width=1000, **options):
    """A tab of that width on a page, once it records; when it is left, all it did is on its way."""
    context = await browser.new_context(viewport={"width": width, "height": 600}, user_agent=DESKTOP, **options)
    page, errors = await context.new_page(), []
    page.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 - playwright marks what it is given
    async with page.expect_response(lambda response: "/js/heatmap.js" in response.url):
        await page.goto(url)
    await page.wait_for_timeout(300)
    yield page
    await page.goto("about:blank")
    await page.wait_for_timeout(500)
    assert not errors
    await context.close()


async def test_clicks_lie_in_the_right_cells_at_three_widths(browser, site, heatmaps, data):
    url = site.page("/shop", BODY, mode="full")
    for group, width in WIDTHS.items():
        async with visiting(browser, url, width) as page:
            await page.mouse.click(105, 229)
            await page.mouse.click(109, 220)
            await page.evaluate("scrollTo(0, 1000)")
            await page.wait_for_timeout(100)
            await page.mouse.click(width - 30, 450)
            await page.focus("#buy")
            await page.keyboard.press("Enter")  # no place on the page was clicked
        found = await data("click", viewport=group)
        assert points(found) == {(100, 220): 2, ((width - 30) // 10 * 10, 1450): 1}, group
        assert found["viewport"]["group"] == group
        assert found["page"]["height"] == 3000
        assert width - 20 <= found["page"]["width"] <= width
    found = await data("click")
    assert found["groups"] == {"mobile": 3, "tablet": 3, "desktop": 3}
    assert points(await data("click", cell=50, viewport="mobile")) == {(100, 200): 2, (350, 1450): 1}
    assert points(await data("click", viewport="desktop", device_type="mobile")) == {}


async def test_moves_are_sampled_and_scrolling_is_told_as_reach(browser, site, data):
    url = site.page("/", BODY, mode="full")
    for depth in (0, 900, 1800):
        async with visiting(browser, url) as page:
            await page.mouse.move(333, 111)
            await page.wait_for_timeout(400)
            await page.evaluate("(depth) => scrollTo(0, depth)", depth)
            await page.wait_for_timeout(200)
            await page.evaluate("scrollTo(0, 0)")
    moves = await data("move")
    assert points(moves).get((330, 110)) == 3
    reach = {point["y"]: point["count"] for point in (await data("scroll"))["data"]}
    assert (reach[0], reach[600], reach[610], reach[1500], reach[1510], reach[2400]) == (
        100,
        100,
        66.67,
        66.67,
        33.33,
        33.33,
    )
    assert 2410 not in reach


async def test_each_route_of_a_single_page_is_a_page_of_its_own(browser, site, admin, heatmaps, website, data):
    async with visiting(browser, site.page("/", BODY, mode="full")) as page:
        await page.mouse.click(100, 100)
        await acts.push(page, "/second")
        await page.mouse.click(200, 100)  # the view of this path has not begun yet: of neither page
        await page.wait_for_timeout(600)
        await page.mouse.click(300, 100)
    await data("click")
    for path, expected in (("/", {(100, 100): 1}), ("/second", {(300, 100): 1})):
        await admin.patch(heatmaps["click"], json={"url_pattern": path})
        assert points(await data("click")) == expected
    elements = await (await admin.get(heatmaps["click"] + "/elements")).json()
    assert elements["elements"] == [{"selector": "html > body > div", "count": 1}]


async def test_what_is_clicked_is_named_and_what_is_typed_is_not(browser, site, admin, service, heatmaps, data):
    async with visiting(browser, site.page("/", BODY, mode="full")) as page:
        await page.mouse.click(60, 220)
        await page.mouse.click(60, 310)
        await page.keyboard.type("my secret")
    await data("click")
    elements = await (await admin.get(heatmaps["click"] + "/elements")).json()
    assert {one["selector"] for one in elements["elements"]} == {"button#buy", "body > div > input"}
    rows = service.sql("SELECT selectors FROM heatmap_samples")
    assert "secret" not in str(rows)


async def test_samples_that_meet_an_error_are_sent_again_and_count_once(browser, site, data):
    async with visiting(browser, site.page("/", BODY, mode="full")) as page:
        failed = asyncio.Event()

        async def fail_once(route):
            if failed.is_set():
                return await route.continue_()
            failed.set()
            await route.fetch()  # it arrives; its answer does not
            return await route.abort()

        await page.route("**/analytics/heatmap", fail_once)
        for x in range(100, 1000, 100):
            await page.mouse.click(x, 100)
        await asyncio.wait_for(failed.wait(), 8)
        async with page.expect_response(lambda response: response.url.endswith("/heatmap")) as again:
            pass
        request = (await again.value).request
        assert request.headers["content-encoding"] == "gzip"
    assert points(await data("click")) == {(x, 100): 1 for x in range(100, 1000, 100)}


@pytest.mark.parametrize("case", ["lightweight", "no heatmap", "gpc"])
async def test_nothing_is_loaded_where_nothing_is_wanted(case, browser, site, admin, website, heatmaps):
    if case == "lightweight":
        await admin.patch(f"/analytics/websites/{website['id']}", json={"tracking_type": "lightweight"})
    if case == "no heatmap":
        for path in heatmaps.values():
            await admin.patch(path, json={"url_pattern": "/elsewhere"})
    headers = {"Sec-GPC": "1"} if case == "gpc" else {}
    context = await browser.new_context(user_agent=DESKTOP, extra_http_headers=headers)
    page, loads = await context.new_page(), []
    page.on("request", lambda request: loads.append(request.url))
    async with page.expect_response(lambda response: response.url.endswith("/analytics/track")) as answer:
        await page.goto(site.page("/", BODY, mode="full"))
    assert (await (await answer.value).json()).get("capture") is None
    await page.mouse.click(100, 100)
    await page.wait_for_timeout(400)
    assert not [url for url in loads if url.endswith(("/heatmap.js", "/heatmap"))]
    await context.close()


async def test_the_picture_shows_where_it_was_clicked(browser, site, service, website, heatmaps, data):
    async with visiting(browser, site.page("/", BODY, mode="full"), 1280) as page:
        for _ in range(5):
            await page.mouse.click(640, 300)
    await data("click")
    context = await browser.new_context(viewport={"width": 1500, "height": 900}, user_agent=DESKTOP)
    page, loads, errors = await context.new_page(), [], []
    page.on("request", lambda request: loads.append(request.url))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    await page.goto(f"{service.address}/analytics/heatmaps/view#website={website['id']}")
    await page.fill("#token", TOKEN)
    await page.click("#entry button")
    await expect(page.locator("#note")).to_contain_text("5 clicks")
    seen = """() => {
      const heat = document.querySelector("#heat");
      const paper = document.querySelector("#paper");
      const scale = paper.clientHeight / 3000;
      const at = (x, y) => heat.getContext("2d").getImageData(x * scale, y * scale, 1, 1).data[3];
      return [at(645, 305), at(200, 1500)];
    }"""
    hot, cold = await page.evaluate(seen)
    assert hot > 100
    assert cold == 0
    await page.click("#list a:nth-child(3)")
    await expect(page.locator("#note")).to_contain_text("1 visit ·")
    assert await page.evaluate("sessionStorage.analytics_token && !localStorage.length")
    await page.click("#options summary")
    await page.click("#frame")
    frame = page.locator("#paper iframe")
    assert await frame.get_attribute("sandbox") == ""
    await page.click("#forget")
    assert await page.evaluate("!sessionStorage.analytics_token")
    ours = [url for url in loads if not url.startswith((service.address, "data:"))]
    assert all(url.startswith("https://example.com") for url in ours), "the page behind alone"
    assert [error for error in errors if "example.com" not in error and "ERR_" not in error] == []
    await context.close()
