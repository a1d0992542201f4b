"""Websites over HTTP."""

import asyncio
import re
import uuid

import pytest

from tests.web.calls import Caller, assert_error
from tests.web.conftest import new_caller

DEFAULTS = {
    "tracking_type": "lightweight",
    "channel_type": "website",
    "tracking_enabled": True,
    "is_enabled": True,
    "timezone": "UTC",
    "require_consent": False,
    "honour_dnt": True,
    "session_timeout_s": None,
    "allowed_hosts": [],
    "events_retention_days": None,
    "replay_sampling": 0.0,
    "heatmaps_retention_days": None,
    "replays_retention_days": None,
    "replay_max_s": None,
}


async def test_a_website_is_created_with_the_fields_of_the_reference_and_every_default(admin: Caller):
    body = {"name": "My Website", "host": "example.com", "tracking_type": "lightweight", "channel_type": "website"}
    response = await admin.post("/analytics/websites", json=body)
    assert response.status == 201
    assert set(await response.json()) == {"data"}
    website = (await response.json())["data"]
    assert isinstance(website["id"], int)
    assert uuid.UUID(website["pixel_key"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", website["created_at"])
    times = {"created_at": website["created_at"], "updated_at": website["updated_at"]}
    own = {"id": website["id"], "pixel_key": website["pixel_key"], "name": "My Website", "host": "example.com"}
    assert website == {**DEFAULTS, **own, **times}
    again = await admin.get(f"/analytics/websites/{website['id']}")
    assert (again.status, (await again.json())["data"]) == (200, website)


async def test_a_website_can_be_tracked_with_when_its_201_arrives(admin: Caller):
    from analytics_app.definitions import DEFINITIONS

    website = await admin.new_website()
    found = DEFINITIONS.website_of_key(website["pixel_key"])
    assert found is not None
    assert found.id == website["id"]


async def test_put_replaces_a_website_and_patch_changes_what_it_names(admin: Caller):
    website = await admin.new_website(channel_type="app", timezone="Asia/Kathmandu", session_timeout_s=600)
    path = f"/analytics/websites/{website['id']}"
    patched = (await (await admin.patch(path, json={"session_timeout_s": None, "channel_type": "server"})).json())[
        "data"
    ]
    assert patched["session_timeout_s"] is None
    assert (patched["channel_type"], patched["timezone"]) == ("server", "Asia/Kathmandu")
    put = await admin.put(path, json={"name": "Other", "host": "other.example"})
    assert put.status == 200
    replaced = (await put.json())["data"]
    assert {name: replaced[name] for name in DEFAULTS} == DEFAULTS
    assert (replaced["name"], replaced["host"]) == ("Other", "other.example")
    assert replaced["pixel_key"] == website["pixel_key"]
    assert (await admin.patch(path, json={})).status == 200


async def test_put_wants_every_field_that_has_no_default(admin: Caller):
    website = await admin.new_website()
    body = await assert_error(await admin.put(f"/analytics/websites/{website['id']}", json={}), 400, "VALIDATION_ERROR")
    assert {fault["field"] for fault in body["details"]} == {"name", "host"}


async def test_a_deleted_website_is_gone_at_once_and_its_key_with_it(admin: Caller):
    from analytics_app.definitions import DEFINITIONS

    website = await admin.new_website()
    path = f"/analytics/websites/{website['id']}"
    response = await admin.delete(path)
    assert (response.status, await response.read()) == (204, b"")
    await assert_error(await admin.get(path), 404, "NOT_FOUND")
    await assert_error(await admin.delete(path), 404, "NOT_FOUND")
    await assert_error(await admin.patch(path, json={"name": "x"}), 404, "NOT_FOUND")
    await assert_error(await admin.post(f"{path}/pixel-key"), 404, "NOT_FOUND")
    assert await DEFINITIONS.find_website(website["pixel_key"]) is None
    listed = (await (await admin.get("/analytics/websites?limit=1000")).json())["data"]
    assert website["id"] not in [one["id"] for one in listed]


async def test_a_list_goes_on_where_its_cursor_says(client):
    caller = await new_caller(client, "listing")
    made = [(await caller.new_website(name=f"Site {number}"))["id"] for number in range(5)]
    found, cursor = [], ""
    for _ in range(3):
        page = await (await caller.get(f"/analytics/websites?limit=2&cursor={cursor}")).json()
        assert set(page) == {"data", "meta"}
        found += [website["id"] for website in page["data"]]
        cursor = page["meta"]["next_cursor"]
    assert found == made
    assert cursor is None


async def test_a_list_is_filtered_by_channel_type(client):
    caller = await new_caller(client, "filtering")
    await caller.new_website()
    app = await caller.new_website(channel_type="app")
    page = await (await caller.get("/analytics/websites?channel_type=app")).json()
    assert [website["id"] for website in page["data"]] == [app["id"]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=1e999", "limit"),
        ("limit=%00", "limit"),
        ("channel_type=blog", "channel_type"),
        ("cursor=%ff", "cursor"),
        ("cursor=eyJhIjoxfQ", "cursor"),
        ("cursor=IvCfmIAi", "cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(admin: Caller, query: str, field: str):
    await assert_error(await admin.get(f"/analytics/websites?{query}"), 400, "VALIDATION_ERROR", field)


async def test_parameters_that_nobody_knows_are_left_alone(admin: Caller):
    assert (await admin.get("/analytics/websites?utm_source=mail&_=1")).status == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "  \n"),
        ("name", "x" * 201),
        ("name", 5),
        ("name", None),
        ("host", "https://example.com/"),
        ("host", "exa mple.com"),
        ("host", "a" * 254),
        ("host", "example..com"),
        ("tracking_type", "heavy"),
        ("channel_type", "blog"),
        ("channel_type", None),
        ("tracking_enabled", "true"),
        ("tracking_enabled", 1),
        ("timezone", "Europe/Londn"),
        ("timezone", "/etc/passwd"),
        ("session_timeout_s", 59),
        ("session_timeout_s", 86_401),
        ("session_timeout_s", 2**62),
        ("session_timeout_s", 60.5),
        ("allowed_hosts", "example.com"),
        ("allowed_hosts.0", ["a b"]),
        ("allowed_hosts", ["a.example"] * 101),
        ("events_retention_days", -1),
        ("replay_sampling", 1.01),
        ("replay_sampling", "1"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_field_out_of_bounds_is_named(admin: Caller, method: str, field: str, value):
    path = "/analytics/websites"
    if method != "POST":
        page = await (await admin.get(f"{path}?limit=1")).json()
        path = f"{path}/{page['data'][0]['id']}"
    body = {"name": "A site", "host": "example.com", field.partition(".")[0]: value}
    await assert_error(await admin.call(method, path, json=body), 400, "VALIDATION_ERROR", field)


async def test_all_faults_are_told_at_once(admin: Caller):
    body = {"host": "", "timezone": "Nowhere", "allowed_hosts": ["ok.example", "not ok"], "honour_dnt": None}
    answer = await assert_error(await admin.post("/analytics/websites", json=body), 400, "VALIDATION_ERROR")
    fields = {fault["field"] for fault in answer["details"]}
    assert fields == {"name", "host", "timezone", "allowed_hosts.1", "honour_dnt"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Example.COM", "example.com"),
        ("localhost", "localhost"),
        ("localhost:3000", "localhost:3000"),
        ("müller.example", "xn--mller-kva.example"),
        ("xn--mller-kva.example", "xn--mller-kva.example"),
        ("192.168.1.4:8080", "192.168.1.4:8080"),
        ("[::1]:3000", "[::1]:3000"),
        ("com.example.app_one", "com.example.app_one"),
    ],
)
async def test_a_host_is_kept_as_browsers_report_it(admin: Caller, given: str, kept: str):
    assert (await admin.new_website(host=given))["host"] == kept


async def test_control_characters_in_a_name_are_taken_out(admin: Caller):
    assert (await admin.new_website(name=" A\0 site\u202e \ud800\n"))["name"] == "A site \ufffd"


async def test_a_new_pixel_key_takes_over_and_the_old_one_lives_on_for_the_stated_time(admin: Caller):
    from analytics_app.definitions import DEFINITIONS

    website = await admin.new_website()
    path = f"/analytics/websites/{website['id']}"
    response = await admin.post(f"{path}/pixel-key", json={"grace_hours": 1})
    assert response.status == 201
    rotated = (await response.json())["data"]
    assert rotated["pixel_key"] != website["pixel_key"]
    assert rotated["previous"]["pixel_key"] == website["pixel_key"]
    for key in (rotated["pixel_key"], website["pixel_key"]):
        found = await DEFINITIONS.find_website(key)
        assert found is not None
        assert found.id == website["id"]
    assert (await (await admin.get(path)).json())["data"]["pixel_key"] == rotated["pixel_key"]
    await admin.post(f"{path}/pixel-key", json={"grace_hours": 0})
    assert await DEFINITIONS.find_website(rotated["pixel_key"]) is None
    assert await DEFINITIONS.find_website(website["pixel_key"]) is not None


async def test_a_key_is_changed_without_a_body_too_and_by_many_at_once_one_key_stays_current(admin: Caller):
    from analytics_app.db import transaction
    from analytics_app.websites import definitions_store

    website = await admin.new_website()
    path = f"/analytics/websites/{website['id']}/pixel-key"
    answers = await asyncio.gather(*(admin.post(path) for _ in range(6)))
    assert [answer.status for answer in answers] == [201] * 6
    async with transaction() as db:
        keys = await definitions_store.pixel_keys(db, website_ids=[website["id"]])
    assert len(keys) == 7
    assert sum(key.expires_at is None for key in keys) == 1
    for grace in (-1, 721, "1", 1.5):
        await assert_error(await admin.post(path, json={"grace_hours": grace}), 400, "VALIDATION_ERROR", "grace_hours")
