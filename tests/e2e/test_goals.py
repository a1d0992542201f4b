"""Goals on the real service: live within two seconds, and over stored history whatever is killed."""

import asyncio
import os
import signal
import time
import uuid

import psycopg
import pytest

from tests.traffic import load, make_traffic, utc

pytestmark = pytest.mark.services

GOAL = {"name": "Thanks", "type": "pageview", "match_value": "/thanks"}


async def make(admin, website, **goal):
    response = await admin.post(f"/analytics/websites/{website['id']}/goals", json=goal)
    assert response.status == 201, await response.text()
    made = (await response.json())["data"]
    return f"/analytics/websites/{website['id']}/goals/{made['id']}"


async def numbers(admin, path):
    return await (await admin.get(f"{path}/conversions/stats")).json()


async def becomes(admin, path, conversions, within_s=2.0):
    """Returns the seconds until the API tells so many conversions; fails after `within_s`."""
    began = time.monotonic()
    while (await numbers(admin, path))["total_conversions"] != conversions:
        assert time.monotonic() - began < within_s, await numbers(admin, path)
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_a_hit_converts_a_goal_made_a_moment_before_within_two_seconds(admin, nobody, website):
    path = await make(admin, website, **GOAL, value=9.5, currency="EUR")
    sent = {"key": website["pixel_key"], "visitor_id": str(uuid.uuid4()), "session_id": str(uuid.uuid4())}
    answer = await (await nobody.post("/analytics/track", json={**sent, "path": "/thanks"})).json()
    await becomes(admin, path, 1)
    found = await numbers(admin, path)
    assert (found["conversion_rate"], found["total_value"], found["currency"]) == (100.0, 9.5, "EUR")
    (one,) = (await (await admin.get(f"{path}/conversions")).json())["data"]
    assert (one["event_id"], one["path"], one["value"]) == (answer["event_id"], "/thanks", 9.5)
    await nobody.post("/analytics/track", json={**sent, "path": "/thanks"})
    sent["session_id"] = str(uuid.uuid4())
    await nobody.post("/analytics/track", json={**sent, "path": "/thanks"})
    await becomes(admin, path, 2)
    assert (await numbers(admin, path))["converted_visitors"] == 1


async def test_a_duration_converts_by_heartbeats_while_the_visitor_is_still_there(admin, nobody, website):
    path = await make(admin, website, name="Stays", type="duration", match_value=2)
    sent = {"key": website["pixel_key"], "visitor_id": str(uuid.uuid4()), "session_id": str(uuid.uuid4())}
    answer = await (await nobody.post("/analytics/track", json={**sent, "path": "/long"})).json()
    beat = {"key": sent["key"], "session_id": sent["session_id"], "event_id": answer["event_id"]}
    await nobody.post("/analytics/heartbeat", json={**beat, "time_on_page": 1})
    await asyncio.sleep(1)
    assert (await numbers(admin, path))["total_conversions"] == 0
    await asyncio.sleep(1.2)
    await nobody.post("/analytics/heartbeat", json={**beat, "time_on_page": 3})
    await becomes(admin, path, 1)
    (one,) = (await (await admin.get(f"{path}/conversions")).json())["data"]
    assert (one["event_id"], one["path"]) == (None, "/long")


async def test_a_session_converts_with_the_pageview_that_makes_enough_of_them(admin, nobody, website):
    path = await make(admin, website, name="Reads", type="pages_per_session", match_value=3)
    sent = {"key": website["pixel_key"], "visitor_id": str(uuid.uuid4()), "session_id": str(uuid.uuid4())}
    for number in (1, 2):
        await nobody.post("/analytics/track", json={**sent, "path": f"/page/{number}"})
    await asyncio.sleep(1)
    assert (await numbers(admin, path))["total_conversions"] == 0
    answer = await (await nobody.post("/analytics/track", json={**sent, "path": "/page/3"})).json()
    await becomes(admin, path, 1)
    (one,) = (await (await admin.get(f"{path}/conversions")).json())["data"]
    assert (one["event_id"], one["path"]) == (answer["event_id"], "/page/3")


async def test_a_worker_killed_while_history_is_computed_loses_nothing_of_it(admin, service, website):
    traffic = make_traffic(3, sessions=12_000, start=utc("2026-11-01"), end=utc("2026-11-20"), website_id=website["id"])
    with psycopg.connect(service.noted("database_url")) as driver:
        load(driver, traffic)
    views = {"type": "pageview", "match_type": "regex", "match_value": "^/p", "count": "every"}
    path = await make(admin, website, name="Views", **views)
    killed, seen = 0, set()
    async with asyncio.timeout(120):
        while True:
            found = (await (await admin.get(f"{path}/backfill")).json())["data"]
            seen.add(found["state"])
            if found["state"] == "done":
                break
            assert found["state"] in ("waiting", "running")
            if found["done"] and not killed:
                (worker,) = [pid for role, pid in service.processes() if role == "worker"]
                os.kill(worker, signal.SIGKILL)
                killed += 1
            await asyncio.sleep(0.05)
    assert killed
    assert "running" in seen
    wanted = sum(event.is_pageview and event.path.startswith("/p") for _, event in traffic.pairs())
    found = await (await admin.get(f"{path}/conversions/stats?start_date=2026-10-01&end_date=2026-11-25")).json()
    assert found["total_conversions"] == wanted > 10_000
    done = await asyncio.to_thread(service.command, "verify")
    assert done.returncode == 0, done.stdout
