"""Heatmaps: what people define, what browsers send, and whose it is."""

import gzip
import json
from io import BytesIO

import pytest

from analytics_app.db import batch_transaction
from analytics_app.records import SAMPLES
from tests.factories import make_sample, make_samples
from tests.web.calls import Caller, assert_error

HEATMAP = {"name": "Homepage Clicks", "url_pattern": "/", "type": "click"}
SAMPLE = {
    "type": "click",
    "path": "/",
    "x": 500,
    "y": 300,
    "viewport_width": 1920,
    "viewport_height": 1080,
    "page_width": 1905,
    "page_height": 4200,
}
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
WHO = {"visitor_id": "v-1", "session_id": "s-1"}


@pytest.fixture
async def website(admin: Caller):
    return await admin.new_website(tracking_type="full")


@pytest.fixture
def heatmaps(website):
    return f"/analytics/websites/{website['id']}/heatmaps"


async def made(admin: Caller, heatmaps: str, **values):
    response = await admin.post(heatmaps, json={**HEATMAP, **values})
    assert response.status == 201, await response.text()
    return (await response.json())["data"]


# Definitions.


async def test_a_heatmap_is_made_read_changed_and_deleted(admin: Caller, heatmaps):
    one = await made(admin, heatmaps)
    assert {name: one[name] for name in HEATMAP} == HEATMAP
    assert one["is_active"] is True
    path = f"{heatmaps}/{one['id']}"
    assert (await (await admin.get(path)).json())["data"] == one
    changed = (await (await admin.patch(path, json={"is_active": False})).json())["data"]
    assert changed | {"updated_at": 0} == one | {"is_active": False, "updated_at": 0}
    put = (await (await admin.put(path, json={**HEATMAP, "type": "scroll"})).json())["data"]
    assert (put["type"], put["is_active"]) == ("scroll", True)
    assert [one["id"] for one in (await (await admin.get(heatmaps)).json())["data"]] == [one["id"]]
    assert (await admin.delete(path)).status == 204
    await assert_error(await admin.get(path), 404, "NOT_FOUND")
    await assert_error(await admin.delete(path), 404, "NOT_FOUND")


async def test_lists_are_paged(admin: Caller, heatmaps):
    ids = [(await made(admin, heatmaps))["id"] for _ in range(3)]
    first = await (await admin.get(f"{heatmaps}?limit=2")).json()
    second = await (await admin.get(f"{heatmaps}?limit=2&cursor={first['meta']['next_cursor']}")).json()
    assert [one["id"] for one in first["data"] + second["data"]] == ids
    assert second["meta"]["next_cursor"] is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [("https://example.com/a?b=1#c", "/a?b=1"), ("pricing", "/pricing"), ("*", "*"), ("/blog/*", "/blog/*")],
)
async def test_a_pattern_is_kept_as_paths_are(admin: Caller, heatmaps, given, kept):
    assert (await made(admin, heatmaps, url_pattern=given))["url_pattern"] == kept


async def test_every_fault_is_told(admin: Caller, heatmaps):
    response = await admin.post(heatmaps, json={"name": "", "url_pattern": 7, "type": "hover", "is_active": "yes"})
    body = await assert_error(response, 400, "VALIDATION_ERROR")
    assert {fault["field"] for fault in body["details"]} == {"name", "url_pattern", "type", "is_active"}
    one = await made(admin, heatmaps)
    asked = f"{heatmaps}/{one['id']}/data?cell=15&viewport=watch&timezone=Mars&start_date=soon"
    body = await assert_error(await admin.get(asked), 400, "VALIDATION_ERROR")
    assert {fault["field"] for fault in body["details"]} == {"cell", "viewport", "timezone", "start_date"}


@pytest.mark.parametrize("under", ["", "/data", "/elements"])
async def test_nobody_sees_what_is_not_theirs(admin: Caller, stranger: Caller, heatmaps, under):
    one = await made(admin, heatmaps)
    other = await admin.new_website()
    await assert_error(await stranger.get(f"{heatmaps}/{one['id']}{under}"), 404, "NOT_FOUND")
    elsewhere = f"/analytics/websites/{other['id']}/heatmaps/{one['id']}{under}"
    await assert_error(await admin.get(elsewhere), 404, "NOT_FOUND")
    await assert_error(await admin.get(f"{heatmaps}/{one['id'] + 10_000}{under}"), 404, "NOT_FOUND")
    await assert_error(await admin.get(f"{heatmaps}/x{under}"), 404, "NOT_FOUND")


async def test_nobody_changes_what_is_not_theirs(admin: Caller, stranger: Caller, heatmaps):
    one = await made(admin, heatmaps)
    other = (await admin.new_website())["id"]
    for caller, path in (
        (stranger, f"{heatmaps}/{one['id']}"),
        (admin, f"/analytics/websites/{other}/heatmaps/{one['id']}"),
    ):
        await assert_error(await caller.put(path, json=HEATMAP), 404, "NOT_FOUND")
        await assert_error(await caller.patch(path, json={"name": "Mine"}), 404, "NOT_FOUND")
        await assert_error(await caller.delete(path), 404, "NOT_FOUND")
    await assert_error(await stranger.post(heatmaps, json=HEATMAP), 404, "NOT_FOUND")
    await assert_error(await stranger.get(heatmaps), 404, "NOT_FOUND")
    assert (await (await admin.get(f"{heatmaps}/{one['id']}")).json())["data"] == one


async def test_a_heatmap_without_samples_is_empty(admin: Caller, heatmaps):
    for type_ in ("click", "scroll"):
        one = await made(admin, heatmaps, type=type_)
        body = await (await admin.get(f"{heatmaps}/{one['id']}/data?start_date=2026-01-01&end_date=2026-01-02")).json()
        assert body == {
            "heatmap_id": one["id"],
            "type": type_,
            "data": [],
            "viewport": {"width": 1920, "height": 1080, "group": "desktop"},
            "page": None,
            "cell": 10,
            "total": 0,
            "groups": {"mobile": 0, "tablet": 0, "desktop": 0},
            "period": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-03T00:00:00Z"},
        }


async def test_a_long_answer_is_compressed_for_who_takes_that(admin: Caller, heatmaps, website):
    from agents import heatmaps as agent

    one = await made(admin, heatmaps, type="click")
    clicks = [make_sample(1, x, y) for x in range(0, 400, 10) for y in range(0, 400, 10)]
    async with batch_transaction() as db:
        await agent.write(db, [make_samples(*clicks, website_id=website["id"], path=one["url_pattern"])], [0])
    path = f"{heatmaps}/{one['id']}/data?start_date=2026-11-01&end_date=2026-11-30"
    zipped, plain = [await admin.get(path, headers={"Accept-Encoding": coding}) for coding in ("gzip", "identity")]
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert await zipped.json() == await plain.json()
    assert len((await plain.json())["data"]) == 1600


# What the tracker is told.


async def test_a_view_is_told_what_is_wanted_of_its_page(admin: Caller, nobody: Caller, website, heatmaps, sent):
    await made(admin, heatmaps, url_pattern="/shop/*", type="scroll")
    stopped = await made(admin, heatmaps, url_pattern="/shop/*", type="move")
    await made(admin, heatmaps, url_pattern="/shop/*", is_active=False)

    async def capture(path, **headers):
        body = {"key": website["pixel_key"], "path": path}
        answer = await nobody.post("/analytics/track", json=body, headers={**FIREFOX, **headers})
        return (await answer.json()).get("capture")

    assert await capture("/shop/hats?utm_source=x") == {"heatmap": ["move", "scroll"]}
    assert await capture("/about") is None
    assert await capture("/shop/hats", DNT="1") is None
    await admin.delete(f"{heatmaps}/{stopped['id']}")
    assert await capture("/shop/hats") == {"heatmap": ["scroll"]}
    await admin.patch(f"/analytics/websites/{website['id']}", json={"tracking_type": "lightweight"})
    assert await capture("/shop/hats") is None


# What browsers send.


async def post(nobody: Caller, website, *samples, headers=None, **values):
    body = {"key": website["pixel_key"], **WHO, "samples": list(samples), **values}
    return await nobody.post("/analytics/heatmap", json=body, headers={**FIREFOX, **(headers or {})})


async def test_samples_become_lots_of_one_page(nobody: Caller, website, sent):
    response = await post(nobody, website, SAMPLE, {**SAMPLE, "path": "/?token=x"}, {**SAMPLE, "type": "scroll"})
    assert (response.status, await response.json()) == (200, {"ok": True})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    lots = {lot.path: lot for lot in (SAMPLES.item(value) for _, value in sent)}
    assert {path: len(lot.samples) for path, lot in lots.items()} == {"/": 2, "/?token=[removed]": 1}
    assert "v-1" not in str(lots)
    assert "s-1" not in str(lots)
    assert len({key for key, _ in sent}) == 2


async def test_any_content_type_is_read_and_gzip_too(nobody: Caller, website, sent):
    body = json.dumps({"key": website["pixel_key"], "samples": [SAMPLE] * 3000}).encode()
    assert len(body) > 400_000
    plain = await nobody.post("/analytics/heatmap", data=body, headers={"Content-Type": "text/plain", **FIREFOX})
    assert plain.status == 200
    zipped = await nobody.post(
        "/analytics/heatmap",
        data=gzip.compress(body),
        headers={"Content-Type": "x/y", "Content-Encoding": "gzip", **FIREFOX},
    )
    assert zipped.status == 200
    assert [len(SAMPLES.item(value).samples) for _, value in sent] == [1000, 1000, 1000] * 2
    large = json.dumps({"key": website["pixel_key"], "samples": [SAMPLE] * 8000}).encode()
    await assert_error(await nobody.post("/analytics/heatmap", data=BytesIO(large)), 413, "PAYLOAD_TOO_LARGE")
    bomb = await nobody.post("/analytics/heatmap", data=gzip.compress(large), headers={"Content-Encoding": "gzip"})
    await assert_error(bomb, 413, "PAYLOAD_TOO_LARGE")


async def test_who_is_not_to_be_recorded_is_not(admin: Caller, nobody: Caller, website, sent):
    async def ignored(headers=None):
        response = await post(nobody, website, SAMPLE, headers=headers)
        return response.status, (await response.json()).get("ignored")

    settings = f"/analytics/websites/{website['id']}"
    assert await ignored({"DNT": "1"}) == (202, "dnt")
    assert await ignored({"Sec-GPC": "1"}) == (202, "gpc")
    assert await ignored({"User-Agent": "Googlebot/2.1"}) == (200, None), "a bot is not told"
    await admin.patch(settings, json={"require_consent": True})
    assert await ignored() == (202, "no_consent")
    await admin.patch(settings, json={"require_consent": False, "tracking_type": "lightweight"})
    assert await ignored() == (202, "lightweight")
    assert sent == []
    await admin.patch(settings, json={"tracking_enabled": False})
    await assert_error(await post(nobody, website, SAMPLE), 403, "FORBIDDEN")
    unknown = {**website, "pixel_key": "7c1f3c5e-5d0e-4e62-9d5c-0a3c6a1f2b11"}
    await assert_error(await post(nobody, unknown, SAMPLE), 404, "NOT_FOUND")


async def test_every_fault_of_every_sample_is_told(nobody: Caller, website, sent):
    wrong = [
        {**SAMPLE, "type": "hover", "x": -1},
        {**SAMPLE, "y": 1_000_001, "selector": 7},
        {**SAMPLE, "viewport_width": "wide", "at": "soon"},
        {name: value for name, value in SAMPLE.items() if name != "page_height"},
    ]
    body = await assert_error(await post(nobody, website, *wrong, id="x"), 400, "VALIDATION_ERROR")
    fields = {fault["field"] for fault in body["details"]}
    assert fields >= {
        "id",
        "samples.0.type",
        "samples.0.x",
        "samples.1.y",
        "samples.1.selector",
        "samples.2.viewport_width",
        "samples.3.page_height",
    }
    assert any(field.startswith("samples.2.at") for field in fields)
    await assert_error(await post(nobody, website), 400, "VALIDATION_ERROR", "samples")
    assert sent == []


# The picture.


async def test_the_picture_is_a_page_that_loads_only_what_is_ours(nobody: Caller):
    page = await nobody.get("/analytics/heatmaps/view")
    assert (page.status, page.content_type) == (200, "text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    text = await page.text()
    assert "<script>" not in text
    assert "style=" not in text
    for name in ("heatmaps.js", "heatmaps.css", "simpleheat.js"):
        assert f'"view/{name}"' in text
        assert (await nobody.get(f"/analytics/heatmaps/view/{name}")).status == 200
    await assert_error(await nobody.get("/analytics/heatmaps/view/analytics.js"), 404, "NOT_FOUND")
