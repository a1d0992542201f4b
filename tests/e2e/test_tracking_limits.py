"""Tracking where something is in the way: a limit, a proxy, a Kafka that does not answer."""

import asyncio
import os
import signal
import time
import uuid

import pytest

from tests.e2e.conftest import client_of
from tests.web.calls import Caller, assert_error

pytestmark = pytest.mark.services

ANSWERED_WITHIN_S = 2.5
LIMIT = 20
PROXIES = "127.0.0.0/8, 10.0.0.0/8"


@pytest.fixture(scope="module")
async def webs(service):
    """Two further web processes of the service: one with a low limit, one behind proxies. By name, a caller of each."""
    started = {
        "limited": service.another_web(ANALYTICS_TRACKING_RATE_LIMIT=f"{LIMIT}/minute"),
        "proxied": service.another_web(ANALYTICS_TRUSTED_PROXIES=PROXIES, ANALYTICS_DEMO="off"),
    }
    callers = {name: Caller(client_of(web.wait().address), None) for name, web in started.items()}
    yield callers
    for name, web in started.items():
        await callers[name].client.close()
        assert web.stop() == 0, web.log.read_text()
        assert "Traceback" not in web.log.read_text()


async def visitor(caller, website, **headers):
    response = await caller.post(
        "/analytics/track",
        json={"key": website["pixel_key"]},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    assert response.status == 200, await response.text()
    return (await response.json())["visitor_id"]


# --- Proxies


async def test_headers_of_proxies_are_believed_only_where_a_proxy_is_configured(
    nobody, webs, website, service, settled
):
    direct = await visitor(nobody, website)
    for headers in ({"X_Forwarded_For": "81.2.69.142"}, {"Forwarded": "for=81.2.69.142"}, {"X_Real_IP": "81.2.69.142"}):
        assert await visitor(nobody, website, **headers) == direct, "anybody can write that"

    proxied = webs["proxied"]
    assert await visitor(proxied, website) == direct
    british = await visitor(proxied, website, X_Forwarded_For="81.2.69.142")
    assert british != direct
    same = [
        {"Forwarded": "for=81.2.69.142;proto=https"},
        {"X_Forwarded_For": "81.2.69.142, 10.1.2.3"},
        {"X_Forwarded_For": "1.2.3.4, 81.2.69.142, 10.1.2.3"},  # what stands left of the first stranger is hearsay
        {"X_Forwarded_For": "::ffff:81.2.69.142"},
    ]
    for headers in same:
        assert await visitor(proxied, website, **headers) == british, headers
    await settled()
    assert {session["country"] for session in service.sessions(website["id"])} == {None, "GB"}


async def test_the_demo_can_be_turned_off(webs):
    await assert_error(await webs["proxied"].get("/demo"), 404, "NOT_FOUND")


async def test_what_one_process_makes_another_knows_when_it_is_answered(admin, webs):
    for _ in range(5):
        website = await admin.new_website()
        await visitor(webs["proxied"], website)


# --- The limit


async def test_beyond_the_limit_calls_are_refused_with_when_to_try_again(webs, admin):
    limited, website = webs["limited"], await admin.new_website()
    body = {"key": website["pixel_key"], "session_id": "s", "event_id": 1, "name": "a"}
    answers = [await limited.post("/analytics/track", json=body) for _ in range(LIMIT + 1)]
    statuses = [answer.status for answer in answers]
    assert statuses == sorted(statuses)
    assert LIMIT // 2 <= statuses.count(200) <= LIMIT
    for path in ("/analytics/track", "/analytics/event", "/analytics/heartbeat", "/analytics/leave"):
        response = await limited.post(path, json=body)
        await assert_error(response, 429, "RATE_LIMITED")
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        assert response.headers["RateLimit-Limit"] == str(LIMIT)
        assert response.headers["RateLimit-Remaining"] == "0"
        assert 1 <= int(response.headers["RateLimit-Reset"]) <= 60
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    for method, path in (("POST", f"/analytics/track/{website['pixel_key']}"), ("GET", "/analytics/pixel")):
        response = await limited.call(method, path, params={"key": website["pixel_key"]})
        assert (response.status, response.content_type) == (200, "image/gif")
        assert response.headers["X-Analytics"] == "ignored: rate_limited"


# --- Kafka


async def test_a_hit_is_refused_in_time_while_kafka_hangs_and_its_repeat_counts_once(nobody, website, service, settled):
    kafka = dict(service.processes())["kafka"]
    hit = {"key": website["pixel_key"], "id": str(uuid.uuid4()), "visitor_id": "v", "session_id": "s", "path": "/"}
    assert (await nobody.post("/analytics/track", json=hit | {"id": str(uuid.uuid4())})).status == 200
    os.kill(kafka, signal.SIGSTOP)
    try:
        began = time.monotonic()
        refused, image = await asyncio.gather(
            nobody.post("/analytics/track", json=hit), nobody.post(f"/analytics/track/{website['pixel_key']}", json=hit)
        )
        assert time.monotonic() - began < ANSWERED_WITHIN_S
        await assert_error(refused, 503, "UNAVAILABLE")
        assert int(refused.headers["Retry-After"]) >= 1
        assert (image.status, image.headers["X-Analytics"]) == (200, "ignored: unavailable")
        ready = await nobody.get("/health/ready")
        assert ready.status == 503
        assert (await ready.json())["parts"]["kafka"] != "ready"
        assert (await nobody.get("/health/live")).status == 200
    finally:
        os.kill(kafka, signal.SIGCONT)

    async def taken():
        until = time.monotonic() + 20
        while (again := await nobody.post("/analytics/track", json=hit)).status != 200:
            assert time.monotonic() < until
            await assert_error(again, 503, "UNAVAILABLE")
            await asyncio.sleep(0.5)

    await taken()
    await settled()
    assert len(service.events(website["id"])) == 2
    until = time.monotonic() + 15
    while (await nobody.get("/health/ready")).status != 200:
        assert time.monotonic() < until
        await asyncio.sleep(0.3)
