"""The reference's section A/B Experiments: management, moves, results."""

import asyncio
import itertools
import time
from typing import Any

import orjson
import pytest

from analytics_app.records import EXPOSURES, HITS
from tests.web.calls import Caller, assert_error, new_experiment

_visitors = itertools.count()


def at(website: dict[str, Any], experiment_id: int = 0, rest: str = "") -> str:
    path = f"/analytics/websites/{website['id']}/experiments"
    return f"{path}/{experiment_id}{rest}" if experiment_id else path


async def data(response: Any, status: int = 200) -> Any:
    assert response.status == status, await response.text()
    return (await response.json())["data"]


@pytest.fixture
async def website(admin: Caller) -> dict[str, Any]:
    return await admin.new_website()


# Experiments.


async def test_an_experiment_is_made_as_the_reference_says(admin: Caller, website):
    body = {"name": "Button Colour Test", "goal_type": "pageview", "goal_value": "/signup/complete"}
    made = await data(await admin.post(at(website), json={**body, "traffic_percentage": 100}), 201)
    assert {name: made[name] for name in body} == body
    assert (made["status"], made["traffic_percentage"], made["variants"]) == ("draft", 100, [])
    assert (made["started_at"], made["stopped_at"], made["website_id"]) == (None, None, website["id"])
    assert await data(await admin.get(at(website, made["id"]))) == made


async def test_what_is_left_out_goes_back_to_its_default_by_put_and_stays_by_patch(admin: Caller, website):
    experiment_id, _ = await new_experiment(admin, website["id"], traffic_percentage=40)
    patched = await data(await admin.patch(at(website, experiment_id), json={"name": "Renamed"}))
    assert (patched["name"], patched["traffic_percentage"], patched["goal_value"]) == ("Renamed", 40, "/done")
    body = {"name": "Whole", "goal_type": "event", "goal_value": "signup"}
    put = await data(await admin.put(at(website, experiment_id), json=body))
    assert (put["traffic_percentage"], put["goal_type"], put["goal_value"]) == (100, "event", "signup")
    changed = await data(await admin.patch(at(website, experiment_id), json={"goal_type": "pageview"}))
    assert changed["goal_value"] == "/signup", "a page begins with a slash"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"goal_type": "click"}, "goal_type"),
        ({"goal_value": " "}, "goal_value"),
        ({"traffic_percentage": 101}, "traffic_percentage"),
        ({"traffic_percentage": -1}, "traffic_percentage"),
        ({"traffic_percentage": 10.5}, "traffic_percentage"),
        ({"traffic_percentage": "50"}, "traffic_percentage"),
    ],
)
async def test_what_cannot_be_meant_is_refused(admin: Caller, website, change, field):
    body = {"name": "A test", "goal_type": "event", "goal_value": "signup", **change}
    await assert_error(await admin.post(at(website), json=body), 400, "VALIDATION_ERROR", field)


async def test_experiments_are_listed_in_pages_and_by_status(admin: Caller, website):
    ids = [(await new_experiment(admin, website["id"], start=number == 1))[0] for number in range(3)]
    first = await (await admin.get(at(website) + "?limit=2")).json()
    assert [one["id"] for one in first["data"]] == ids[:2]
    assert [len(one["variants"]) for one in first["data"]] == [2, 2]
    rest = await (await admin.get(f"{at(website)}?limit=2&cursor={first['meta']['next_cursor']}")).json()
    assert ([one["id"] for one in rest["data"]], rest["meta"]["next_cursor"]) == (ids[2:], None)
    running = await (await admin.get(at(website) + "?status=running")).json()
    assert [one["id"] for one in running["data"]] == [ids[1]]


async def test_an_experiment_that_is_deleted_is_gone(admin: Caller, nobody: Caller, website):
    experiment_id, variants = await new_experiment(admin, website["id"], start=True)
    assert (await admin.delete(at(website, experiment_id))).status == 204
    for path in ("", "/results", "/variants", f"/variants/{variants[0]}", "/results/stream"):
        await assert_error(await admin.get(at(website, experiment_id, path)), 404, "NOT_FOUND")
    await assert_error(await admin.delete(at(website, experiment_id)), 404, "NOT_FOUND")
    shown = await nobody.get(f"/analytics/experiment/variant?experiment_id={experiment_id}&visitor_id=v")
    await assert_error(shown, 404, "NOT_FOUND")


# Foreign ids.


async def test_another_workspaces_experiments_are_not_there(admin: Caller, stranger: Caller, website):
    experiment_id, variants = await new_experiment(admin, website["id"])
    own = await stranger.new_website()
    body = {"name": "A", "goal_type": "event", "goal_value": "b"}
    for place in (website, own):
        for method, rest, sent in (
            ("GET", "", None), ("PUT", "", body), ("PATCH", "", {}), ("DELETE", "", None), ("POST", "/start", None),
            ("POST", "/pause", None), ("POST", "/stop", None), ("GET", "/results", None),
            ("GET", "/results/stream", None), ("GET", "/variants", None), ("POST", "/variants", {"name": "A"}),
            ("GET", f"/variants/{variants[0]}", None), ("PUT", f"/variants/{variants[0]}", {"name": "A"}),
            ("PATCH", f"/variants/{variants[0]}", {}), ("DELETE", f"/variants/{variants[0]}", None),
        ):  # fmt: skip
            response = await stranger.call(method, at(place, experiment_id, rest), json=sent)
            await assert_error(response, 404, "NOT_FOUND")
    assert len((await data(await admin.get(at(website, experiment_id))))["variants"]) == 2


async def test_a_variant_of_another_experiment_is_not_there(admin: Caller, website):
    experiment_id, _ = await new_experiment(admin, website["id"])
    _, others = await new_experiment(admin, website["id"])
    for method, sent in (("GET", None), ("PUT", {"name": "A"}), ("PATCH", {"name": "A"}), ("DELETE", None)):
        response = await admin.call(method, at(website, experiment_id, f"/variants/{others[0]}"), json=sent)
        await assert_error(response, 404, "NOT_FOUND")


# Variants.


async def test_a_variant_is_added_changed_and_deleted(admin: Caller, website):
    experiment_id, _ = await new_experiment(admin, website["id"])
    body = {"name": "Red", "is_control": False, "weight": 25, "config": {"b": [1, {"c": None}], "a": "é"}}
    variant = await data(await admin.post(at(website, experiment_id, "/variants"), json=body), 201)
    assert {name: variant[name] for name in body} == body
    assert list(variant["config"]) == ["b", "a"], "in the order that it was given in"
    path = at(website, experiment_id, f"/variants/{variant['id']}")
    assert await data(await admin.get(path)) == variant
    changed = await data(await admin.patch(path, json={"weight": 30}))
    assert (changed["weight"], changed["config"]) == (30, body["config"])
    changed = await data(await admin.put(path, json={"name": "Plain"}))
    assert (changed["name"], changed["weight"], changed["config"]) == ("Plain", 50, {})
    assert (await admin.delete(path)).status == 204
    await assert_error(await admin.get(path), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"weight": 0}, "weight"),
        ({"weight": -5}, "weight"),
        ({"weight": 1_000_001}, "weight"),
        ({"config": []}, "config"),
        ({"config": "x"}, "config"),
        ({"config": {"long": "x" * 10_000}}, "config"),
        ({"config": {"a": [2**64]}}, "config"),
        ({"config": {"a": ["\0"]}}, "config"),
        ({"config": {"\0": 1}}, "config"),
        ({"is_control": "yes"}, "is_control"),
        ({"name": "x" * 201}, "name"),
    ],
)
async def test_a_variant_that_cannot_be_meant_is_refused(admin: Caller, website, change, field):
    experiment_id, _ = await new_experiment(admin, website["id"])
    response = await admin.post(at(website, experiment_id, "/variants"), json={"name": "Red", **change})
    await assert_error(response, 400, "VALIDATION_ERROR", field)


async def test_an_experiment_has_at_most_twenty_variants(admin: Caller, website):
    experiment_id, _ = await new_experiment(admin, website["id"])
    for number in range(18):
        await data(await admin.post(at(website, experiment_id, "/variants"), json={"name": f"{number}"}), 201)
    response = await admin.post(at(website, experiment_id, "/variants"), json={"name": "One more"})
    await assert_error(response, 409, "CONFLICT")


# The moves.


async def test_an_experiment_is_started_paused_started_again_and_stopped(admin: Caller, website):
    experiment_id, _ = await new_experiment(admin, website["id"])
    seen = []
    for move in ("start", "pause", "start", "stop"):
        moved = await data(await admin.post(at(website, experiment_id, f"/{move}")))
        seen.append((moved["status"], moved["started_at"] is not None, moved["stopped_at"] is not None))
    assert seen == [
        ("running", True, False), ("paused", True, False), ("running", True, False), ("stopped", True, True),
    ]  # fmt: skip


async def test_wrong_moves_are_conflicts(admin: Caller, website):
    experiment_id, _ = await new_experiment(admin, website["id"])
    for wrong, then in (
        (("pause", "stop"), "start"), (("start",), "pause"), (("pause",), "stop"), (("start", "pause", "stop"), None),
    ):  # fmt: skip
        for move in wrong:
            await assert_error(await admin.post(at(website, experiment_id, f"/{move}")), 409, "CONFLICT")
        if then:
            await data(await admin.post(at(website, experiment_id, f"/{then}")))


async def test_a_start_needs_two_variants_and_one_control(admin: Caller, website):
    body = {"name": "A test", "goal_type": "event", "goal_value": "signup"}
    experiment_id = (await data(await admin.post(at(website), json=body), 201))["id"]
    variants = at(website, experiment_id, "/variants")
    for name, is_control, status in (("A", True, 409), ("B", True, 409)):
        await data(await admin.post(variants, json={"name": name, "is_control": is_control}), 201)
        await assert_error(await admin.post(at(website, experiment_id, "/start")), status, "CONFLICT")
    second = (await data(await admin.get(at(website, experiment_id))))["variants"][1]
    await data(await admin.patch(f"{variants}/{second['id']}", json={"is_control": False}))
    assert (await admin.post(at(website, experiment_id, "/start"))).status == 200


async def test_once_started_variants_and_goal_stay_and_traffic_only_grows(admin: Caller, website):
    experiment_id, (_, blue) = await new_experiment(admin, website["id"], start=True, traffic_percentage=10)
    one = at(website, experiment_id, f"/variants/{blue}")
    for method, path, sent in (
        ("POST", at(website, experiment_id, "/variants"), {"name": "Late"}),
        ("PUT", one, {"name": "Other"}),
        ("PATCH", one, {"weight": 1}),
        ("PATCH", one, {"is_control": True}),
        ("DELETE", one, None),
        ("PATCH", at(website, experiment_id), {"goal_value": "/other"}),
        ("PATCH", at(website, experiment_id), {"traffic_percentage": 5}),
        ("PUT", at(website, experiment_id), {"name": "A", "goal_type": "event", "goal_value": "/done"}),
    ):
        await assert_error(await admin.call(method, path, json=sent), 409, "CONFLICT")
    grown = await data(await admin.patch(at(website, experiment_id), json={"traffic_percentage": 50, "name": "New"}))
    assert (grown["traffic_percentage"], grown["name"]) == (50, "New")
    assert (await data(await admin.get(one)))["weight"] == 50


async def test_two_starts_at_once_are_one_start(admin: Caller, website):
    experiment_id, _ = await new_experiment(admin, website["id"])
    starts = await asyncio.gather(*(admin.post(at(website, experiment_id, "/start")) for _ in range(5)))
    assert sorted(one.status for one in starts) == [200, 409, 409, 409, 409]


# Results, from requests to numbers.


@pytest.fixture
async def deliver(sent, monkeypatch):
    """Store what the edges were given, as the workers would."""
    from agents import experiments as exposures_agent
    from agents import sessions as sessions_agent
    from analytics_app.db import batch_transaction

    async def nothing(_: Any) -> None:
        """Nobody is told who was seen."""

    monkeypatch.setattr(sessions_agent, "_tell", nothing)

    async def store() -> None:
        said = [value for _, value in sent]
        sent.clear()
        exposures = [EXPOSURES.item(value) for value in said if b'"experiment_id"' in value]
        hits = [HITS.item(value) for value in said if b'"experiment_id"' not in value]
        async with batch_transaction() as db:
            await exposures_agent.write(db, exposures, [0] * len(exposures))
        if hits:
            async with batch_transaction() as db:
                await sessions_agent.write(db, hits, [0] * len(hits))

    return store


class Site:
    """A website with a running experiment, and its visitors."""

    def __init__(self, admin: Caller, nobody: Caller, website: dict[str, Any], experiment_id: int) -> None:
        self.admin, self.nobody, self.website, self.id = admin, nobody, website, experiment_id

    async def see(self, visitor: str, **more: Any) -> int:
        """The visitor asks for a variant; returns which is shown."""
        given = {"experiment_id": self.id, "visitor_id": visitor, **more}
        response = await self.nobody.get("/analytics/experiment/variant", params=given, headers=BROWSER)
        assert response.status == 200
        found = await response.json()
        assert found["in_experiment"], found
        return found["variant_id"]

    async def view(self, visitor: str, path: str = "/done", **more: Any) -> None:
        """The visitor sees a page."""
        body = {"key": self.website["pixel_key"], "visitor_id": visitor, "path": path, **more}
        response = await self.nobody.post("/analytics/track", json=body, headers=BROWSER)
        assert response.status == 200

    async def results(self) -> dict[str, Any]:
        from web.experiment_results import RESULTS

        RESULTS._kept.clear()
        response = await self.admin.get(at(self.website, self.id, "/results"))
        assert response.status == 200, await response.text()
        return await response.json()


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
BROWSER = {"User-Agent": CHROME}


def visitors(count: int) -> list[str]:
    return [f"visitor-{next(_visitors)}" for _ in range(count)]


@pytest.fixture
async def site(admin: Caller, nobody: Caller, website) -> Site:
    experiment_id, _ = await new_experiment(admin, website["id"], start=True)
    return Site(admin, nobody, website, experiment_id)


async def test_who_converts_after_the_first_exposure_counts_once(site: Site, deliver):
    early, late, again, never, other = visitors(5)
    await site.view(early)
    await asyncio.sleep(0.01)
    shown = [await site.see(visitor) for visitor in (early, late, again, never, other)]
    await asyncio.sleep(0.01)
    await site.view(late)
    await site.view(again)
    await site.view(again)
    await site.view(other, "/elsewhere")
    await site.view(other, "/done/too")
    await site.view("a stranger")
    await deliver()
    found = await site.results()
    assert found["metrics"] == {"total_visitors": 5, "total_conversions": 2, "overall_conversion_rate": 40.0}
    lines = found["analysis"]["results"]
    for variant_id in set(shown):
        line = lines[str(variant_id)]
        assert line["visitors"] == shown.count(variant_id)
        assert line["conversions"] == sum(shown[place] == variant_id for place in (1, 2))
    await site.view(early)
    await deliver()
    assert (await site.results())["metrics"]["total_conversions"] == 3, "again, after the exposure"


@pytest.mark.parametrize(
    ("goal", "meets", "misses"),
    [
        ({"goal_type": "pageview", "goal_value": "/shop/*/done"}, {"path": "/shop/a/b/done"}, {"path": "/shop/done"}),
        ({"goal_type": "pageview", "goal_value": "/a_b%"}, {"path": "/a_b%"}, {"path": "/axb1"}),
        (
            {"goal_type": "event", "goal_value": "sign*"},
            {"type": "event", "name": "signup", "path": "/"},
            {"type": "pageview", "path": "/signup"},
        ),
        (
            {"goal_type": "event", "goal_value": "buy"},
            {"type": "custom", "name": "buy", "path": "/"},
            {"type": "event", "name": "buyer", "path": "/"},
        ),
    ],
)
async def test_what_meets_a_goal(admin: Caller, nobody: Caller, website, deliver, goal, meets, misses):
    experiment_id, _ = await new_experiment(admin, website["id"], start=True, **goal)
    site = Site(admin, nobody, website, experiment_id)
    one, other = visitors(2)
    for visitor, view in ((one, meets), (other, misses)):
        await site.see(visitor)
        await asyncio.sleep(0.005)
        await site.view(visitor, **view)
    await deliver()
    assert (await site.results())["metrics"]["total_conversions"] == 1


async def test_who_saw_two_variants_is_left_out_and_counted(site: Site, admin: Caller, deliver):
    one, two, forced = visitors(3)
    variants = [one["id"] for one in (await data(await admin.get(at(site.website, site.id))))["variants"]]
    for visitor in (one, two, forced):
        await site.see(visitor)
        await site.view(visitor)
    seen = await site.see(forced)
    other = next(id_ for id_ in variants if id_ != seen)
    assert await site.see(forced, variant_id=other) == other
    body = {"key": site.website["pixel_key"], "experiment_id": site.id, "visitor_id": two}
    for variant_id in variants:
        told = await site.nobody.post(
            "/analytics/experiment/exposure", json={**body, "variant_id": variant_id}, headers=BROWSER
        )
        assert (told.status, await told.json()) == (200, {"ok": True})
    await deliver()
    found = await site.results()
    assert found["health"]["multiple_exposures"] == 2
    assert found["metrics"]["total_visitors"] == 1


async def test_what_happens_after_the_stop_changes_nothing(site: Site, admin: Caller, deliver):
    one, two = visitors(2)
    for visitor in (one, two):
        await site.see(visitor)
    await asyncio.sleep(0.005)
    await site.view(one)
    await data(await admin.post(at(site.website, site.id, "/stop")))
    await asyncio.sleep(0.005)
    await site.view(two)
    await deliver()
    found = await site.results()
    assert (found["metrics"]["total_visitors"], found["metrics"]["total_conversions"]) == (2, 1)


async def test_who_was_in_it_can_convert_while_it_is_paused(site: Site, admin: Caller, deliver):
    (one,) = visitors(1)
    await site.see(one)
    await data(await admin.post(at(site.website, site.id, "/pause")))
    await asyncio.sleep(0.005)
    await site.view(one)
    await deliver()
    assert (await site.results())["metrics"]["total_conversions"] == 1


async def test_the_trend_ends_where_the_results_stand(site: Site, admin: Caller, deliver):
    seen = visitors(6)
    shown = [await site.see(visitor) for visitor in seen]
    await asyncio.sleep(0.01)
    await site.view(seen[0])
    await deliver()
    found = (await site.results())["analysis"]["results"]
    for interval in ("hour", "day", "week", "month"):
        query = f"interval={interval}&timezone=Asia/Kathmandu"
        trend = await (await admin.get(at(site.website, site.id, f"/results/trend?{query}"))).json()
        last = trend[max(trend)]
        assert set(last) == set(found)
        for variant_id, point in last.items():
            line = found[variant_id]
            assert [point["total_visitors"], point["total_conversions"]] == [line["visitors"], line["conversions"]]
            assert point["conversion_rate"] == line["conversion_rate"]
            assert sum(one[variant_id]["visitors"] for one in trend.values()) == shown.count(int(variant_id))
    draft, _ = await new_experiment(admin, site.website["id"])
    assert await (await admin.get(at(site.website, draft, "/results/trend"))).json() == {}
    await assert_error(
        await admin.get(at(site.website, site.id, "/results/trend?interval=year&timezone=Mars")),
        400,
        "VALIDATION_ERROR",
    )


async def test_results_are_pushed_as_they_change(site: Site, deliver):
    response = await site.admin.client.get(
        at(site.website, site.id, "/results/stream"), headers={"Authorization": f"Bearer {site.admin.token}"}
    )
    try:
        assert response.headers["Content-Type"] == "text/event-stream"

        async def told() -> dict[str, Any]:
            while True:
                line = await asyncio.wait_for(response.content.readline(), 5)
                if line.startswith(b"data: "):
                    return orjson.loads(line[6:])

        assert (await told())["metrics"]["total_visitors"] == 0
        await site.see(visitors(1)[0])
        await deliver()
        began = time.monotonic()
        while (await told())["metrics"]["total_visitors"] != 1:
            assert time.monotonic() - began < 5
    finally:
        response.close()


async def test_whoever_asks_at_once_is_answered_from_one_count(site: Site, monkeypatch):
    from analytics_app.experiments import exposures_store
    from web.experiment_results import RESULTS

    RESULTS._kept.clear()
    counted, tally = [], exposures_store.tally

    async def counting(*given: Any) -> Any:
        counted.append(given)
        return await tally(*given)

    monkeypatch.setattr(exposures_store, "tally", counting)
    answers = await asyncio.gather(*(site.admin.get(at(site.website, site.id, "/results")) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert len(counted) == 1
