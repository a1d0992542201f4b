"""Goals over HTTP; the numbers themselves are counted again in the tests of the store."""

import csv
import io

import psycopg
import pytest

from analytics_app.jobs import backfilling
from tests.traffic import load, make_traffic, utc
from tests.web.calls import Caller, assert_error

START, END = utc("2026-10-20"), utc("2026-10-27")
WEEK = {"start_date": "2026-10-20", "end_date": "2026-10-26"}
GOAL = {"name": "Signup Completion", "type": "pageview", "match_type": "equals", "match_value": "/signup/complete"}
SIGNUP = {"name": "Signup", "type": "event", "match_value": "signup", "count": "every"}


class Goals:
    """A website's goals, by a caller."""

    def __init__(self, caller: Caller, website_id: int) -> None:
        self.caller, self.website_id = caller, website_id
        self.path = f"/analytics/websites/{website_id}/goals"

    async def make(self, **values):
        response = await self.caller.post(self.path, json={**GOAL, **values})
        assert response.status == 201, await response.text()
        return (await response.json())["data"]

    async def get(self, path="", **parameters):
        response = await self.caller.get(f"{self.path}{path}", params=parameters)
        assert response.status == 200, await response.text()
        return await response.json()

    async def table(self, path, **parameters):
        response = await self.caller.get(f"{self.path}{path}", params={**parameters, "format": "csv"})
        assert (response.status, response.content_type) == (200, "text/csv")
        return list(csv.reader(io.StringIO(await response.text(), newline="")))

    async def computed(self, goal):
        while (found := (await self.get(f"/{goal['id']}/backfill"))["data"])["state"] != "done":
            assert found["state"] in ("waiting", "running")
            assert await backfilling.run_once()
        return found


@pytest.fixture
async def goals(admin) -> Goals:
    return Goals(admin, (await admin.new_website())["id"])


@pytest.fixture(scope="session")
async def site(admin, database) -> Goals:
    made = Goals(admin, (await admin.new_website(name="Converting"))["id"])
    with psycopg.connect(database) as driver:
        load(driver, make_traffic(6, sessions=300, start=START, end=END, website_id=made.website_id))
    return made


async def test_a_goal_is_answered_as_the_reference_has_it_with_its_defaults(goals):
    made = await goals.make()
    assert made.items() >= GOAL.items()
    assert made == {**made, "count": "once", "value": None, "currency": None, "is_enabled": True}
    assert made["website_id"] == goals.website_id
    assert (await goals.get(f"/{made['id']}"))["data"] == made
    assert (await goals.get())["data"] == [made]


@pytest.mark.parametrize("threshold", [60, "60", 60.0, "060"])
@pytest.mark.parametrize("type_", ["duration", "pages_per_session"])
async def test_a_threshold_may_come_as_a_number_or_a_text(goals, type_, threshold):
    for given in ({"match_type": "regex"}, {"match_type": None}, {}):
        body = {"name": "A while", "type": type_, "match_value": threshold, **given}
        made = (await (await goals.caller.post(goals.path, json=body)).json())["data"]
        assert (made["match_value"], made["match_type"]) == ("60", None)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"type": "duration", "match_value": "/x"}, "match_value"),
        ({"type": "duration", "match_value": 0}, "match_value"),
        ({"type": "duration", "match_value": -5}, "match_value"),
        ({"type": "duration", "match_value": 86_401}, "match_value"),
        ({"type": "duration", "match_value": 1.5}, "match_value"),
        ({"type": "duration", "match_value": True}, "match_value"),
        ({"type": "duration", "match_value": "٣"}, "match_value"),
        ({"type": "pages_per_session", "match_value": 1_001}, "match_value"),
        ({"type": "pages_per_session", "match_value": 3, "count": "every"}, "count"),
        ({"match_value": ""}, "match_value"),
        ({"match_value": "   "}, "match_value"),
        ({"match_value": "/" * 1_001}, "match_value"),
        ({"match_value": "/a\0"}, "match_value"),
        ({"match_value": None}, "match_value"),
        ({"match_type": "like"}, "match_type"),
        ({"type": "click"}, "type"),
        ({"count": "twice"}, "count"),
        ({"name": ""}, "name"),
        ({"value": "5"}, "value"),
        ({"value": 1e15}, "value"),
        ({"value": -1}, "value"),
        ({"currency": "EURO"}, "currency"),
        ({"is_enabled": 1}, "is_enabled"),
    ],
)
async def test_what_makes_no_goal_is_refused_and_says_where(goals, values, field):
    await assert_error(await goals.caller.post(goals.path, json={**GOAL, **values}), 400, "VALIDATION_ERROR", field)
    made = await goals.make()
    await assert_error(
        await goals.caller.put(f"{goals.path}/{made['id']}", json={**GOAL, **values}), 400, "VALIDATION_ERROR", field
    )


async def test_all_faults_are_told_at_once(goals):
    response = await goals.caller.post(goals.path, json={"type": "duration", "match_value": "x", "count": "every"})
    body = await assert_error(response, 400, "VALIDATION_ERROR")
    assert {fault["field"] for fault in body["details"]} == {"name", "match_value", "count"}


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("^/a(b", "missing ): ^/a(b"),
        ("/x[z-a]", "invalid character class range: z-a (at character 4)"),
        ("(?=x)", "invalid perl operator: (?= (at character 1)"),
        ("a**", "bad repetition operator: ** (at character 2)"),
    ],
)
async def test_an_expression_that_is_none_is_refused_and_says_where(goals, pattern, told):
    given = {**GOAL, "match_type": "regex", "match_value": pattern}
    body = await assert_error(await goals.caller.post(goals.path, json=given), 400, "VALIDATION_ERROR", "match_value")
    assert body["details"][0]["message"] == f"not a valid regular expression: {told}"


async def test_a_page_is_compared_as_it_is_stored(goals):
    made = await goals.make(match_value="https://example.com/thanks?utm_source=x#top")
    assert made["match_value"] == "/thanks"
    made = await goals.make(match_type="contains", match_value="thanks?a=1")
    assert made["match_value"] == "thanks?a=1"


async def test_put_replaces_and_patch_changes(goals):
    made = await goals.make(value=5, currency="EUR")
    path = f"{goals.path}/{made['id']}"
    changed = (await (await goals.caller.patch(path, json={"name": "Renamed", "value": 7.25})).json())["data"]
    assert changed == {**made, "name": "Renamed", "value": 7.25, "updated_at": changed["updated_at"]}
    changed = (await (await goals.caller.patch(path, json={"type": "duration", "match_value": 30})).json())["data"]
    assert (changed["type"], changed["match_type"], changed["match_value"]) == ("duration", None, "30")
    refused = await goals.caller.patch(path, json={"match_value": "/x"})
    await assert_error(refused, 400, "VALIDATION_ERROR", "match_value")
    replaced = (await (await goals.caller.put(path, json=GOAL)).json())["data"]
    assert (replaced["value"], replaced["currency"], replaced["type"]) == (None, None, "pageview")
    assert (await goals.caller.delete(path)).status == 204
    await assert_error(await goals.caller.get(path), 404, "NOT_FOUND")
    await assert_error(await goals.caller.delete(path), 404, "NOT_FOUND")
    assert (await goals.get())["data"] == []


async def test_only_a_change_of_what_is_looked_for_computes_a_goal_anew(goals):
    made = await goals.make()
    path = f"{goals.path}/{made['id']}"
    for values, state in (
        ({"name": "Renamed", "value": 3, "currency": "GBP"}, "done"),
        ({"match_value": GOAL["match_value"]}, "done"),
        ({"match_value": "/other"}, "waiting"),
        ({"count": "every"}, "waiting"),
        ({"is_enabled": False}, "done"),
        ({"is_enabled": True}, "waiting"),
    ):
        await goals.computed(made)
        assert (await goals.caller.patch(path, json=values)).status == 200
        assert (await goals.get(f"/{made['id']}/backfill"))["data"]["state"] == state


async def test_goals_are_listed_in_pages(goals):
    made = [(await goals.make(name=f"Goal {number}"))["id"] for number in range(5)]
    found, cursor = [], ""
    while cursor is not None:
        page = await goals.get(limit=2, cursor=cursor)
        found += [one["id"] for one in page["data"]]
        cursor = page["meta"]["next_cursor"]
    assert found == made


async def test_a_foreign_websites_goals_are_not_found_by_any_way(goals, admin, stranger):
    made = await goals.make()
    other = Goals(admin, (await admin.new_website())["id"])
    for caller, path in ((stranger, goals.path), (admin, other.path)):
        for method, rest, body in (
            ("GET", "", None),
            ("PUT", "", GOAL),
            ("PATCH", "", {"name": "Mine"}),
            ("DELETE", "", None),
            ("GET", "/conversions", None),
            ("GET", "/conversions/stats", None),
            ("GET", "/backfill", None),
            ("POST", "/backfill", None),
        ):
            response = await caller.call(method, f"{path}/{made['id']}{rest}", json=body)
            await assert_error(response, 404, "NOT_FOUND")
    await assert_error(await stranger.get(goals.path), 404, "NOT_FOUND")
    await assert_error(await stranger.post(goals.path, json=GOAL), 404, "NOT_FOUND")
    assert (await goals.get(f"/{made['id']}"))["data"] == made


async def test_a_goal_without_conversions_has_numbers_all_the_same(goals):
    made = await goals.make()
    found = await goals.get(f"/{made['id']}/conversions/stats")
    assert found.pop("period")
    assert found == {
        "total_conversions": 0, "conversion_rate": 0.0, "total_value": 0.0, "average_value": 0.0, "currency": None,
        "converted_visitors": 0, "unique_visitors": 0, "values": [],
    }  # fmt: skip
    assert await goals.get(f"/{made['id']}/conversions") == {"data": [], "meta": {"next_cursor": None}}


async def test_a_goal_is_computed_over_what_was_stored_before_it(site):
    made = await site.make(**SIGNUP)
    done = await site.computed(made)
    assert (done["percent"], done["done"], done["error"]) == (100.0, done["total"], None)
    assert done["total"] > 300
    found = await site.get(f"/{made['id']}/conversions/stats", **WEEK, compare="previous_period")
    stats = await (await site.caller.get(f"/analytics/websites/{site.website_id}/stats", params=WEEK)).json()
    assert found["unique_visitors"] == stats["unique_visitors"]
    assert 0 < found["converted_visitors"] <= found["total_conversions"]
    assert found["conversion_rate"] == round(100 * found["converted_visitors"] / stats["unique_visitors"], 2)
    assert found["previous"]["total_conversions"] == 0
    assert set(found["previous"]) == set(found) - {"previous"}
    totals = {one["currency"]: one["total_value"] for one in found["values"]}
    assert found["total_value"] == totals[found["currency"]] > 0
    fewer = await site.get(f"/{made['id']}/conversions/stats", **WEEK, filter="country:is:GB")
    assert 0 < fewer["total_conversions"] < found["total_conversions"]


async def test_a_fixed_value_acts_on_every_conversion_at_once(site):
    made = await site.make(**SIGNUP, value=2.5, currency="GBP")
    await site.computed(made)
    path = f"/{made['id']}/conversions"
    found = await site.get(f"{path}/stats", **WEEK)
    assert found["total_value"] == 2.5 * found["total_conversions"]
    assert (found["average_value"], found["currency"]) == (2.5, "GBP")
    await site.caller.patch(f"{site.path}/{made['id']}", json={"value": 4})
    assert (await site.get(f"{path}/stats", **WEEK))["average_value"] == 4.0
    assert {(one["value"], one["currency"]) for one in (await site.get(path, **WEEK))["data"]} == {(4.0, "GBP")}


async def test_conversions_are_listed_in_pages_and_as_csv(site):
    made = await site.make(**SIGNUP)
    await site.computed(made)
    path, whole, cursor = f"/{made['id']}/conversions", [], ""
    while cursor is not None:
        page = await site.get(path, **WEEK, limit=7, cursor=cursor)
        whole += page["data"]
        cursor = page["meta"]["next_cursor"]
    total = (await site.get(f"{path}/stats", **WEEK))["total_conversions"]
    assert len(whole) == len({one["event_id"] for one in whole}) == total
    assert [one["converted_at"] for one in whole] == sorted((one["converted_at"] for one in whole), reverse=True)
    head, *lines = await site.table(path, **WEEK)
    assert head == list(whole[0])
    assert [line[head.index("event_id")] for line in lines] == [str(one["event_id"]) for one in whole]
    head, line = await site.table(f"{path}/stats", **WEEK)
    assert dict(zip(head, line, strict=True))["total_conversions"] == str(total)


@pytest.mark.parametrize("cursor", ["c.xxxxxxxx", "nonsense", "c." + "A" * 40])
async def test_a_cursor_of_no_list_is_refused(site, cursor):
    made = await site.make()
    response = await site.caller.get(f"{site.path}/{made['id']}/conversions", params={"cursor": cursor})
    assert response.status in (400, 404)


async def test_a_website_has_only_so_many_goals(goals, monkeypatch):
    import web.goals

    monkeypatch.setattr(web.goals, "MOST_GOALS", 2)
    await goals.make()
    await goals.make()
    await assert_error(await goals.caller.post(goals.path, json=GOAL), 409, "CONFLICT")


async def test_the_largest_value_is_taken_to_the_cent(admin: Caller):
    site = (await admin.new_website())["id"]
    body = {"name": "Sold", "type": "pageview", "match_value": "/sold", "value": 99999999999999.98, "currency": "EUR"}
    made = await admin.post(f"/analytics/websites/{site}/goals", json=body)
    assert made.status == 201, await made.text()
    assert (await made.json())["data"]["value"] == 99999999999999.98
