"""Funnels and their steps over HTTP."""

import asyncio

import pytest

from tests.web.calls import Caller, assert_error

CART = {"name": "Add to Cart", "match_type": "pageview", "match_value": "/cart/add", "is_optional": False}
VIEW = {"name": "View Cart", "match_type": "pageview", "match_value": "/cart", "is_optional": True}
BUY = {"name": "Buy", "match_type": "event", "match_value": "purchase*", "is_optional": False}


async def data(response, status=200):
    assert response.status == status, await response.text()
    return (await response.json())["data"]


@pytest.fixture
async def funnels(admin: Caller) -> str:
    """The path of a fresh website's funnels."""
    return f"/analytics/websites/{(await admin.new_website())['id']}/funnels"


async def made(admin, funnels, *steps, **values):
    body = {"name": "Checkout Funnel", "steps": list(steps), **values}
    return await data(await admin.post(funnels, json=body), 201)


async def names(admin, path):
    return [step["name"] for step in await data(await admin.get(f"{path}/steps"))]


async def test_a_funnel_is_created_as_the_reference_says_and_its_steps_one_by_one(admin: Caller, funnels):
    body = {"name": "Checkout Funnel", "is_strict": False, "window_hours": 24}
    funnel = await data(await admin.post(funnels, json=body), 201)
    assert {name: funnel[name] for name in body} == body
    assert funnel["steps"] == []
    path = f"{funnels}/{funnel['id']}"
    first, second = [await data(await admin.post(f"{path}/steps", json=step), 201) for step in (CART, BUY)]
    assert (first["position"], second["position"]) == (1, 2)
    assert {name: first[name] for name in CART} == CART
    assert (await data(await admin.get(path)))["steps"] == [first, second]
    assert [one["id"] for one in await data(await admin.get(funnels))] == [funnel["id"]]


async def test_a_step_can_be_put_in_between_moved_and_taken_away(admin: Caller, funnels):
    funnel = await made(admin, funnels, CART, BUY)
    path = f"{funnels}/{funnel['id']}"
    view = await data(await admin.post(f"{path}/steps", json={**VIEW, "position": 2}), 201)
    assert await names(admin, path) == ["Add to Cart", "View Cart", "Buy"]
    moved = await data(await admin.patch(f"{path}/steps/{view['id']}", json={"position": 3}))
    assert (moved["position"], moved["id"]) == (3, view["id"])
    assert await names(admin, path) == ["Add to Cart", "Buy", "View Cart"]
    assert (await admin.delete(f"{path}/steps/{funnel['steps'][1]['id']}")).status == 204
    assert await names(admin, path) == ["Add to Cart", "View Cart"]
    assert [step["position"] for step in await data(await admin.get(f"{path}/steps"))] == [1, 2]


async def test_a_step_is_replaced_by_put_and_changed_by_patch(admin: Caller, funnels):
    funnel = await made(admin, funnels, CART, VIEW, BUY)
    step = f"{funnels}/{funnel['id']}/steps/{funnel['steps'][1]['id']}"
    replaced = await data(await admin.put(step, json={"name": "Look", "match_value": "/look"}))
    assert (replaced["position"], replaced["match_type"], replaced["is_optional"]) == (2, "pageview", False)
    changed = await data(await admin.patch(step, json={"is_optional": True}))
    assert (changed["name"], changed["match_value"], changed["is_optional"]) == ("Look", "/look", True)


async def test_the_whole_list_is_put_in_order_and_steps_keep_their_ids(admin: Caller, funnels):
    funnel = await made(admin, funnels, CART, BUY)
    path, (cart, buy) = f"{funnels}/{funnel['id']}", funnel["steps"]
    listed = await data(await admin.put(f"{path}/steps", json={"steps": [{**BUY, "id": buy["id"]}, CART]}))
    assert [step["name"] for step in listed] == ["Buy", "Add to Cart"]
    assert listed[0]["id"] == buy["id"]
    assert listed[1]["id"] != cart["id"]
    unknown = {"steps": [{**CART, "id": cart["id"]}]}
    await assert_error(await admin.put(f"{path}/steps", json=unknown), 400, "VALIDATION_ERROR", "steps.0.id")


async def test_put_replaces_a_funnel_and_leaves_its_steps_where_they_are_not_given(admin: Caller, funnels):
    funnel = await made(admin, funnels, CART, BUY, is_strict=True, window_hours=2)
    path = f"{funnels}/{funnel['id']}"
    replaced = await data(await admin.put(path, json={"name": "Other"}))
    assert (replaced["name"], replaced["is_strict"], replaced["window_hours"]) == ("Other", False, 24)
    assert replaced["steps"] == funnel["steps"]
    patched = await data(await admin.patch(path, json={"window_hours": 2160, "steps": [BUY]}))
    assert (patched["name"], patched["window_hours"], [step["name"] for step in patched["steps"]]) == (
        "Other",
        2160,
        ["Buy"],
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({}, "name"),
        ({"name": "F", "window_hours": 0}, "window_hours"),
        ({"name": "F", "window_hours": 2161}, "window_hours"),
        ({"name": "F", "is_strict": "yes"}, "is_strict"),
        ({"name": "F", "steps": [CART] * 21}, "steps"),
        ({"name": "F", "steps": [{**CART, "match_type": "click"}]}, "steps.0.match_type"),
        ({"name": "F", "steps": [{**CART, "match_value": " "}]}, "steps.0.match_value"),
        ({"name": "F", "steps": [VIEW]}, "steps"),
    ],
)
async def test_a_funnel_that_cannot_be_is_refused(admin: Caller, funnels, body, field):
    await assert_error(await admin.post(funnels, json=body), 400, "VALIDATION_ERROR", field)


async def test_the_first_step_is_required_whatever_happens_to_the_others(admin: Caller, funnels):
    funnel = await made(admin, funnels, CART, VIEW, BUY)
    steps = f"{funnels}/{funnel['id']}/steps"
    cart, view, _ = (step["id"] for step in funnel["steps"])
    await assert_error(await admin.delete(f"{steps}/{cart}"), 409, "CONFLICT")
    await assert_error(await admin.patch(f"{steps}/{view}", json={"position": 1}), 409, "CONFLICT")
    await assert_error(await admin.post(steps, json={**VIEW, "position": 1}), 409, "CONFLICT")
    assert (await data(await admin.get(f"{funnels}/{funnel['id']}")))["steps"] == funnel["steps"]


async def test_a_funnel_has_twenty_steps_at_most(admin: Caller, funnels):
    funnel = await made(admin, funnels, *[CART] * 20)
    await assert_error(await admin.post(f"{funnels}/{funnel['id']}/steps", json=CART), 409, "CONFLICT")


async def test_what_changes_its_meaning_has_the_stored_gone_through_again_and_a_name_does_not(admin: Caller, funnels):
    funnel = await made(admin, funnels, CART, BUY)
    path = f"{funnels}/{funnel['id']}"
    first = await data(await admin.get(f"{path}/backfill"))
    assert first["state"] == "waiting"
    await admin.patch(path, json={"name": "Other"})
    await admin.patch(f"{path}/steps/{funnel['steps'][0]['id']}", json={"name": "Other"})
    assert await revision(funnel["id"]) == (before := await revision(funnel["id"]))
    await admin.patch(path, json={"window_hours": 3})
    assert await revision(funnel["id"]) == before + 1
    await admin.patch(f"{path}/steps/{funnel['steps'][0]['id']}", json={"match_value": "/cart/*"})
    assert await revision(funnel["id"]) == before + 2


async def revision(funnel_id):
    from analytics_app.db import batch_transaction

    async with batch_transaction() as db:
        row = await (await db.execute("SELECT revision FROM funnels WHERE id = %s", (funnel_id,))).fetchone()
    assert row is not None
    return row[0]


async def test_a_deleted_funnel_is_gone_at_once(admin: Caller, funnels):
    path = f"{funnels}/{(await made(admin, funnels, CART))['id']}"
    assert (await admin.delete(path)).status == 204
    await assert_error(await admin.get(path), 404, "NOT_FOUND")
    await assert_error(await admin.delete(path), 404, "NOT_FOUND")
    await assert_error(await admin.get(f"{path}/analysis"), 404, "NOT_FOUND")


async def test_another_websites_funnel_and_another_funnels_step_are_404(admin: Caller, stranger: Caller, funnels):
    mine = await made(admin, funnels, CART)
    theirs = f"/analytics/websites/{(await admin.new_website())['id']}/funnels"
    other = await made(admin, theirs, CART)
    for path in ("", "/analysis", "/trend", "/stream", "/backfill", "/steps"):
        await assert_error(await admin.get(f"{theirs}/{mine['id']}{path}"), 404, "NOT_FOUND")
        await assert_error(await stranger.get(f"{funnels}/{mine['id']}{path}"), 404, "NOT_FOUND")
    step = f"{funnels}/{mine['id']}/steps/{other['steps'][0]['id']}"
    for method, body in (("GET", None), ("PUT", CART), ("PATCH", {}), ("DELETE", None)):
        await assert_error(await admin.call(method, step, json=body), 404, "NOT_FOUND")


async def test_a_funnel_without_attempts_has_the_shape_of_the_reference_and_zeros(admin: Caller, funnels):
    funnel = await made(admin, funnels, CART, VIEW, BUY)
    answer = await admin.get(f"{funnels}/{funnel['id']}/analysis?compare=previous_period&breakdown=country")
    body = await answer.json()
    assert (body["funnel_id"], body["funnel_name"], body["breakdown"]) == (funnel["id"], "Checkout Funnel", [])
    assert body["summary"] == {
        "total_entrants": 0,
        "completed": 0,
        "completion_rate": 0.0,
        "avg_completion_time": 0,
        "median_completion_time": 0,
        "total_steps": 3,
    }
    assert body["previous"]["summary"] == body["summary"]
    assert [step["step_id"] for step in body["steps"]] == [step["id"] for step in funnel["steps"]]
    assert all(step["visitors"] == step["conversion_rate"] == step["drop_off"] == 0 for step in body["steps"])
    trend = await (await admin.get(f"{funnels}/{funnel['id']}/trend?start_date=2026-01-01&end_date=2026-01-02")).json()
    zeros = {"total_entrants": 0, "completed": 0, "completion_rate": 0.0, "avg_completion_time": 0}
    assert trend == {"2026-01-01": zeros, "2026-01-02": zeros}


async def test_wrong_questions_are_refused(admin: Caller, funnels):
    path = f"{funnels}/{(await made(admin, funnels, CART))['id']}"
    for query, field in (
        ("breakdown=colour", "breakdown"),
        ("filter=colour:is:red", "filter.0"),
        ("limit=0", "limit"),
        ("compare=never", "compare"),
    ):
        await assert_error(await admin.get(f"{path}/analysis?{query}"), 400, "VALIDATION_ERROR", field)


async def test_a_step_taken_is_pushed(admin: Caller, funnels, monkeypatch):
    from analytics_app.db import batch_transaction
    from web.funnel_numbers import PUSHED

    monkeypatch.setattr(PUSHED, "every_s", 0.1)

    funnel = await made(admin, funnels, CART, BUY)
    path = f"{funnels}/{funnel['id']}/stream"
    headers = {"Authorization": f"Bearer {admin.token}"}
    async with admin.client.get(path, headers=headers) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert '"total_entrants":0' in await next_data(response)
        async with batch_transaction() as db:
            await db.execute(
                "INSERT INTO funnel_runs SELECT 5, id, 1, 1, now() - interval '1 minute', revision, 1, 1, true, "
                "'{0,NULL}' FROM funnels WHERE id = %s",
                (funnel["id"],),
            )
        while '"total_entrants":1' not in (told := await next_data(response)):
            pass
        assert '"now":1' in told
    while not PUSHED._looking.done():  # it must not outlive the pool
        await asyncio.sleep(0.05)


async def next_data(response):
    while not (line := await response.content.readline()).startswith(b"data: "):
        assert line
    return line.decode()
