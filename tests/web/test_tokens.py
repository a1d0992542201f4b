"""Tokens over HTTP, and what each may do."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from analytics_app import clock
from tests.web.calls import Caller, assert_error
from tests.web.conftest import new_caller

TOKENS = "/analytics/tokens"


async def created(caller: Caller, **values) -> dict:
    response = await caller.post(TOKENS, json={"name": "A token", **values})
    assert response.status == 201, await response.text()
    return (await response.json())["data"]


async def test_a_token_is_shown_once_and_only_its_hash_is_kept(admin: Caller):
    token = await created(admin, name="Export", scopes=["read"])
    assert token.pop("token").startswith("an_")
    fields = {"id", "name", "scopes", "website_ids", "created_at", "expires_at", "last_used_at"}
    assert set(token) == fields
    assert (token["scopes"], token["website_ids"], token["expires_at"], token["last_used_at"]) == (["read"],) + (
        None,
    ) * 3
    assert (await (await admin.get(f"{TOKENS}/{token['id']}")).json())["data"] == token
    listed = (await (await admin.get(f"{TOKENS}?limit=1000")).json())["data"]
    assert token in listed
    assert all(set(one) == fields for one in listed)


async def test_a_token_works_when_its_201_arrives_and_not_after_it_was_revoked(admin: Caller, client):
    token = await created(admin)
    holder = Caller(client, token["token"])
    assert (await holder.get("/analytics/websites")).status == 200
    response = await admin.delete(f"{TOKENS}/{token['id']}")
    assert (response.status, await response.read()) == (204, b"")
    await assert_error(await holder.get("/analytics/websites"), 401, "UNAUTHENTICATED")
    for method in ("GET", "DELETE"):
        await assert_error(await admin.call(method, f"{TOKENS}/{token['id']}"), 404, "NOT_FOUND")


async def test_a_token_that_was_revoked_elsewhere_is_refused_within_two_seconds(client, admin: Caller):
    from analytics_app.db import transaction
    from analytics_app.websites import tokens_store

    holder = await new_caller(client, "default", "read")
    assert (await holder.get("/analytics/websites")).status == 200
    async with transaction() as db:
        await tokens_store.revoke_token(db, holder.workspace_id, holder.token_id)
    for _ in range(20):
        await asyncio.sleep(0.1)
        response = await holder.get("/analytics/websites")
        if response.status == 401:
            break
    await assert_error(response, 401, "UNAUTHENTICATED")


async def test_an_expired_token_is_refused(admin: Caller, client):
    soon = clock.iso(clock.now() + timedelta(seconds=2))
    token = await created(admin, expires_at=soon)
    assert token["expires_at"] == soon
    holder = Caller(client, token["token"])
    assert (await holder.get("/analytics/websites")).status == 200
    await asyncio.sleep(2.1)
    await assert_error(await holder.get("/analytics/websites"), 401, "UNAUTHENTICATED")


async def test_put_and_patch_change_a_token_at_once(admin: Caller, client):
    token = await created(admin, scopes=["read"])
    holder = Caller(client, token["token"])
    body = {"name": "x", "host": "x.example"}
    await assert_error(await holder.post("/analytics/websites", json=body), 403, "FORBIDDEN")
    patched = await admin.patch(f"{TOKENS}/{token['id']}", json={"scopes": ["write", "read", "read"]})
    assert (await patched.json())["data"]["scopes"] == ["read", "write"]
    assert (await holder.post("/analytics/websites", json=body)).status == 201
    put = await admin.put(f"{TOKENS}/{token['id']}", json={"name": "Renamed"})
    assert (await put.json())["data"]["scopes"] == ["read"]
    await assert_error(await holder.post("/analytics/websites", json=body), 403, "FORBIDDEN")


async def test_a_token_cannot_lock_itself_out(client):
    holder = await new_caller(client, "locking")
    path = f"{TOKENS}/{holder.token_id}"
    await assert_error(await holder.delete(path), 409, "CONFLICT")
    await assert_error(await holder.put(path, json={"name": "x"}), 409, "CONFLICT")
    await assert_error(await holder.patch(path, json={"expires_at": "2020-01-01T00:00:00Z"}), 409, "CONFLICT")
    assert (await holder.patch(path, json={"name": "Renamed"})).status == 200
    assert (await holder.put(path, json={"name": "Again", "scopes": ["admin"]})).status == 200


async def test_its_last_use_is_noted(admin: Caller, client):
    from web.auth import LAST_USED

    token = await created(admin)
    await Caller(client, token["token"]).get("/analytics/websites")
    await LAST_USED.write()
    seen = (await (await admin.get(f"{TOKENS}/{token['id']}")).json())["data"]
    assert seen["last_used_at"] is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("scopes", []),
        ("scopes.0", ["owner"]),
        ("scopes", "read"),
        ("website_ids", []),
        ("website_ids.0", [0]),
        ("website_ids.0", [2**31]),
        ("website_ids.0", ["1"]),
        ("expires_at", "tomorrow"),
        ("expires_at", "2026-02-30T00:00:00Z"),
        ("expires_at", "2026-01-01T00:00:00"),
        ("expires_at", 1_800_000_000),
    ],
)
async def test_a_token_field_out_of_bounds_is_named(admin: Caller, field: str, value):
    body = {"name": "A token", field.partition(".")[0]: value}
    await assert_error(await admin.post(TOKENS, json=body), 400, "VALIDATION_ERROR", field)


async def test_a_restricted_token_is_held_to_its_websites(admin: Caller, stranger: Caller, client):
    mine, sibling, foreign = [await who.new_website() for who in (admin, admin, stranger)]
    token = await created(admin, scopes=["admin"], website_ids=[mine["id"]])
    holder = Caller(client, token["token"])
    assert (await holder.get(f"/analytics/websites/{mine['id']}")).status == 200
    listed = (await (await holder.get("/analytics/websites")).json())["data"]
    assert [website["id"] for website in listed] == [mine["id"]]
    # Whether a website exists, and whose it is, makes no difference to the answer.
    answers = []
    for other in (sibling["id"], foreign["id"], 2**31 - 1):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            response = await holder.call(
                method, f"/analytics/websites/{other}", json={"name": "x", "host": "x.example"}
            )
            answers.append(await assert_error(response, 403, "FORBIDDEN"))
    assert all(answer == answers[0] for answer in answers)
    await assert_error(await holder.post("/analytics/websites", json={"name": "x", "host": "x"}), 403, "FORBIDDEN")


async def test_a_restricted_admin_cannot_make_itself_a_wider_token(admin: Caller, client):
    mine = await admin.new_website()
    token = await created(admin, scopes=["admin"], website_ids=[mine["id"]])
    holder = Caller(client, token["token"])
    path = f"{TOKENS}/{token['id']}"
    await assert_error(await holder.get(TOKENS), 403, "FORBIDDEN")
    await assert_error(await holder.post(TOKENS, json={"name": "wider", "scopes": ["admin"]}), 403, "FORBIDDEN")
    await assert_error(await holder.patch(path, json={"website_ids": None}), 403, "FORBIDDEN")


async def test_a_token_cannot_be_bound_to_another_workspaces_website(admin: Caller, stranger: Caller):
    foreign = await stranger.new_website()
    nowhere = 2**31 - 1
    for id_ in (foreign["id"], nowhere):
        body = {"name": "x", "website_ids": [id_]}
        answer = await assert_error(await admin.post(TOKENS, json=body), 404, "NOT_FOUND")
        assert answer["error"] == f"website_ids: there is no such website: {id_}"


async def test_another_workspaces_websites_and_tokens_are_not_there(admin: Caller, stranger: Caller):
    website, token = await stranger.new_website(), await created(stranger)
    for path in (f"/analytics/websites/{website['id']}", f"{TOKENS}/{token['id']}"):
        nowhere = f"{path.rpartition('/')[0]}/{2**31 - 1}"
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            body = {"name": "x", "host": "x.example"}
            theirs = await assert_error(await admin.call(method, path, json=body), 404, "NOT_FOUND")
            none = await assert_error(await admin.call(method, nowhere, json=body), 404, "NOT_FOUND")
            assert theirs == none
        assert (await stranger.get(path)).status == 200
    for path in ("/analytics/websites", TOKENS):
        listed = (await (await admin.get(f"{path}?limit=1000")).json())["data"]
        assert not {website["id"], token["id"]} & {one["id"] for one in listed if one["name"] == "stranger"}
    key = await admin.post(f"/analytics/websites/{website['id']}/pixel-key")
    await assert_error(key, 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer an_unknown",
        "Basic YTpi",
        f"Bearer {'x' * 5000}",
        "Bearer \u00e9\u00e9",
        "bearer\tan_x",
        f"Bearer {uuid.UUID(int=0)}",
    ],
)
async def test_without_a_good_token_there_is_401(client, header: str):
    response = await Caller(client, None).get("/analytics/websites", headers={"Authorization": header})
    await assert_error(response, 401, "UNAUTHENTICATED")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_scheme_may_be_written_small(client, admin: Caller):
    response = await Caller(client, None).get("/analytics/websites", headers={"Authorization": f"bearer {admin.token}"})
    assert response.status == 200
