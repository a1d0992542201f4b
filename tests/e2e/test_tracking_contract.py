"""The reference's section Tracking, on the running service: what every endpoint answers, and what is stored of it."""

import asyncio
import gzip
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.conftest import DESKTOP
from tests.web.calls import Caller, assert_error

pytestmark = pytest.mark.services

GIF = b"GIF89a"
IDS = {"ok", "event_id", "visitor_id", "session_id"}
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
KINDS = ["pageview", "event", "click", "scroll", "form", "goal", "custom"]


@dataclass(frozen=True)
class Row:
    """One endpoint: how it is called, what it answers. `KEY` stands for the pixel key."""

    method: str
    path: str
    answer: str
    body: dict[str, Any] | None = None
    query: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


TABLE = [
    Row("POST", "/analytics/track/KEY", "gif", {"path": "/a"}),
    Row("POST", "/analytics/track", "ids", {
        "key": "KEY", "type": "pageview", "visitor_id": "visitor-uuid", "session_id": "session-uuid",
        "path": "/page/path", "title": "Page Title", "referrer": "https://referrer.com", "utm_source": "google",
        "utm_medium": "cpc", "utm_campaign": "summer-sale", "screen_width": 1920, "screen_height": 1080,
        "language": "en-GB",
    }),
    Row("GET", "/analytics/pixel", "gif", query={"key": "KEY", "p": "/a", "t": "A", "r": "https://referrer.com"}),
    Row("POST", "/analytics/heartbeat", "ok", {
        "event_id": 12345, "time_on_page": 120, "scroll_depth": 75, "session_id": "session-uuid",
    }),
    Row("POST", "/analytics/leave", "ok", {"session_id": "session-uuid"}),
    Row("POST", "/analytics/event", "ids", {
        "key": "KEY", "name": "button_click", "visitor_id": "visitor-uuid", "session_id": "session-uuid",
        "properties": {"button_id": "signup", "variant": "blue"},
    }),
]  # fmt: skip
KEYED = [row for row in TABLE if "KEY" in str(row) + str(row.body) + str(row.query)]


async def send(caller: Caller, row: Row, key: str, **options: Any):
    """The row's call with that pixel key."""
    body = json.loads(json.dumps(row.body).replace("KEY", key))
    query = {name: value.replace("KEY", key) for name, value in row.query.items()}
    return await caller.call(row.method, row.path.replace("KEY", key), json=body, params=query, **options)


async def track(caller: Caller, website: dict[str, Any], headers: dict[str, str] | None = None, **body: Any):
    """The answer to one hit, which must be taken."""
    answer = await caller.post("/analytics/track", json={"key": website["pixel_key"], **body}, headers=headers or {})
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def assert_gif(response: Any, says: str) -> None:
    """The image, kept by no cache, with what came of the hit."""
    assert response.status == 200
    assert response.content_type == "image/gif"
    assert (await response.read()).startswith(GIF)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Analytics"] == says


# --- Answers


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_every_endpoint_answers_as_the_reference_says(row, nobody, website):
    response = await send(nobody, row, website["pixel_key"], headers={"Origin": "https://example.com"})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers
    if row.answer == "gif":
        await assert_gif(response, "recorded")
        return
    assert response.status == 200, await response.text()
    body = await response.json()
    if row.answer == "ok":
        assert body == {"ok": True}
        return
    assert set(body) == IDS
    assert 0 < body["event_id"] < 2**53
    assert (body["visitor_id"], body["session_id"]) == ("visitor-uuid", "session-uuid")


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_a_page_of_any_origin_may_call_it(row, nobody):
    asked = {"Origin": "https://example.com", "Access-Control-Request-Method": row.method,
             "Access-Control-Request-Headers": "content-type"}  # fmt: skip
    response = await nobody.call("OPTIONS", row.path, headers=asked)
    assert (response.status, await response.read()) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert row.method in response.headers["Access-Control-Allow-Methods"]
    assert "Content-Type" in response.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_another_method_is_refused(row, nobody):
    response = await nobody.call("PUT", row.path)
    if row.path == "/analytics/pixel" or row.answer != "gif":
        assert response.status in {200, 405}
    if response.status == 405:
        await assert_error(response, 405, "METHOD_NOT_ALLOWED")
        assert row.method in response.headers["Allow"]


@pytest.mark.parametrize("row", KEYED, ids=str)
async def test_an_unknown_key_is_404_and_where_nothing_is_tracked_403(row, nobody, admin, website):
    async def refused(key: str, status: int, code: str) -> None:
        response = await send(nobody, row, key)
        if row.answer == "gif":
            await assert_gif(response, f"ignored: {code.lower()}")
        else:
            await assert_error(response, status, code)
            assert response.headers["Access-Control-Allow-Origin"] == "*"

    await refused(str(uuid.uuid4()), 404, "NOT_FOUND")
    for switch in ("tracking_enabled", "is_enabled"):
        off = await admin.new_website(**{switch: False})
        await refused(off["pixel_key"], 403, "FORBIDDEN")
    await admin.delete(f"/analytics/websites/{website['id']}")
    await asyncio.sleep(0.1)
    for _ in range(20):
        response = await send(nobody, row, website["pixel_key"])
        if response.status == 404 or response.headers.get("X-Analytics") == "ignored: not_found":
            return
        await asyncio.sleep(0.1)
    pytest.fail("a deleted website still takes hits after two seconds")


@pytest.mark.parametrize("row", KEYED, ids=str)
@pytest.mark.parametrize("header", ["DNT", "Sec-GPC"])
async def test_a_visitor_who_opted_out_is_answered_and_not_stored(row, header, nobody, admin, service, settled):
    website, heedless = await admin.new_website(), await admin.new_website(honour_dnt=False)
    reason = "dnt" if header == "DNT" else "gpc"
    response = await send(nobody, row, website["pixel_key"], headers={header: "1"})
    if row.answer == "gif":
        await assert_gif(response, f"ignored: {reason}")
    else:
        assert (response.status, await response.json()) == (202, {"ok": True, "ignored": reason})
    assert (await send(nobody, row, website["pixel_key"], headers={header: "0"})).status == 200
    assert (await send(nobody, row, heedless["pixel_key"], headers={header: "1"})).status == 200
    await settled()
    assert [len(service.events(site["id"])) for site in (website, heedless)] == [1, 1]


async def test_a_website_that_requires_consent_or_names_its_hosts_says_why_it_ignores(nobody, admin):
    for values, reason in (({"require_consent": True}, "no_consent"), ({"allowed_hosts": ["a.com"]}, "foreign_host")):
        website = await admin.new_website(**values)
        body = {"key": website["pixel_key"], "host": "b.com"}
        response = await nobody.post("/analytics/track", json=body)
        assert (response.status, await response.json()) == (202, {"ok": True, "ignored": reason})
        await assert_gif(await nobody.post(f"/analytics/track/{website['pixel_key']}", json=body), f"ignored: {reason}")


@pytest.mark.parametrize(
    ("path", "body", "fault"),
    [
        ("/analytics/track", {}, "key"),
        ("/analytics/track", {"key": "KEY", "type": "nonsense"}, "type"),
        ("/analytics/track", {"key": "KEY", "path": 7}, "path"),
        ("/analytics/track", {"key": "KEY", "id": "not-a-uuid"}, "id"),
        ("/analytics/track", {"key": "KEY", "screen_width": -1}, "screen_width"),
        ("/analytics/track", {"key": "KEY", "value": 1, "currency": "XXL"}, "currency"),
        ("/analytics/track", {"key": "KEY", "timestamp": "yesterday"}, "timestamp"),
        ("/analytics/event", {"key": "KEY"}, "name"),
        ("/analytics/event", {"key": "KEY", "name": "a", "properties": {"a": [1]}}, "properties"),
        ("/analytics/event", {"key": "KEY", "name": "a", "properties": {str(n): n for n in range(51)}}, "properties"),
        ("/analytics/heartbeat", {"session_id": "a"}, "event_id"),
        ("/analytics/heartbeat", {"session_id": "a", "event_id": 1, "time_on_page": -1}, "time_on_page"),
        ("/analytics/heartbeat", {"session_id": "a", "event_id": 2**53}, "event_id"),
        ("/analytics/leave", {}, "session_id"),
    ],
)
async def test_a_wrong_field_is_named(path, body, fault, nobody, website):
    body = {name: website["pixel_key"] if value == "KEY" else value for name, value in body.items()}
    await assert_error(await nobody.post(path, json=body), 400, "VALIDATION_ERROR", fault)


async def test_all_faults_are_told_at_once(nobody):
    response = await nobody.post("/analytics/event", json={"screen_width": "wide", "value": "much"})
    body = await assert_error(response, 400, "VALIDATION_ERROR", "key")
    assert {fault["field"] for fault in body["details"]} >= {"key", "name", "screen_width"}


# --- What is stored


@pytest.mark.parametrize("sent", ["text/plain", "application/json", "application/octet-stream", "gzip", "nothing"])
async def test_json_is_read_whatever_its_content_type(sent, nobody, website, service, settled):
    body = json.dumps({"key": website["pixel_key"], "path": "/sent"}).encode()
    headers = {"Content-Type": sent} if "/" in sent else {}
    if sent == "gzip":
        body, headers = gzip.compress(body), {"Content-Encoding": "gzip"}
    response = await nobody.post("/analytics/track", data=body, headers=headers)
    assert response.status == 200, await response.text()
    await settled()
    assert [event["path"] for event in service.events(website["id"])] == ["/sent"]


async def test_the_image_takes_json_a_form_a_query_and_nothing(nobody, website, service, settled):
    path = f"/analytics/track/{website['pixel_key']}"
    await assert_gif(await nobody.post(path, json={"path": "/json", "title": "T"}), "recorded")
    await assert_gif(await nobody.post(path, data={"p": "/form", "t": "T"}), "recorded")
    await assert_gif(await nobody.post(path, headers={"Referer": "https://example.com/embedding"}), "recorded")
    await assert_gif(
        await nobody.get("/analytics/pixel", params={"key": website["pixel_key"], "p": "/query", "t": "T"}), "recorded"
    )
    await settled()
    stored = service.events(website["id"])
    assert [(event["path"], event["title"]) for event in stored] == [
        ("/json", "T"), ("/form", "T"), ("/embedding", None), ("/query", "T"),
    ]  # fmt: skip
    assert {event["kind"] for event in stored} == {"pageview"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kind_is_stored_as_it_is_sent(kind, nobody, website, service, settled):
    await track(nobody, website, type=kind, path="/", **({"name": "Named"} if kind == "custom" else {}))
    await settled()
    [event] = service.events(website["id"])
    assert event["kind"] == kind
    assert event["name"] == {"pageview": None, "custom": "Named"}.get(kind, kind)
    [session] = service.sessions(website["id"])
    assert (session["pageviews"], session["events"]) == ((1, 0) if kind == "pageview" else (0, 1))


async def test_everything_that_a_hit_says_is_stored(nobody, website, service, settled):
    hit = await track(
        nobody, website, {"Accept-Language": "de-DE,de;q=0.9"},
        type="pageview", visitor_id="v-1", session_id="s-1", path="/pricing?utm_term=tea&secret=1", title="Pricing",
        host="example.com", referrer="https://www.google.com/search?q=tea", utm_source="news", utm_medium="email",
        utm_campaign="may", utm_content="top", screen_width=1920, screen_height=1080,
    )  # fmt: skip
    bought = {"value": 19.99, "currency": "eur", "properties": {"plan": "pro", "seats": 3, "trial": False, "x": None}}
    response = await nobody.post(
        "/analytics/event",
        json={"key": website["pixel_key"], "name": "Purchase", "visitor_id": "v-1", "session_id": "s-1", **bought},
    )
    assert response.status == 200
    await settled()
    view, event = service.events(website["id"])
    assert (view["id"], view["kind"], view["title"]) == (hit["event_id"], "pageview", "Pricing")
    assert view["path"] == "/pricing?secret=[removed]", "the campaign goes to the session, a secret nowhere"
    assert (event["name"], event["kind"], str(event["value"]), event["currency"]) == (
        "Purchase", "event", "19.9900", "EUR",
    )  # fmt: skip
    assert event["properties"] == {"plan": "pro", "seats": 3, "trial": False}
    [session] = service.sessions(website["id"])
    expected = {
        "entry_path": view["path"], "exit_path": view["path"], "host": "example.com", "utm_source": "news",
        "utm_medium": "email", "utm_campaign": "may", "utm_term": "tea", "utm_content": "top", "screen": "1920x1080",
        "language": "de-DE", "browser": "Chrome", "browser_version": "143", "os": "Linux", "device_type": "desktop",
        "channel": "Email", "pageviews": 1, "events": 1, "is_bounce": False,
    }  # fmt: skip
    assert {name: session[name] for name in expected} == expected


async def test_a_hit_sent_twice_with_its_id_counts_once(nobody, website, service, settled):
    hit = {"id": str(uuid.uuid4()), "session_id": "s", "visitor_id": "v", "path": "/once"}
    first = await track(nobody, website, **hit)
    again = await asyncio.gather(*(track(nobody, website, **hit) for _ in range(5)))
    last = again[-1]
    beat = {"key": website["pixel_key"], "session_id": "s", "event_id": last["event_id"], "time_on_page": 33}
    await settled()
    assert (await nobody.post("/analytics/heartbeat", json=beat)).status == 200
    await settled()
    [event] = service.events(website["id"])
    assert event["id"] == first["event_id"]
    assert event["seconds"] == 33, "a report for a repeated hit belongs to the one that was kept"
    assert service.sessions(website["id"])[0]["pageviews"] == 1


async def test_reports_are_totals_of_which_the_highest_counts(nobody, website, service, settled):
    hit = await track(nobody, website, path="/")
    for seconds, depth in ((20, 40), (50, 30), (50, 30), (35, 90), (0, 0), (2.7, 1000)):
        beat = {"event_id": hit["event_id"], "session_id": hit["session_id"], "time_on_page": seconds,
                "scroll_depth": depth}  # fmt: skip
        response = await nobody.post("/analytics/heartbeat", json=beat)
        assert (response.status, await response.json()) == (200, {"ok": True})
    await settled()
    [event] = service.events(website["id"])
    assert (event["seconds"], event["scroll"]) == (50, 100)
    [session] = service.sessions(website["id"])
    assert (session["engaged_s"], session["is_bounce"]) == (50, False)


async def test_a_report_goes_to_the_session_that_holds_its_event_and_a_key_decides(nobody, admin, service, settled):
    one, other = await admin.new_website(), await admin.new_website()
    mine = await track(nobody, one, visitor_id="v", session_id="shared", path="/")
    await track(nobody, other, visitor_id="v", session_id="shared", path="/")
    beat = {"event_id": mine["event_id"], "session_id": "shared"}
    await nobody.post("/analytics/heartbeat", json=beat | {"time_on_page": 12})
    await nobody.post("/analytics/heartbeat", json=beat | {"time_on_page": 99, "key": other["pixel_key"]})
    await nobody.post("/analytics/heartbeat", json={"event_id": 1, "session_id": "nobody's", "time_on_page": 99})
    await nobody.post("/analytics/leave", json={"session_id": "nobody's"})
    await settled()
    assert [event["seconds"] for site in (one, other) for event in service.events(site["id"])] == [12, 0]


async def test_leave_ends_the_clock_and_a_later_hit_goes_on(nobody, website, service, settled):
    hit = await track(nobody, website, path="/")
    await asyncio.sleep(1.3)
    response = await nobody.post(
        "/analytics/leave", data=json.dumps({"session_id": hit["session_id"]}), headers={"Content-Type": "text/plain"}
    )
    assert (response.status, await response.json()) == (200, {"ok": True})
    await settled()
    [session] = service.sessions(website["id"])
    assert session["duration_s"] >= 1
    await track(nobody, website, path="/more", session_id=hit["session_id"], visitor_id=hit["visitor_id"])
    await settled()
    [session] = service.sessions(website["id"])
    assert (session["pageviews"], session["exit_path"]) == (2, "/more")


async def test_an_event_that_is_not_interactive_leaves_a_bounce_a_bounce(nobody, website, service, settled):
    ids = await track(nobody, website, path="/")
    ids = {"visitor_id": ids["visitor_id"], "session_id": ids["session_id"]}
    await track(nobody, website, type="event", name="Seen", interactive=False, **ids)
    await settled()
    assert service.sessions(website["id"])[0]["is_bounce"] is True
    await track(nobody, website, type="event", name="Done", **ids)
    await settled()
    assert service.sessions(website["id"])[0]["is_bounce"] is False


# --- Who it is


async def test_visitors_without_ids_are_told_apart_by_the_day_without_a_cookie(nobody, admin, service, settled):
    one, other = await admin.new_website(), await admin.new_website()
    first, again = await track(nobody, one), await track(nobody, one)
    elsewhere = await track(nobody, other)
    firefox = await track(nobody, one, {"User-Agent": FIREFOX})
    assert first["visitor_id"] == again["visitor_id"]
    assert first["session_id"] == again["session_id"]
    assert len({hit["visitor_id"] for hit in (first, elsewhere, firefox)}) == 3
    assert len({hit["session_id"] for hit in (first, elsewhere, firefox)}) == 3
    named = await track(nobody, one, visitor_id="my-own")
    assert named["visitor_id"] == "my-own"
    assert named["session_id"] not in {first["session_id"], None}
    await settled()
    assert len(service.sessions(one["id"])) == 3
    stored = service.sql("SELECT encode(state, 'escape') AS state FROM session_states")
    assert not any("my-own" in row["state"] or "127.0.0.1" in row["state"] for row in stored)


@pytest.mark.parametrize("agent", ["HeadlessChrome", "Googlebot/2.1"])
async def test_a_declared_bot_is_answered_like_anybody_and_not_counted(agent, nobody, website, service, settled):
    agent = DESKTOP.replace("Chrome", agent) if agent == "HeadlessChrome" else f"Mozilla/5.0 (compatible; {agent})"
    hit = await track(nobody, website, {"User-Agent": agent}, path="/")
    assert set(hit) == IDS
    await assert_gif(
        await nobody.get("/analytics/pixel", params={"key": website["pixel_key"]}, headers={"User-Agent": agent}),
        "recorded",
    )
    await settled()
    assert service.events(website["id"]) == []


async def test_a_server_reports_somebody_elses_request_with_a_token(admin, nobody, token_of, website, service, settled):
    at = (datetime.now(UTC) - timedelta(hours=3)).replace(microsecond=0)
    seen = {"timestamp": at.isoformat().replace("+00:00", "Z"), "ip": "81.2.69.142", "user_agent": FIREFOX}
    body = {"key": website["pixel_key"], "path": "/api", **seen}
    for name, value in seen.items():
        await assert_error(
            await nobody.post("/analytics/track", json={"key": website["pixel_key"], name: value}),
            401,
            "UNAUTHENTICATED",
        )
    await assert_error(await (await token_of("read")).post("/analytics/track", json=body), 403, "FORBIDDEN")
    foreign = await token_of("write", workspace="foreign")
    await assert_error(await foreign.post("/analytics/track", json=body), 403, "FORBIDDEN")
    other = (await admin.new_website())["id"]
    restricted = await token_of("write", website_ids=[other])
    await assert_error(await restricted.post("/analytics/track", json=body), 403, "FORBIDDEN")
    writer = await token_of("write", website_ids=[website["id"]])
    for wrong in (at - timedelta(days=1), at + timedelta(hours=4)):
        response = await writer.post("/analytics/track", json=body | {"timestamp": wrong.isoformat()})
        await assert_error(response, 400, "VALIDATION_ERROR", "timestamp")
    assert (await writer.post("/analytics/track", json=body)).status == 200
    await assert_gif(await writer.post(f"/analytics/track/{website['pixel_key']}", json=body), "recorded")
    await settled()
    events, [session] = service.events(website["id"]), service.sessions(website["id"])
    assert [event["at"] for event in events] == [at, at]
    assert (session["country"], session["browser"], session["os"]) == ("GB", "Firefox", "Windows")


async def test_a_new_key_works_at_once_and_the_old_one_lives_on(admin, nobody, website, service, settled):
    made = await admin.post(f"/analytics/websites/{website['id']}/pixel-key", json={"grace_hours": 1})
    new = (await made.json())["data"]["pixel_key"]
    assert new != website["pixel_key"]
    await track(nobody, website, path="/old")
    await track(nobody, {"pixel_key": new}, path="/new")
    await settled()
    assert [event["path"] for event in service.events(website["id"])] == ["/old", "/new"]


async def test_the_tracker_is_served_to_every_page(http):
    async with http.get(
        "/js/analytics.js", params={"key": "any"}, headers={"Origin": "https://example.com"}
    ) as response:
        assert (response.status, response.content_type) == (200, "text/javascript")
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "sendBeacon" in await response.text()
        etag = response.headers["ETag"]
    async with http.get("/js/analytics.js", headers={"If-None-Match": etag}) as response:
        assert response.status == 304
