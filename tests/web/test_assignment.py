"""What pages ask and tell of experiments."""

import asyncio
from typing import Any

import pytest

from analytics_app.errors import RateLimited, Unavailable
from analytics_app.records import EXPOSURES
from tests.web.calls import Caller, assert_error, new_experiment
from tests.web.test_experiments import BROWSER, at, visitors

BOT = {"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}


@pytest.fixture
async def running(admin: Caller) -> tuple[dict[str, Any], int, list[int]]:
    """A website, its running experiment, and the ids of the variants, the control first."""
    website = await admin.new_website()
    return website, *await new_experiment(admin, website["id"], start=True)


async def ask(nobody: Caller, experiment_id: Any, visitor: str, headers: Any = BROWSER, **more: Any) -> Any:
    given = {"experiment_id": experiment_id, "visitor_id": visitor, **more}
    return await nobody.get("/analytics/experiment/variant", params=given, headers=headers)


async def shown(nobody: Caller, experiment_id: Any, visitor: str, headers: Any = BROWSER, **more: Any) -> Any:
    response = await ask(nobody, experiment_id, visitor, headers, **more)
    assert response.status == 200, await response.text()
    found = await response.json()
    assert set(found) == {"variant_id", "variant_name", "config", "in_experiment"}
    return found


async def outside(nobody: Caller, running: Any, visitor: str, headers: Any = BROWSER) -> None:
    """The visitor sees the control and is not counted."""
    _, experiment_id, (control, _) = running
    found = await shown(nobody, experiment_id, visitor, headers)
    assert found == {
        "variant_id": control, "variant_name": "Control", "config": {"button": "Control"}, "in_experiment": False,
    }  # fmt: skip


async def in_the_blue(nobody: Caller, experiment_id: int, blue: int) -> str:
    """A visitor who is shown the second variant."""
    while (await shown(nobody, experiment_id, visitor := visitors(1)[0]))["variant_id"] != blue:
        pass
    return visitor


async def test_a_variant_is_answered_as_the_reference_says(nobody: Caller, running, sent):
    _, experiment_id, (_, blue) = running
    visitor = await in_the_blue(nobody, experiment_id, blue)
    assert await shown(nobody, experiment_id, visitor) == {
        "variant_id": blue, "variant_name": "Blue Button", "config": {"button": "Blue Button"}, "in_experiment": True,
    }  # fmt: skip


async def test_the_first_asking_is_the_exposure_and_the_later_ones_cost_nothing(nobody: Caller, running, sent):
    website, experiment_id, variants = running
    visitor = visitors(1)[0]
    found = [await shown(nobody, experiment_id, visitor) for _ in range(5)]
    assert all(one == found[0] for one in found)
    ((key, value),) = sent
    exposure = EXPOSURES.item(value)
    assert (exposure.experiment_id, exposure.website_id) == (experiment_id, website["id"])
    assert exposure.variant_id == found[0]["variant_id"] in variants
    assert key == exposure.visitor
    assert visitor.encode() not in value, "a visitor's id reaches no topic"


async def test_the_visitor_is_the_one_that_is_tracked(nobody: Caller, running, sent):
    from analytics_app.records import HITS

    website, experiment_id, _ = running
    visitor = visitors(1)[0]
    await shown(nobody, experiment_id, visitor)
    body = {"key": website["pixel_key"], "visitor_id": visitor, "path": "/"}
    await nobody.post("/analytics/track", json=body, headers=BROWSER)
    (_, exposure), (_, hit) = sent
    assert EXPOSURES.item(exposure).visitor == HITS.item(hit).visitor


async def test_any_page_may_ask_and_a_browser_keeps_the_answer_for_its_visitor_alone(nobody: Caller, running, sent):
    _, experiment_id, _ = running
    visitor = visitors(1)[0]
    response = await ask(nobody, experiment_id, visitor)
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Cache-Control"] == "private, max-age=1"
    assert {"DNT", "Sec-GPC"} <= set(response.headers["Vary"].split(", "))
    again = await ask(nobody, experiment_id, visitor, {**BROWSER, "If-None-Match": response.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    preflight = await nobody.call("OPTIONS", "/analytics/experiment/variant")
    assert preflight.status == 204


@pytest.mark.parametrize("experiment_id", ["0", "2147483647", "-1", "abc", "1.0", "9" * 30, "٣"])
async def test_an_unknown_experiment_is_404(nobody: Caller, experiment_id):
    await assert_error(await ask(nobody, experiment_id, "v"), 404, "NOT_FOUND")


async def test_without_a_visitor_it_is_400(nobody: Caller, running):
    _, experiment_id, _ = running
    path = f"/analytics/experiment/variant?experiment_id={experiment_id}"
    for query in ("", "&visitor_id="):
        await assert_error(await nobody.get(path + query), 400, "VALIDATION_ERROR", "visitor_id")
    await assert_error(await nobody.get("/analytics/experiment/variant"), 400, "VALIDATION_ERROR", "experiment_id")


async def test_an_experiment_can_be_asked_for_on_every_process_when_it_is_made(admin: Caller, nobody: Caller):
    from analytics_app.definitions import DEFINITIONS

    website = await admin.new_website()
    experiment_id, _ = await new_experiment(admin, website["id"], start=True)
    held = DEFINITIONS.snapshot
    for kind, of_websites in held.of_websites.items():  # as if another process had made it a moment ago
        of_websites.pop(website["id"], None) if kind == "experiments" and isinstance(of_websites, dict) else None
    from web.known_experiments import KNOWN

    KNOWN._made_of = None
    assert (await shown(nobody, experiment_id, visitors(1)[0]))["in_experiment"]


async def test_an_experiment_without_variants_shows_nothing(admin: Caller, nobody: Caller):
    website = await admin.new_website()
    body = {"name": "A test", "goal_type": "event", "goal_value": "signup"}
    made = (await (await admin.post(at(website), json=body)).json())["data"]
    assert await shown(nobody, made["id"], "v") == {
        "variant_id": None, "variant_name": None, "config": {}, "in_experiment": False,
    }  # fmt: skip


async def test_while_it_does_not_run_everybody_sees_the_control(admin: Caller, nobody: Caller, sent):
    website = await admin.new_website()
    experiment_id, variants = await new_experiment(admin, website["id"])
    made = website, experiment_id, variants
    visitor = visitors(1)[0]
    await outside(nobody, made, visitor)
    await admin.post(at(website, experiment_id, "/start"))
    blue = await in_the_blue(nobody, experiment_id, variants[1])
    for move in ("pause", "stop"):
        await admin.post(at(website, experiment_id, f"/{move}"))
        sent.clear()
        await outside(nobody, made, blue)
        assert sent == []


async def test_outside_the_traffic_is_the_control(admin: Caller, nobody: Caller, sent):
    website = await admin.new_website()
    made = website, *await new_experiment(admin, website["id"], start=True, traffic_percentage=0)
    await outside(nobody, made, visitors(1)[0])
    assert sent == []


@pytest.mark.parametrize(
    "headers",
    [{**BROWSER, "DNT": "1"}, {**BROWSER, "Sec-GPC": "1"}, {**BROWSER, "Sec-Purpose": "prefetch"}, BOT],
    ids=["dnt", "gpc", "prefetch", "bot"],
)
async def test_who_is_not_to_be_counted_sees_the_control_and_is_not(nobody: Caller, running, sent, headers):
    _, experiment_id, (_, blue) = running
    visitor = await in_the_blue(nobody, experiment_id, blue)
    sent.clear()
    await outside(nobody, running, visitor, headers)
    assert sent == []


async def test_a_website_that_requires_consent_counts_nobody_without(admin: Caller, nobody: Caller, sent):
    website = await admin.new_website(require_consent=True)
    made = website, *await new_experiment(admin, website["id"], start=True)
    await outside(nobody, made, visitors(1)[0])
    assert sent == []


async def test_a_website_out_of_use_shows_the_control(admin: Caller, nobody: Caller, running, sent):
    website, *_ = running
    await admin.patch(f"/analytics/websites/{website['id']}", json={"tracking_enabled": False})
    await outside(nobody, running, visitors(1)[0])
    assert sent == []


async def test_while_kafka_is_away_everybody_sees_the_control_and_at_once(nobody: Caller, running, monkeypatch):
    from web import exposures

    tries = []

    def put(key: str, value: bytes) -> asyncio.Future[None]:
        tries.append(key)
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(Unavailable())
        return failed

    monkeypatch.setattr(exposures.EDGE, "put", put)
    monkeypatch.setattr(exposures.EDGE, "failed_at", 1.0)
    monkeypatch.setattr(exposures.EDGE, "acknowledged_at", None)
    monkeypatch.setattr(exposures.EXPOSURES, "_tried_at", float("-inf"))
    for visitor in visitors(20):
        await outside(nobody, running, visitor)
    assert len(tries) < 20, "one a second finds out whether it is back"
    monkeypatch.undo()
    _, experiment_id, _ = running
    assert (await shown(nobody, experiment_id, visitors(1)[0]))["in_experiment"]


async def test_beyond_the_rate_limit_it_is_the_control_but_for_those_who_were_counted(
    nobody: Caller, running, monkeypatch
):
    from web import assignment

    _, experiment_id, (_, blue) = running
    known = await in_the_blue(nobody, experiment_id, blue)

    async def refuse(_: int) -> None:
        raise RateLimited

    monkeypatch.setattr(assignment.LIMITS, "take", refuse)
    await outside(nobody, running, visitors(1)[0])
    assert (await shown(nobody, experiment_id, known))["variant_id"] == blue


async def test_a_variant_that_is_forced_is_shown_and_counted(nobody: Caller, running, sent):
    _, experiment_id, (control, blue) = running
    visitor = await in_the_blue(nobody, experiment_id, blue)
    sent.clear()
    assert (await shown(nobody, experiment_id, visitor, variant_id=control))["variant_id"] == control
    assert EXPOSURES.item(sent[0][1]).variant_id == control
    for nonsense in ("0", "abc", str(2**40), ""):
        assert (await shown(nobody, experiment_id, visitor, variant_id=nonsense))["variant_id"] == blue


# Own assignments.


async def test_an_own_assignment_is_told(nobody: Caller, running, sent):
    website, experiment_id, (_, blue) = running
    body = {"key": website["pixel_key"], "experiment_id": experiment_id, "visitor_id": "v", "variant_id": blue}
    response = await nobody.post("/analytics/experiment/exposure", json=body, headers=BROWSER)
    assert (response.status, await response.json()) == (200, {"ok": True})
    ((_, value),) = sent
    assert EXPOSURES.item(value).variant_id == blue


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"key": "6f0c1a3e-0000-4000-a000-000000000000"}, 404, "NOT_FOUND"),
        ({"experiment_id": 2147483647}, 404, "NOT_FOUND"),
        ({"variant_id": 2147483647}, 400, "VALIDATION_ERROR"),
        ({"visitor_id": ""}, 400, "VALIDATION_ERROR"),
        ({"experiment_id": "1"}, 400, "VALIDATION_ERROR"),
    ],
)
async def test_an_own_assignment_that_is_wrong_is_refused(nobody: Caller, running, sent, change, status, code):
    website, experiment_id, (_, blue) = running
    body = {"key": website["pixel_key"], "experiment_id": experiment_id, "visitor_id": "v", "variant_id": blue}
    await assert_error(await nobody.post("/analytics/experiment/exposure", json=body | change), status, code)
    assert sent == []


async def test_another_websites_experiment_cannot_be_told_of(admin: Caller, nobody: Caller, running):
    _, experiment_id, (_, blue) = running
    other = await admin.new_website()
    body = {"key": other["pixel_key"], "experiment_id": experiment_id, "visitor_id": "v", "variant_id": blue}
    await assert_error(await nobody.post("/analytics/experiment/exposure", json=body), 404, "NOT_FOUND")


async def test_an_own_assignment_that_does_not_count_says_so(admin: Caller, nobody: Caller, running, sent):
    website, experiment_id, (_, blue) = running
    body = {"key": website["pixel_key"], "experiment_id": experiment_id, "visitor_id": "v", "variant_id": blue}
    path = "/analytics/experiment/exposure"
    response = await nobody.post(path, json=body, headers={**BROWSER, "DNT": "1"})
    assert (response.status, await response.json()) == (202, {"ok": True, "ignored": "dnt"})
    response = await nobody.post(path, json=body, headers=BOT)
    assert (response.status, await response.json()) == (200, {"ok": True}), "a bot is not told"
    await admin.post(at(website, experiment_id, "/pause"))
    response = await nobody.post(path, json=body, headers=BROWSER)
    assert (response.status, await response.json()) == (202, {"ok": True, "ignored": "not_running"})
    assert sent == []
