"""The API of recordings, and the endpoint that takes their chunks."""

import gzip
import io
import json
import secrets
from typing import Any

import pytest

from analytics_app.records import RECORDED
from analytics_app.replays import packing
from analytics_app.replays.events import VERSION
from tests.e2e.conftest import DESKTOP
from tests.recordings import (
    click,
    custom,
    document,
    element,
    make_chunk,
    meta,
    opening,
    scroll,
    snapshot,
    text_node,
)
from tests.web.calls import Caller, assert_error

BROWSER = {"User-Agent": DESKTOP}
LIST = "/analytics/websites/{}/replays"


@pytest.fixture
async def website(admin: Caller) -> dict[str, Any]:
    return await admin.new_website(tracking_type="full", replay_sampling=1)


def body_of(website: dict[str, Any], **fields: Any) -> dict[str, Any]:
    given = {"key": website["pixel_key"], "visitor_id": "v", "session_id": secrets.token_hex(8), "sequence": 0}
    return {**given, "events": opening(), **fields}


async def send(caller: Caller, body: Any, **headers: str) -> Any:
    return await caller.post("/analytics/replay", data=json.dumps(body), headers={**BROWSER, **headers})


# --- Taking chunks


async def test_a_chunk_goes_to_kafka_with_whom_and_where_but_no_raw_id(nobody, website, sent):
    body = body_of(website, visitor_id="ann@example.com", sequence=3)
    answer = await send(nobody, body, **{"Content-Type": "text/plain", "Origin": "https://shop.example"})
    assert (answer.status, await answer.json()) == (200, {"ok": True})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    ((session_key, said),) = sent
    chunk = RECORDED.item(said)
    assert (chunk.session_key, chunk.website_id, chunk.sequence) == (session_key, website["id"], 3)
    assert (chunk.browser, chunk.os, chunk.device_type) == ("Chrome", "Linux", "desktop")
    assert packing.unpacked(chunk.packed) == body["events"]
    assert b"ann@" not in said
    assert body["session_id"].encode() not in said


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Encoding": "gzip"}], ids=["known by its bytes", "as its header says"]
)
async def test_a_chunk_may_be_compressed_and_twice_as_large_inflated(nobody, website, sent, headers):
    large = body_of(website, events=[meta(), snapshot(), custom(1, "x", text="word " * 390_000)])
    said = gzip.compress(json.dumps(large).encode())
    answer = await nobody.post("/analytics/replay", data=said, headers={**BROWSER, **headers})
    assert answer.status == 200, await answer.text()
    assert len(sent) == 1
    larger = body_of(website, events=[meta(), snapshot(), custom(1, "x", text="word " * 430_000)])
    said = gzip.compress(json.dumps(larger).encode())
    await assert_error(
        await nobody.post("/analytics/replay", data=said, headers={**BROWSER, **headers}), 413, "PAYLOAD_TOO_LARGE"
    )
    plain = io.BytesIO(json.dumps(large).encode())
    await assert_error(await nobody.post("/analytics/replay", data=plain, headers=BROWSER), 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sequence": -1}, "sequence"),
        ({"sequence": "0"}, "sequence"),
        ({"sequence": None}, "sequence"),
        ({"events": []}, "events"),
        ({"events": {}}, "events"),
        ({"events": [7]}, "events.0"),
        ({"events": [{"type": 3}]}, "events.0.timestamp"),
        ({"events": [{"type": 99, "timestamp": 1}]}, "events.0.type"),
        ({"events": [{"type": 3, "timestamp": -1}]}, "events.0.timestamp"),
        ({"events": [{"type": 3, "timestamp": 5e12}]}, "events.0.timestamp"),
        ({"key": 7}, "key"),
    ],
)
async def test_what_is_wrong_with_a_chunk_is_said(nobody, website, sent, change, field):
    await assert_error(await send(nobody, body_of(website, **change)), 400, "VALIDATION_ERROR", field)
    assert sent == []


@pytest.mark.parametrize("said", [b"", b"[]", b"{", b"\x1f\x8bjunk", b"[" * 5000, b'{"key": "\xff"}'])
async def test_what_is_no_chunk_is_refused(nobody, said):
    await assert_error(await nobody.post("/analytics/replay", data=said, headers=BROWSER), 400, "VALIDATION_ERROR")


async def test_an_unknown_key_and_a_website_that_is_off_are_told(nobody, admin, website):
    await assert_error(await send(nobody, body_of(website, key=website["host"])), 404, "NOT_FOUND")
    off = await admin.new_website(tracking_type="full", replay_sampling=1, tracking_enabled=False)
    await assert_error(await send(nobody, body_of(off)), 403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("settings", "headers", "reason"),
    [
        ({"tracking_type": "lightweight"}, {}, "lightweight"),
        ({"replay_sampling": 0}, {}, "not_sampled"),
        ({}, {"DNT": "1"}, "dnt"),
        ({}, {"Sec-GPC": "1"}, "gpc"),
        ({"require_consent": True}, {}, "no_consent"),
    ],
)
async def test_who_is_not_to_be_recorded_is_answered_and_not_kept(nobody, admin, sent, settings, headers, reason):
    website = await admin.new_website(**{"tracking_type": "full", "replay_sampling": 1, **settings})
    answer = await send(nobody, body_of(website), **headers)
    assert (answer.status, await answer.json()) == (202, {"ok": True, "ignored": reason})
    assert sent == []


@pytest.mark.parametrize("large", [False, True])
async def test_what_is_not_kept_is_not_cleaned(nobody, admin, sent, monkeypatch, large):
    from web import recording

    cleaned = []
    real = recording.clean_events
    monkeypatch.setattr(recording, "clean_events", lambda events: cleaned.append(len(events)) or real(events))
    events = [*opening(), *([custom(9, "route", title="x" * 60_000)] if large else [])]
    others = await admin.new_website(tracking_type="lightweight")
    assert (await (await send(nobody, body_of(others, events=events))).json())["ignored"] == "lightweight"
    unknown = body_of(others, events=events, key="00000000-0000-4000-8000-000000000000")
    assert (await send(nobody, unknown)).status == 404
    assert cleaned == []
    kept = await admin.new_website(tracking_type="full", replay_sampling=1)
    assert (await send(nobody, body_of(kept, events=events))).status == 200
    assert cleaned == [len(events)]


async def test_a_bot_is_answered_like_everybody_and_not_kept(nobody, website, sent):
    answer = await send(nobody, body_of(website), **{"User-Agent": "Googlebot/2.1"})
    assert (answer.status, await answer.json()) == (200, {"ok": True})
    assert sent == []


async def test_kafka_away_is_503(nobody, website, monkeypatch):
    from analytics_app.errors import Unavailable
    from web.recording import EDGE

    def away(*_: Any) -> Any:
        raise Unavailable

    monkeypatch.setattr(EDGE, "put", away)
    answer = await send(nobody, body_of(website))
    await assert_error(answer, 503, "UNAVAILABLE")
    assert answer.headers["Retry-After"]


async def test_the_tracker_is_told_to_record_and_for_how_long(nobody, admin, website):
    view = {"key": website["pixel_key"], "visitor_id": "v", "session_id": "s", "path": "/"}
    answer = await (await nobody.post("/analytics/track", json=view, headers=BROWSER)).json()
    assert answer["capture"] == {"replay": {"max_s": 7200}}
    await admin.patch(f"/analytics/websites/{website['id']}", json={"replay_max_s": 60})
    answer = await (await nobody.post("/analytics/track", json=view, headers=BROWSER)).json()
    assert answer["capture"] == {"replay": {"max_s": 60}}


async def test_no_topic_holds_what_is_to_be_covered_or_would_run(nobody, website, sent):
    secret = element("input", type="hidden", name="csrf", value="t0ken")
    link = element("a", text_node("joe@example.com, 4111 1111 1111 1111"), href="javascript:x()", onclick="y()")
    answer = await send(nobody, body_of(website, events=[meta(), snapshot(0, document(secret, link)), custom(1, "x")]))
    assert answer.status == 200
    ((_, said),) = sent
    chunk = RECORDED.item(said)
    assert chunk.sanitiser == VERSION
    held = packing.inflated(chunk.packed)
    assert b"****" in held
    for covered in (b"t0ken", b"joe@", b"4111", b"javascript", b"onclick"):
        assert covered not in held


async def test_tabs_of_a_session_are_told_apart_and_share_its_sampling(nobody, website, sent):
    body = body_of(website)
    for tab in (None, "a", "b", "a"):
        assert (await send(nobody, {**body, "tab": tab})).status == 200
    keys, chunks = zip(*((key, RECORDED.item(said)) for key, said in sent), strict=True)
    assert len(set(keys)) == len({chunk.session_key for chunk in chunks}) == 1
    assert [chunk.tab for chunk in chunks] == [None, chunks[1].tab, chunks[2].tab, chunks[1].tab]
    assert len({chunk.tab for chunk in chunks}) == 3
    for wrong in ("", "a b", "x" * 65, 7):
        await assert_error(await send(nobody, {**body, "tab": wrong}), 400, "VALIDATION_ERROR", "tab")


@pytest.mark.parametrize(("part", "least", "most"), [(0, 0, 0), (0.5, 60, 140), (1, 200, 200)])
async def test_as_many_sessions_are_told_to_record_as_are_then_kept(nobody, admin, sent, part, least, most):
    website = await admin.new_website(tracking_type="full", replay_sampling=part)
    told, kept = set(), set()
    for number in range(200):
        who = {"key": website["pixel_key"], "visitor_id": "v", "session_id": f"s-{number}"}
        answer = await nobody.post("/analytics/track", json={**who, "path": "/"}, headers=BROWSER)
        if (await answer.json()).get("capture"):
            told.add(number)
        if (await (await send(nobody, body_of(website, **who))).json()) == {"ok": True}:
            kept.add(number)
    assert told == kept
    assert least <= len(kept) <= most


# --- Reading


async def keep(website_id: int, *chunks: list[dict[str, Any]], **fields: Any) -> str:
    """Store a session's chunks as the agent does; returns the session's key."""
    from agents import replays as agent
    from agents.sink import Sink
    from tests.factories import make_record

    who = {"session_key": secrets.token_hex(16), "visitor": secrets.token_hex(16), **fields}
    records = [
        make_record(number, make_chunk(sequence, events, website_id=website_id, **who))
        for number, (sequence, events) in enumerate(chunks)
    ]
    await Sink(f"replay-chunks-{secrets.token_hex(4)}", agent.write, RECORDED).store(records)
    return who["session_key"]


@pytest.fixture
async def kept(website) -> dict[str, Any]:
    await keep(
        website["id"],
        (0, [*opening(0, "https://example.com/docs/start"), click(1), click(1.3), click(1.6)]),
        (2, [scroll(40), custom(65, "error", message="x")]),
        visitor="ab" * 16,
    )
    await keep(
        website["id"], (0, [*opening(10, "https://example.com/"), scroll(12)]), device_type="mobile", country="DE"
    )
    return website


async def listed(caller: Caller, website: dict[str, Any], query: str = "") -> list[Any]:
    answer = await caller.get(LIST.format(website["id"]) + query)
    assert answer.status == 200, await answer.text()
    return (await answer.json())["data"]


async def test_recordings_are_listed_the_newest_first(by_scope, kept):
    one, other = await listed(by_scope["read"], kept)
    assert (one["entry_page"], one["duration"], one["device_type"], one["country_code"]) == ("/", 2, "mobile", "DE")
    assert other["visitor_hash"] == "ab" * 16
    assert (other["duration"], other["clicks"], other["rage_clicks"], other["errors"]) == (65, 3, 1, 1)
    assert (other["page_count"], other["pages"], other["chunks"]) == (1, ["/docs/start"], 2)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("device_type=mobile", [2]),
        ("country_code=GB", [65]),
        ("country_code=FR", []),
        ("min_duration=60", [65]),
        ("max_duration=60", [2]),
        ("max_duration=65", [2, 65]),
        ("page=/", [2]),
        ("page=/docs/*", [65]),
        ("page=/docs", []),
        ("page=/*", [2, 65]),
        ("page=/d_cs/*", []),
        ("min_clicks=1", [65]),
        ("max_clicks=2", [2]),
        ("min_clicks=3&max_clicks=3", [65]),
        ("min_pages=1&max_pages=1", [2, 65]),
        ("min_pages=2", []),
        ("min_clicks=&max_pages=", [2, 65]),
        ("rage_clicks=true", [65]),
        ("rage_clicks=false", [2]),
        ("errors=true", [65]),
        ("errors=false", [2]),
        (f"visitor_hash={'ab' * 16}", [65]),
        ("browser=Firefox&os=Linux", [2, 65]),
        ("browser=Chrome", []),
        ("start_date=2026-11-01", [2, 65]),
        ("end_date=2026-11-01&start_date=2026-10-01", []),
        ("device_type=", [2, 65]),
        ("limit=1", [2]),
    ],
)
async def test_recordings_are_filtered(admin, kept, query, found):
    assert [one["duration"] for one in await listed(admin, kept, f"?{query}")] == found


async def test_a_list_is_paged(admin, website):
    for number in range(5):
        await keep(website["id"], (0, opening(number)))
    path, seen = LIST.format(website["id"]) + "?limit=2", []
    cursor = ""
    while cursor is not None:
        page = await (await admin.get(f"{path}&cursor={cursor}")).json()
        seen += [one["id"] for one in page["data"]]
        cursor = page["meta"]["next_cursor"]
    assert len(seen) == len(set(seen)) == 5
    await assert_error(await admin.get(f"{path}&cursor=c.AAAAAAAAAA"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("min_duration=-1", "min_duration"),
        ("limit=0", "limit"),
        ("start_date=soon", "start_date"),
        ("rage_clicks=maybe", "rage_clicks"),
        ("visitor_hash=x", "visitor_hash"),
        ("timezone=Mars", "timezone"),
    ],
)
async def test_a_wrong_question_is_refused(admin, website, query, field):
    await assert_error(await admin.get(LIST.format(website["id"]) + f"?{query}"), 400, "VALIDATION_ERROR", field)


async def test_one_recording_tells_what_is_missing(admin, kept):
    id_ = (await listed(admin, kept))[1]["id"]
    one = (await (await admin.get(f"{LIST.format(kept['id'])}/{id_}")).json())["data"]
    assert one["gaps"] == [{"first_sequence": 1, "last_sequence": 1, "from_s": 1.6, "to_s": 40.0}]
    assert one["started_at"].endswith("Z")


async def test_playback_is_one_array_from_the_first_snapshot_on(admin, website):
    chunks = [[click(1)], [click(2), meta(3), snapshot(3)], [], [click(4)], [scroll(5)]]
    await keep(website["id"], *enumerate(chunks))
    (one,) = await listed(admin, website)
    answer = await admin.get(f"{LIST.format(website['id'])}/{one['id']}/playback")
    assert answer.content_type == "application/json"
    assert await answer.json() == [meta(3), snapshot(3), click(4), scroll(5)]
    zipped = await admin.get(f"{LIST.format(website['id'])}/{one['id']}/playback", headers={"Accept-Encoding": "gzip"})
    assert await zipped.json() == await answer.json()


async def test_a_recording_without_a_snapshot_plays_nothing(admin, website):
    await keep(website["id"], (1, [click(1)]))
    (one,) = await listed(admin, website)
    assert await (await admin.get(f"{LIST.format(website['id'])}/{one['id']}/playback")).json() == []


async def test_a_session_is_followed_while_it_runs(admin, client, website):
    key = await keep(website["id"], (0, opening(0)))
    (one,) = await listed(admin, website)
    path = f"{LIST.format(website['id'])}/{one['id']}/playback/stream"
    headers = {"Authorization": f"Bearer {admin.token}"}
    async with client.get(path, headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        assert await next_event(answer) == ("0", opening(0))
        await keep(website["id"], (1, [click(2)]), session_key=key)
        assert await next_event(answer) == ("1", [click(2)])
    async with client.get(path, headers={**headers, "Last-Event-ID": "0"}) as answer:
        assert await next_event(answer) == ("1", [click(2)])


async def next_event(answer: Any) -> tuple[str, Any]:
    id_ = ""
    while line := (await answer.content.readline()).decode():
        if line.startswith("id: "):
            id_ = line[4:].strip()
        if line.startswith("data: "):
            return id_, json.loads(line[6:])
    raise AssertionError("the stream ended")


async def test_a_deleted_recording_is_gone_and_its_session_is_told_to_stop(admin, nobody, website):
    from web.recording import STOPPED

    body = body_of(website)
    from web import intake

    await keep(website["id"], (0, opening(0)), session_key=intake.key_of(body["session_id"]))
    (one,) = await listed(admin, website)
    path = f"{LIST.format(website['id'])}/{one['id']}"
    assert (await admin.delete(path)).status == 204
    for gone in (path, f"{path}/playback", f"{path}/playback/stream"):
        await assert_error(await admin.get(gone), 404, "NOT_FOUND")
    await assert_error(await admin.delete(path), 404, "NOT_FOUND")
    await STOPPED.read()
    answer = await send(nobody, body)
    assert (answer.status, await answer.json()) == (202, {"ok": True, "ignored": "deleted"})


@pytest.mark.parametrize("rest", ["", "/{}", "/{}/playback", "/{}/playback/stream"])
async def test_nobody_sees_what_is_anothers(admin, stranger, nobody, kept, rest):
    id_ = (await listed(admin, kept))[0]["id"]
    path = (LIST.format(kept["id"]) + rest).format(id_)
    await assert_error(await stranger.get(path), 404, "NOT_FOUND")
    await assert_error(await nobody.get(path), 401, "UNAUTHENTICATED")
    if rest:
        foreign = await stranger.new_website()
        elsewhere = (LIST.format(foreign["id"]) + rest).format(id_)
        await assert_error(await stranger.get(elsewhere), 404, "NOT_FOUND")
        await assert_error(await admin.get((LIST.format(kept["id"]) + rest).format(2**31 - 1)), 404, "NOT_FOUND")
        await assert_error(await admin.get((LIST.format(kept["id"]) + rest).format("x")), 404, "NOT_FOUND")


async def test_only_who_may_write_deletes(by_scope, admin, stranger, kept):
    id_ = (await listed(admin, kept))[0]["id"]
    path = f"{LIST.format(kept['id'])}/{id_}"
    await assert_error(await by_scope["read"].delete(path), 403, "FORBIDDEN")
    await assert_error(await stranger.delete(path), 404, "NOT_FOUND")
    assert (await by_scope["write"].delete(path)).status == 204


async def test_the_page_holds_no_data_and_lets_nothing_in(nobody):
    page = await nobody.get("/replays")
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "img-src data:;" in policy
    assert "unsafe-eval" not in policy
    for name in ("player.js", "player.css", "rrweb.css"):
        assert (await nobody.get(f"/replays/{name}")).status == 200
    await assert_error(await nobody.get("/replays/other.js"), 404, "NOT_FOUND")
    assert (await nobody.get("/js/replay.js")).status == 200
