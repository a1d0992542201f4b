"""Alerts over HTTP; what they watch on real rows, and what they call, guarded."""

import asyncio
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.traffic import load, make_traffic
from tests.web.calls import Caller, assert_error

BODY = {"name": "Traffic has fallen", "type": "traffic_drop", "recipients": ["user@example.com"]}
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture(autouse=True)
async def nothing_else_waits(client, database: str):
    """Alerts and deliveries of other tests are over."""
    with psycopg.connect(database, autocommit=True) as driver:
        driver.execute("UPDATE deliveries SET state = 'failed' WHERE state IN ('waiting', 'sending')")
        driver.execute("UPDATE alerts SET is_enabled = false")


@pytest.fixture(scope="session")
async def quiet_site(admin: Caller, database: str) -> tuple[int, datetime]:
    """A website with six busy weeks that end with `at`, and nothing after."""
    website = await admin.new_website(name="Watched")
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=2)
    traffic = make_traffic(
        9, sessions=30_000, start=at - timedelta(weeks=6), end=at, website_id=website["id"]
    )  # fmt: skip
    with psycopg.connect(database) as driver:
        load(driver, traffic)
    return int(website["id"]), at


class Receiver:
    """A webhook's other side: it keeps what it is called with, and answers as told."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.answer = web.Response(status=204)

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append((dict(request.headers), await request.read()))
        return web.Response(status=self.answer.status, headers=self.answer.headers)


@pytest.fixture
async def receiver(monkeypatch):
    from analytics_app.jobs import deliveries
    from analytics_app.settings import settings

    changed = settings().model_copy(update={"webhook_networks": LOOPBACK})
    monkeypatch.setattr(deliveries, "settings", lambda: changed)
    receiver, application = Receiver(), web.Application()
    application.router.add_post("/hook", receiver.handle)
    async with TestServer(application) as server:
        receiver.url = f"http://127.0.0.1:{server.port}/hook"  # type: ignore[attr-defined]
        yield receiver


async def new_alert(admin: Caller, site: int, **values: Any) -> str:
    made = await admin.post(f"/analytics/websites/{site}/alerts", json={**BODY, **values})
    assert made.status == 201, await made.text()
    return f"/analytics/websites/{site}/alerts/{(await made.json())['data']['id']}"


async def data(admin: Caller, path: str) -> Any:
    answer = await admin.get(path)
    assert answer.status == 200, await answer.text()
    return (await answer.json())["data"]


async def deliver(now: datetime | None = None) -> int:
    from analytics_app import clock
    from analytics_app.jobs.deliveries import deliver_next

    attempts = 0
    while await deliver_next(now or clock.now()):
        attempts += 1
    return attempts


async def test_an_alert_is_made_read_changed_and_deleted(admin: Caller, by_scope: dict[str, Caller]):
    site = (await admin.new_website())["id"]
    path = await new_alert(admin, site, webhook_url="https://hooks.example.com/x")
    made = await data(admin, path)
    assert made.items() >= {**BODY, "window_minutes": 60, "threshold_percent": 50, "is_enabled": True}.items()
    assert len(made["webhook_secret"]) == 48
    assert (await data(by_scope["read"], path))["webhook_secret"] is None
    changed = await admin.patch(path, json={"type": "traffic_spike", "threshold_percent": 300})
    assert (await changed.json())["data"]["threshold_percent"] == 300
    put = await admin.put(path, json=BODY)
    assert (await put.json())["data"].items() >= {"threshold_percent": 50, "webhook_url": None}.items()
    assert made["id"] in [one["id"] for one in await data(admin, path.rpartition("/")[0])]
    assert (await admin.delete(path)).status == 204
    await assert_error(await admin.get(path), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "weather"), ("metric", "bounces"), ("window_minutes", 5), ("threshold_percent", 0),
        ("threshold_percent", 101), ("min_count", 0), ("recipients", ["nobody"]), ("webhook_url", "ftp://example.com/"),
        ("webhook_url", "https://user:password@example.com/"), ("webhook_url", "nonsense"),
    ],
)  # fmt: skip
async def test_a_wrong_alert_is_refused_where_it_is_wrong(admin: Caller, quiet_site, field: str, value: Any):
    answer = await admin.post(f"/analytics/websites/{quiet_site[0]}/alerts", json={**BODY, field: value})
    body = await assert_error(answer, 400, "VALIDATION_ERROR")
    assert body["details"][0]["field"].split(".")[0] == field


async def test_an_alert_of_another_website_or_workspace_is_not_there(admin: Caller, quiet_site, stranger: Caller):
    site = quiet_site[0]
    path = await new_alert(admin, site)
    other = (await admin.new_website())["id"]
    for caller, wrong in ((stranger, path), (admin, path.replace(f"/{site}/", f"/{other}/"))):
        for method, tail in (
            ("GET", ""), ("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/firings"),
        ):  # fmt: skip
            await assert_error(await caller.call(method, wrong + tail, json=BODY), 404, "NOT_FOUND")


async def test_traffic_that_stops_is_told_once_and_again_when_it_is_over(admin: Caller, quiet_site, receiver):
    from analytics_app.jobs.alerts import check_all

    site, at = quiet_site
    path = await new_alert(admin, site, recipients=[], webhook_url=receiver.url, window_minutes=240)
    await check_all(at)
    assert await data(admin, f"{path}/firings") == []
    silent = at + timedelta(hours=4)
    await asyncio.gather(*(check_all(silent) for _ in range(4)))
    await check_all(silent + timedelta(minutes=1))
    (fired,) = await data(admin, f"{path}/firings")
    assert fired["resolved_at"] is None
    assert fired["value"] < fired["usual"] / 2
    assert (await data(admin, path))["firing_since"] is not None
    assert await deliver() == 1
    ((_, body),) = receiver.calls
    assert b'"type":"traffic_drop"' in body
    await check_all(at)  # as if traffic were back
    (over,) = await data(admin, f"{path}/firings")
    assert over["resolved_at"] is not None
    await check_all(silent + timedelta(minutes=2))
    assert len(await data(admin, f"{path}/firings")) == 1, "not again within its cooldown"


async def test_a_call_is_signed_so_that_its_receiver_can_check_it(admin: Caller, quiet_site, receiver):
    from analytics_app.deliveries.webhook import signature

    path = await new_alert(admin, quiet_site[0], recipients=[], webhook_url=receiver.url)
    tried = await admin.post(f"{path}/test")
    assert tried.status == 202
    assert (await tried.json())["data"]["is_test"] is True
    await deliver()
    ((headers, body),) = receiver.calls
    key = (await data(admin, path))["webhook_secret"]
    expected = signature(key, int(headers["X-Analytics-Timestamp"]), body)
    assert headers["X-Analytics-Signature"] == f"sha256={expected}"
    (fired,) = await data(admin, f"{path}/firings")
    assert [one["state"] for one in fired["deliveries"]] == ["sent"]


async def test_a_receiver_that_fails_is_called_again_and_one_that_refuses_is_not(admin: Caller, quiet_site, receiver):
    from analytics_app import clock

    path = await new_alert(admin, quiet_site[0], recipients=[], webhook_url=receiver.url)
    receiver.answer = web.Response(status=503)
    await admin.post(f"{path}/test")
    await deliver()
    receiver.answer = web.Response(status=404)
    assert await deliver(clock.now() + timedelta(seconds=61)) == 1
    (fired,) = await data(admin, f"{path}/firings")
    assert (fired["deliveries"][0]["state"], fired["deliveries"][0]["attempts"]) == ("failed", 2)


async def test_a_webhook_follows_no_redirect(admin: Caller, quiet_site, receiver):
    path = await new_alert(admin, quiet_site[0], recipients=[], webhook_url=receiver.url)
    receiver.answer = web.Response(status=302, headers={"Location": receiver.url})
    await admin.post(f"{path}/test")
    await deliver()
    assert len(receiver.calls) == 1
    (fired,) = await data(admin, f"{path}/firings")
    assert fired["deliveries"][0]["state"] == "failed"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "127.1"])
async def test_a_webhook_does_not_reach_this_machine_by_any_name(
    admin: Caller, quiet_site, receiver, monkeypatch, host
):
    from analytics_app.jobs import deliveries
    from analytics_app.settings import settings

    monkeypatch.setattr(deliveries, "settings", settings)  # no network is allowed
    url = receiver.url.replace("127.0.0.1", host)
    path = await new_alert(admin, quiet_site[0], recipients=[], webhook_url=url)
    await admin.post(f"{path}/test")
    await deliver()
    assert receiver.calls == []
    (fired,) = await data(admin, f"{path}/firings")
    assert fired["deliveries"][0]["state"] == "failed"
    assert "may not reach" in fired["deliveries"][0]["error"] or "cannot be called" in fired["deliveries"][0]["error"]


async def test_a_goal_that_falls_silent_is_told(admin: Caller, database: str):
    from analytics_app.jobs.alerts import check_all

    site = (await admin.new_website())["id"]
    goal = {"name": "Signup", "type": "pageview", "match_type": "equals", "match_value": "/done"}
    goal_id = (await (await admin.post(f"/analytics/websites/{site}/goals", json=goal)).json())["data"]["id"]
    now = datetime.now(UTC)
    with psycopg.connect(database) as driver:
        load(driver, make_traffic(4, sessions=40, start=now - timedelta(weeks=5), end=now, website_id=site))
        for week in range(1, 5):
            for number in range(8):
                driver.execute(
                    "INSERT INTO conversions (session_id, goal_id, revision, key, at, event_id, visitor, website_id) "
                    "VALUES (%s, %s, 1, 0, %s, 0, 1, %s)",
                    (week * 100 + number, goal_id, now - timedelta(weeks=week, minutes=10), site),
                )
    path = await new_alert(admin, site, type="goal_silence", goal_id=goal_id, min_count=5)
    await check_all(now)
    (fired,) = await data(admin, f"{path}/firings")
    assert (fired["value"], fired["usual"]) == (0, 8)


async def test_an_alert_watches_goals_of_its_own_website_only(admin: Caller):
    site, other = (await admin.new_website())["id"], (await admin.new_website())["id"]
    goal = {"name": "Order", "type": "event", "match_value": "order"}
    ours, theirs = [
        (await (await admin.post(f"/analytics/websites/{one}/goals", json=goal)).json())["data"]["id"]
        for one in (site, other)
    ]
    alerts = f"/analytics/websites/{site}/alerts"
    silent = {**BODY, "type": "goal_silence"}
    for wrong in (theirs, 2**31 - 1):
        await assert_error(
            await admin.post(alerts, json={**silent, "goal_id": wrong}), 400, "VALIDATION_ERROR", "goal_id"
        )
    made = await admin.post(alerts, json={**silent, "goal_id": ours})
    assert made.status == 201, await made.text()
    one = f"{alerts}/{(await made.json())['data']['id']}"
    for method in ("PUT", "PATCH"):
        answer = await admin.call(method, one, json={**silent, "goal_id": theirs})
        await assert_error(answer, 400, "VALIDATION_ERROR", "goal_id")
    assert (await admin.patch(one, json={"name": "Silent"})).status == 200
    assert (await admin.patch(one, json={"goal_id": None})).status == 200
