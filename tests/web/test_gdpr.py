"""Visitors' rights over HTTP: consent, lookup, export, deletion, anonymisation, receipts and the log of it all."""

import json
from typing import Any

import psycopg
import pytest

from analytics_app.db import snapshot
from analytics_app.records import HITS
from analytics_app.verify.store import recount
from tests.traffic import load, make_traffic, utc
from tests.web.calls import Caller, assert_error

VISITOR = "visitor-1"
WEEK = {"start_date": "2026-10-01", "end_date": "2026-10-31"}


class Site:
    """A website with traffic, and one visitor of it by id and hash."""

    def __init__(self, website: dict[str, Any], caller: Caller, hash_: str) -> None:
        self.id, self.key, self.caller, self.hash = website["id"], website["pixel_key"], caller, hash_

    async def stats(self) -> bytes:
        answer = await self.caller.get(f"/analytics/websites/{self.id}/stats", params=WEEK)
        assert answer.status == 200
        return await answer.read()


@pytest.fixture
async def site(admin: Caller, database: str) -> Site:
    website = await admin.new_website()
    body = {"visitor_id": VISITOR, "pixel_key": website["pixel_key"]}
    hash_ = (await (await admin.post("/analytics/gdpr/lookup", json=body)).json())["data"]["visitor_hash"]
    traffic = make_traffic(3, sessions=60, start=utc("2026-10-02"), end=utc("2026-10-20"), website_id=website["id"])
    with psycopg.connect(database) as driver:
        load(driver, traffic)
        driver.execute(
            "UPDATE visitors SET hash = %s::uuid WHERE number = (SELECT visitor FROM sessions WHERE website_id = %s "
            "GROUP BY visitor ORDER BY count(*) DESC, visitor LIMIT 1)",
            (hash_, website["id"]),
        )
    return Site(website, admin, hash_)


def consent(website: dict[str, Any], visitor: str = VISITOR, **more: str) -> dict[str, str]:
    return {"visitor_id": visitor, "pixel_key": website["pixel_key"], **more}


async def track(nobody: Caller, website: dict[str, Any], **values: Any) -> Any:
    body = {"key": website["pixel_key"], "path": "/", "visitor_id": VISITOR, **values}
    return await nobody.post(
        "/analytics/track", json=body, headers={"User-Agent": "Mozilla/5.0 (X11; Linux) Firefox/140.0"}
    )


async def test_consent_is_given_asked_for_and_withdrawn(admin: Caller, nobody: Caller):
    website = await admin.new_website()
    asked = {"params": consent(website)}
    before = await (await nobody.get("/analytics/gdpr/consent/status", **asked)).json()
    assert before == {"consented": False, "status": "unknown", "at": None, "policy_version": None}
    given = await nobody.post("/analytics/gdpr/consent", json=consent(website, policy_version="2026-01"))
    assert (given.status, await given.json()) == (200, {"ok": True})
    now = await (await nobody.get("/analytics/gdpr/consent/status", **asked)).json()
    assert (now["consented"], now["status"], now["policy_version"]) == (True, "granted", "2026-01")
    assert now["at"].endswith("Z")
    for way in ({"json": consent(website)}, asked):
        assert await (await nobody.delete("/analytics/gdpr/consent", **way)).json() == {"ok": True}
        now = await (await nobody.get("/analytics/gdpr/consent/status", **asked)).json()
        assert (now["consented"], now["status"]) == (False, "withdrawn")


async def test_a_wrong_consent_says_what_is_wrong(admin: Caller, nobody: Caller):
    website = await admin.new_website()
    await assert_error(await nobody.post("/analytics/gdpr/consent", json={}), 400, "VALIDATION_ERROR", "visitor_id")
    await assert_error(await nobody.delete("/analytics/gdpr/consent"), 400, "VALIDATION_ERROR", "pixel_key")
    wrong = {**consent(website), "pixel_key": "nonsense"}
    await assert_error(await nobody.post("/analytics/gdpr/consent", json=wrong), 404, "NOT_FOUND")
    await assert_error(await nobody.get("/analytics/gdpr/consent/status", params=wrong), 404, "NOT_FOUND")


async def test_after_withdrawal_nothing_of_the_visitor_is_taken_and_others_are(admin: Caller, nobody: Caller, sent):
    website = await admin.new_website()
    await nobody.delete("/analytics/gdpr/consent", json=consent(website))
    answer = await track(nobody, website)
    assert (answer.status, await answer.json()) == (202, {"ok": True, "ignored": "consent_withdrawn"})
    assert sent == []
    assert (await track(nobody, website, visitor_id="another")).status == 200
    await nobody.post("/analytics/gdpr/consent", json=consent(website))
    assert (await track(nobody, website)).status == 200
    assert len(sent) == 2


async def test_a_website_that_requires_consent_takes_nobody_without(admin: Caller, nobody: Caller, sent):
    website = await admin.new_website(require_consent=True)
    answer = await track(nobody, website)
    assert (answer.status, await answer.json()) == (202, {"ok": True, "ignored": "no_consent"})
    await nobody.post("/analytics/gdpr/consent", json=consent(website))
    assert (await track(nobody, website)).status == 200
    assert (await track(nobody, website, visitor_id="another")).status == 202
    await nobody.delete("/analytics/gdpr/consent", json=consent(website))
    assert (await track(nobody, website)).status == 202
    assert len(sent) == 1


async def test_another_process_hears_of_consent_from_postgres(admin: Caller, nobody: Caller):
    from analytics_app.consents import Consents
    from analytics_app.definitions import DEFINITIONS
    from web.intake import hash_of

    website = await admin.new_website(require_consent=True)
    visitor = hash_of(DEFINITIONS.website(website["id"]), VISITOR)  # type: ignore[arg-type]
    other = Consents()
    await other.hear(0)
    await other.look_up(website["id"], visitor)
    assert not other.is_granted(website["id"], visitor)
    await nobody.post("/analytics/gdpr/consent", json=consent(website))
    async with await psycopg.AsyncConnection.connect(_database()) as driver:
        row = await (await driver.execute("SELECT id FROM consents WHERE visitor = %s::uuid", (visitor,))).fetchone()
    await other.hear(row[0])  # what the trigger's message makes it do
    assert other.is_granted(website["id"], visitor)
    await nobody.delete("/analytics/gdpr/consent", json=consent(website))
    await other.hear(row[0])
    assert other.is_withdrawn(website["id"], visitor)


def _database() -> str:
    import os

    return os.environ["ANALYTICS_DATABASE_URL"]


async def test_the_hash_of_a_lookup_is_the_one_that_is_stored(admin: Caller, nobody: Caller, sent):
    website = await admin.new_website()
    await track(nobody, website)
    found = await (await admin.post("/analytics/gdpr/lookup", json=consent(website))).json()
    assert HITS.item(sent[-1][1]).visitor == found["data"]["visitor_hash"]  # type: ignore[union-attr]
    await assert_error(await nobody.post("/analytics/gdpr/lookup", json=consent(website)), 401, "UNAUTHENTICATED")


async def test_an_export_is_one_file_with_everything(site: Site, nobody: Caller):
    await nobody.post("/analytics/gdpr/consent", json={"visitor_id": VISITOR, "pixel_key": site.key})
    answer = await site.caller.get(f"/analytics/gdpr/export/{site.hash}")
    assert answer.status == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="visitor-{site.hash}.json"'
    held = json.loads(await answer.read())
    assert held["visitor"]["visitor_hash"] == site.hash
    assert held["website_id"] == site.id
    assert len(held["sessions"]) >= 1
    assert len(held["pageviews"]) == sum(session["pageviews"] for session in held["sessions"])
    assert len(held["events"]) >= len(held["pageviews"])
    assert held["events"][0]["path"] is not None
    assert [said["status"] for said in held["consents"]] == ["granted"]


async def test_a_deletion_says_what_went_and_a_second_one_finds_nothing(site: Site, database: str):
    held = json.loads(await (await site.caller.get(f"/analytics/gdpr/export/{site.hash}")).read())
    before = json.loads(await site.stats())
    gone = await (await site.caller.delete(f"/analytics/gdpr/visitor/{site.hash}")).json()
    counts = gone["deleted_counts"]
    assert {name: counts[name] for name in ("events", "sessions", "pageviews", "visitor")} == {
        "events": len(held["events"]),
        "sessions": len(held["sessions"]),
        "pageviews": len(held["pageviews"]),
        "visitor": 1,
    }
    after = json.loads(await site.stats())
    assert after["total_pageviews"] == before["total_pageviews"] - counts["pageviews"]
    assert after["unique_visitors"] == before["unique_visitors"] - 1
    for method, path in (("DELETE", "visitor"), ("GET", "export"), ("POST", "anonymise")):
        answer = await site.caller.call(method, f"/analytics/gdpr/{path}/{site.hash}")
        await assert_error(answer, 404, "NOT_FOUND")
    receipt = (await (await site.caller.get(f"/analytics/gdpr/receipts/{gone['receipt_id']}")).json())["data"]
    assert (receipt["action"], receipt["counts"]) == ("delete", counts)
    assert receipt["topics_forgotten_at"] > receipt["requested_at"]
    async with snapshot() as db:
        assert await recount(db, bounce_engaged_s=10, website_ids=[site.id]) == []


async def test_anonymised_the_answers_stay_the_same_byte_for_byte(site: Site):
    async def answers() -> list[bytes]:
        found = [await site.stats()]
        for question in ("timeseries?metric=visitors", "breakdown?dimension=page", "breakdown?dimension=country",
                         "breakdown?dimension=browser&filter=country:is:GB"):  # fmt: skip
            joined = f"/analytics/websites/{site.id}/{question}&" + "&".join(f"{k}={v}" for k, v in WEEK.items())
            found.append(await (await site.caller.get(joined)).read())
        return found

    before = await answers()
    done = await (await site.caller.post(f"/analytics/gdpr/anonymise/{site.hash}")).json()
    assert done["ok"] is True
    assert done["anonymised_counts"]["visitor"] == 1
    assert await answers() == before
    await assert_error(await site.caller.get(f"/analytics/gdpr/export/{site.hash}"), 404, "NOT_FOUND")
    export = await (
        await site.caller.get(f"/analytics/websites/{site.id}/export", params={**WEEK, "limit": 1000})
    ).text()
    assert site.hash not in export


@pytest.mark.parametrize("hash_", ["0" * 32, "nonsense", "G" * 32, "%00", "a" * 31])
async def test_a_hash_of_nobody_is_404(admin: Caller, hash_: str):
    for method, path in (("GET", "export"), ("DELETE", "visitor"), ("POST", "anonymise")):
        await assert_error(await admin.call(method, f"/analytics/gdpr/{path}/{hash_}"), 404, "NOT_FOUND")


async def test_another_workspace_learns_and_changes_nothing(site: Site, stranger: Caller):
    for method, path in (("GET", "export"), ("DELETE", "visitor"), ("POST", "anonymise")):
        await assert_error(await stranger.call(method, f"/analytics/gdpr/{path}/{site.hash}"), 404, "NOT_FOUND")
    body = {"visitor_id": VISITOR, "pixel_key": site.key}
    await assert_error(await stranger.post("/analytics/gdpr/lookup", json=body), 404, "NOT_FOUND")
    gone = await (await site.caller.delete(f"/analytics/gdpr/visitor/{site.hash}")).json()
    receipt = f"/analytics/gdpr/receipts/{gone['receipt_id']}"
    await assert_error(await stranger.get(receipt), 404, "NOT_FOUND")


async def test_calls_are_logged_with_who_made_them_and_not_about_whom(site: Site, by_scope: dict[str, Caller]):
    await by_scope["read"].get(f"/analytics/gdpr/export/{site.hash}")
    gone = await (await by_scope["write"].delete(f"/analytics/gdpr/visitor/{site.hash}")).json()
    answer = await by_scope["admin"].get("/analytics/gdpr/audit?limit=2")
    deleted, exported = (await answer.json())["data"]
    assert (deleted["action"], deleted["token_name"], deleted["receipt_id"]) == (
        "delete", "test write", gone["receipt_id"],
    )  # fmt: skip
    assert (exported["action"], exported["website_id"], exported["receipt_id"]) == ("export", site.id, None)
    assert site.hash not in await answer.text()
    await assert_error(await by_scope["write"].get("/analytics/gdpr/audit"), 403, "FORBIDDEN")
