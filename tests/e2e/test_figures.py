"""The service's figures: every hit is stored, or accounted for."""

import asyncio
import uuid

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import TOKEN

pytestmark = pytest.mark.services


async def read(http, headers=None):
    """What `/metrics` shows: (name, label's values) and the number."""
    async with http.get("/metrics", headers=headers or {}) as response:
        assert response.status == 200, await response.text()
        families = text_string_to_metric_families(await response.text())
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for found in families
            for sample in found.samples
        }


async def test_what_was_accepted_is_stored_or_accounted_for(http, nobody, website, settled):
    await settled()
    await asyncio.sleep(1.5)
    before = await read(http)
    key, same = website["pixel_key"], str(uuid.uuid4())
    for hit in ({}, {"id": same}, {"id": same}, {"type": "event", "name": "a"}):
        answer = await nobody.post("/analytics/track", json={"key": key, "session_id": "s", "visitor_id": "v", **hit})
        assert answer.status == 200
    await nobody.post("/analytics/heartbeat", json={"session_id": "nobody's", "event_id": 1})
    await nobody.post("/analytics/track", json={"key": key}, headers={"DNT": "1"})
    await nobody.post("/analytics/track", json={"key": key}, headers={"User-Agent": "Googlebot/2.1"})
    await nobody.post("/analytics/track", json={"key": "unknown"})
    await nobody.post("/analytics/track", json={})
    await settled()
    await asyncio.sleep(1.5)
    after = await read(http)

    grown = {name: round(value - before.get(name, 0)) for name, value in after.items()}
    edge = {name[1]: number for name, number in grown.items() if name[0] == "analytics_all_edges_hits" and number}
    assert edge == {
        "accepted": 5, "ignored_dnt": 1, "ignored_bot": 1, "refused_not_found": 1, "refused_validation_error": 1,
    }  # fmt: skip
    stream = {name[1]: number for name, number in grown.items() if name[0] == "analytics_stream_hits" and number}
    assert stream == {"received": 5, "stored": 3, "duplicate": 1, "ignored_unknown_event": 1}
    assert {value for name, value in after.items() if name[0] == "analytics_stream_lag_records"} == {0}
    assert after[("analytics_failed_records_waiting",)] == 0
    assert any(name[0].startswith("faust_") for name in after)


async def test_figures_are_for_this_machine_and_for_admins(http, token_of):
    passed_on = {"X-Forwarded-For": "203.0.113.7"}
    async with http.get("/metrics", headers=passed_on) as response:
        assert response.status == 401
    reader = await token_of("read")
    async with http.get("/metrics", headers=passed_on | {"Authorization": f"Bearer {reader.token}"}) as response:
        assert response.status == 403
    assert await read(http, passed_on | {"Authorization": f"Bearer {TOKEN}"})
