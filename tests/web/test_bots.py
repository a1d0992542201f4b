"""The reference's section Bot Detection: rules, what they do at once, and what was detected."""

from datetime import datetime, timedelta

import pytest

from analytics_app import clock
from analytics_app.bots import store
from analytics_app.db import batch_transaction
from analytics_app.records import DETECTIONS, HITS, Detection
from tests.factories import make_hit
from tests.web.calls import assert_error

RULE = {"rule_type": "blacklist", "match_type": "ip", "match_value": "192.0.2.7", "description": "A scraper"}
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
)
BROWSERS = {
    "User-Agent": CHROME,
    "Accept": "*/*",
    "Accept-Language": "en-GB",
    "Origin": "https://example.com",
    "Sec-Fetch-Mode": "cors",
}
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.fixture
async def website(admin):
    return await admin.new_website()


@pytest.fixture
def rules(website):
    return f"/analytics/websites/{website['id']}/bots/rules"


@pytest.fixture
def track(nobody, website, noted, sent):
    """Send a pageview as a browser, but for what is given; returns its answer."""

    async def send(body=None, **headers):
        given = {"key": website["pixel_key"], "path": "/a", **(body or {})}
        response = await nobody.post(
            "/analytics/track", json=given, headers={**BROWSERS, **{k.replace("_", "-"): v for k, v in headers.items()}}
        )
        assert response.status == 200, await response.text()
        return await response.json()

    return send


def detections(noted):
    return [DETECTIONS.item(one) for one in noted]


# Rules.


async def test_addresses_are_remembered_no_longer_than_the_days_salt():
    from datetime import date

    from analytics_app.bots.judging import who_sent
    from web import intake

    who_sent(b"s" * 16, 1, "203.0.113.9", "Mozilla/5.0")
    assert who_sent.cache_info().currsize
    intake._known(date(2031, 1, 1), b"t" * 16, None, frozenset())
    assert who_sent.cache_info().currsize == 0
    intake._known.cache_clear()


async def test_a_rule_is_made_read_changed_and_deleted(admin, rules):
    made = await admin.post(rules, json=RULE)
    assert made.status == 201
    rule = (await made.json())["data"]
    assert {name: rule[name] for name in RULE} == RULE
    one = f"{rules}/{rule['id']}"
    assert (await (await admin.get(one)).json())["data"] == rule
    patched = (await (await admin.patch(one, json={"match_type": "ip_range", "match_value": "10.1.2.3/8"})).json())[
        "data"
    ]
    assert (patched["match_value"], patched["description"]) == ("10.0.0.0/8", "A scraper")
    put = await admin.put(one, json={"rule_type": "whitelist", "match_type": "user_agent", "match_value": "MyMonitor"})
    assert (await put.json())["data"]["description"] == ""
    listed = (await (await admin.get(rules, params={"rule_type": "whitelist"})).json())["data"]
    assert [held["id"] for held in listed] == [rule["id"]]
    assert (await admin.delete(one)).status == 204
    await assert_error(await admin.get(one), 404, "NOT_FOUND")
    await assert_error(await admin.delete(one), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"match_type": "ip_range", "match_value": "192.168.1.0/33"}, "match_value"),
        ({"match_type": "ip_range", "match_value": "192.168.1.1"}, "match_value"),
        ({"match_value": "192.168.1.0/24"}, "match_value"),
        ({"match_value": ""}, "match_value"),
        ({"match_type": "user_agent", "match_value": " \t"}, "match_value"),
        ({"match_type": "host"}, "match_type"),
        ({"rule_type": "greylist"}, "rule_type"),
        ({"description": "x" * 501}, "description"),
    ],
)
async def test_a_rule_that_cannot_be_is_refused(admin, rules, changes, field):
    await assert_error(await admin.post(rules, json=RULE | changes), 400, "VALIDATION_ERROR", field)


async def test_a_change_that_leaves_no_good_rule_is_refused(admin, rules):
    rule = (await (await admin.post(rules, json=RULE)).json())["data"]
    one = f"{rules}/{rule['id']}"
    await assert_error(await admin.patch(one, json={"match_type": "ip_range"}), 400, "VALIDATION_ERROR", "match_value")
    assert (await (await admin.get(one)).json())["data"] == rule


async def test_rules_of_others_are_not_there(admin, stranger, rules):
    rule = (await (await admin.post(rules, json=RULE)).json())["data"]
    other = await admin.new_website()
    for path, caller in ((f"{rules}/{rule['id']}", stranger), (rules.replace("rules", "stats"), stranger)):
        await assert_error(await caller.get(path), 404, "NOT_FOUND")
    foreign = f"/analytics/websites/{other['id']}/bots/rules/{rule['id']}"
    for method in ("GET", "PATCH", "DELETE"):
        await assert_error(await admin.call(method, foreign, json={}), 404, "NOT_FOUND")


async def test_rules_are_listed_page_by_page(admin, rules):
    for number in range(5):
        await admin.post(rules, json=RULE | {"match_value": f"192.0.2.{number}"})
    seen, cursor = [], ""
    while cursor is not None:
        page = await (await admin.get(rules, params={"limit": 2, "cursor": cursor})).json()
        seen += [rule["match_value"] for rule in page["data"]]
        cursor = page["meta"]["next_cursor"]
    assert seen == [f"192.0.2.{number}" for number in range(5)]


# What they do.


async def test_a_browser_s_hit_is_counted_and_nothing_is_noted(track, sent, noted):
    await track()
    assert (len(sent), noted) == (1, [])
    hit = HITS.item(sent[0][1])
    assert len(hit.sender) == len(hit.sent_by) == 16
    assert "127.0.0.1" not in sent[0][1].decode()


async def test_a_bot_is_answered_like_anybody_and_noted(track, sent, noted):
    answer = await track(User_Agent=GOOGLEBOT)
    assert set(answer) == {"ok", "event_id", "visitor_id", "session_id"}
    [found] = detections(noted)
    assert sent == []
    assert (found.event_id, found.name, found.type, found.verified) == (
        answer["event_id"], "Googlebot", "crawler", False,
    )  # fmt: skip
    assert found.score >= 70
    assert (found.action, found.path) == (3, "/a")
    assert "Mozilla" not in noted[0].decode()


async def test_a_driven_browser_and_an_odd_one(track, sent, noted):
    await track({"webdriver": True})
    assert sent == []
    await track(Sec_CH_UA='"Chromium";v="99"')
    assert len(sent) == 1
    driven, odd = detections(noted)
    assert (driven.action, driven.type, driven.reasons) == (2, "headless", ["webdriver"])
    assert (odd.action, odd.reasons) == (1, ["hints_of_another_version"])


async def test_a_rule_holds_from_its_201_and_ends_with_its_204(admin, rules, track, sent, noted):
    rule = (await (await admin.post(rules, json=RULE | {"match_value": "::ffff:127.0.0.1"})).json())["data"]
    await track()
    assert sent == []
    assert [(one.action, one.rule_id, one.score) for one in detections(noted)] == [(3, rule["id"], 100)]
    allowed = RULE | {"rule_type": "whitelist", "match_type": "user_agent", "match_value": "googleBOT"}
    await admin.post(rules, json=allowed)
    await track(User_Agent=GOOGLEBOT)
    assert len(sent) == 1
    assert HITS.item(sent[0][1]).sent_by == "", "nobody judges later whom people let in"
    await admin.delete(f"{rules}/{rule['id']}")
    await track()
    assert len(sent) == 2


async def test_a_forwarded_address_of_an_untrusted_peer_changes_nothing(admin, rules, track, sent):
    await admin.post(rules, json=RULE)
    for header in ("X_Forwarded_For", "X_Real_IP", "Forwarded"):
        await track(**{header: "for=192.0.2.7" if header == "Forwarded" else "192.0.2.7"})
    await admin.post(rules, json=RULE | {"rule_type": "whitelist", "match_value": "66.249.66.1"})
    await track(User_Agent=GOOGLEBOT, X_Forwarded_For="66.249.66.1")
    assert len(sent) == 3
    assert len({HITS.item(hit).sender for _, hit in sent}) == 1


async def test_a_rule_is_tried_on_what_came_in_before(admin, rules, track):
    for _ in range(3):
        await track()
    await track(User_Agent=GOOGLEBOT)

    async def tried(**rule):
        response = await admin.post(f"{rules.removesuffix('/rules')}/dry-run", json=rule)
        assert response.status == 200, await response.text()
        return (await response.json())["data"]

    found = await tried(match_type="ip_range", match_value="127.0.0.0/8")
    assert (found["total_requests"], found["matched_requests"], found["matched_senders"]) == (4, 4, 2)
    assert found["exact"]
    assert (await tried(match_type="ip", match_value="127.0.0.1"))["matched_requests"] == 4
    assert (await tried(match_type="ip", match_value="127.0.0.2"))["matched_requests"] == 0
    assert (await tried(match_type="ip_range", match_value="0.0.0.0/0"))["matched_requests"] == 4
    assert (await tried(match_type="ip_range", match_value="::/0"))["matched_requests"] == 0
    by_agent = await tried(match_type="user_agent", match_value="GOOGLEbot/2")
    assert (by_agent["matched_requests"], by_agent["exact"]) == (1, False)
    assert (await (await admin.get(rules)).json())["data"] == []
    await assert_error(
        await admin.post(rules.replace("/rules", "/dry-run"), json={"match_type": "user_agent", "match_value": "ab"}),
        400, "VALIDATION_ERROR", "match_value",
    )  # fmt: skip


# What was detected.


def found(website, event_id, at, **fields):
    given = {"action": 3, "score": 80, "type": "crawler", "name": "Googlebot", "reasons": ["declared"], "path": "/"}
    return Detection(
        event_id=event_id, at_ms=round(at.timestamp() * 1000), website_id=website["id"], **{**given, **fields}
    )


async def add(*detections):
    async with batch_transaction() as db:
        return await store.add_detections(db, detections)


@pytest.fixture
async def some(website):
    """Detections of the website in the last hour, one a minute, the latest first."""
    now, base = clock.now().replace(microsecond=0), website["id"] * 1000
    made = [
        found(website, base + 1, now - timedelta(minutes=1), verified=True, action=2, score=69),
        found(website, base + 2, now - timedelta(minutes=2), name="Bingbot", kind=2),
        found(website, base + 3, now - timedelta(minutes=3), type="scraper", name="", reasons=["rate"], action=2),
        found(website, base + 4, now - timedelta(minutes=4), action=1, score=35, type="suspicious", name=""),
        found(website, base + 5, now - timedelta(minutes=5), visitor="ab" * 16, rule_id=9, reasons=["rule"], score=100),
    ]
    assert await add(*made) == 5
    assert await add(*made) == 0, "told twice, stored once"
    return made


async def test_stats_say_what_was_kept_out_and_what_was_counted(admin, website, some):
    answer = await (await admin.get(f"/analytics/websites/{website['id']}/bots/stats")).json()
    assert answer["totals"] == {
        "total_requests": 4, "blocked_requests": 4, "allowed_requests": 0, "block_rate": 100.0,
    }  # fmt: skip
    assert answer["bot_types"] == {"crawler": 3, "scraper": 1}
    assert answer["top_bots"] == {"Googlebot": 2, "Bingbot": 1}
    today = datetime.fromtimestamp(clock.now().timestamp()).date()
    given = {"start_date": "2026-01-01", "end_date": "2026-01-29"}
    empty = await (await admin.get(f"/analytics/websites/{website['id']}/bots/stats", params=given)).json()
    assert empty == {
        "period": {"from": "2026-01-01", "to": "2026-01-29"},
        "totals": {"total_requests": 0, "blocked_requests": 0, "allowed_requests": 0, "block_rate": 0.0},
        "bot_types": {},
        "top_bots": {},
    }
    assert answer["period"]["to"] >= (today - timedelta(days=1)).isoformat()


async def test_detections_are_listed_latest_first_page_by_page_and_filtered(admin, website, some):
    path = f"/analytics/websites/{website['id']}/bots/detections"
    seen, cursor = [], ""
    while cursor is not None:
        page = await (await admin.get(path, params={"limit": 2, "cursor": cursor})).json()
        seen += page["data"]
        cursor = page["meta"]["next_cursor"]
    assert [one["action"] for one in seen] == ["left_out", "blocked", "left_out", "logged", "blocked"]
    assert seen[0] | {"id": 0} == {
        "id": 0, "at": clock.iso(datetime.fromtimestamp(some[0].at_ms / 1000).astimezone()), "action": "left_out",
        "score": 69, "reasons": ["declared"], "type": "crawler", "name": "Googlebot", "verified": True,
        "rule_id": None, "sender": "", "visitor_hash": None, "path": "/", "country": "", "pageviews": 1, "events": 0,
        "late": False,
    }  # fmt: skip
    for given, count in (
        ({"action": "blocked"}, 2), ({"type": "scraper"}, 1), ({"name": "Bingbot"}, 1), ({"reason": "rule"}, 1),
        ({"min_score": "70"}, 3), ({"visitor": "ab" * 16}, 1), ({"end_date": "2026-01-01"}, 0),
    ):  # fmt: skip
        assert len((await (await admin.get(path, params=given)).json())["data"]) == count, given
    await assert_error(await admin.get(path, params={"cursor": "c.AAAAAAAAA"}), 404, "NOT_FOUND")
    await assert_error(await admin.get(path, params={"visitor": "nobody"}), 400, "VALIDATION_ERROR", "visitor")


async def test_a_bot_s_hit_sent_twice_counts_once(website):
    now = clock.now()
    first, again = (found(website, website["id"] * 1000 + n, now, client_id=f"{website['id']:032x}") for n in (7, 8))
    assert await add(first) == 1
    assert await add(again) == 0
    assert await add(first) == 0


async def test_hits_of_a_sender_who_was_condemned_are_left_out_while_that_holds(website):
    now = clock.now()
    hits = [
        make_hit(website_id=website["id"], event_id=website["id"] * 1000 + n, sent_by=who, sender=who)
        for n, who in enumerate(("ab" * 8, "cd" * 8, ""))
    ]
    async with batch_transaction() as db:
        assert await store.leave_out_condemned(db, hits) == {}
        await store.condemn(db, website["id"], ["ab" * 8], "rate", now, now + timedelta(minutes=5))
        assert await store.leave_out_condemned(db, hits) == {0: "bot"}
        await db.execute("UPDATE bot_verdicts SET holds_until = now() WHERE website_id = %s", (website["id"],))
        assert await store.leave_out_condemned(db, hits) == {}
