"""Email reports over HTTP, and their mails through a real SMTP server with TLS and a login."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pydantic import SecretStr

from tests.mail_server import MailServer, mail_server
from tests.traffic import load, make_traffic
from tests.web.calls import Caller, assert_error

BODY = {
    "name": "Weekly Summary",
    "frequency": "weekly",
    "recipients": ["user@example.com"],
    "metrics": ["pageviews", "visitors", "bounce_rate"],
}


def today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture(scope="session")
async def site(admin: Caller, database: str) -> int:
    """A website with four weeks of traffic."""
    website = await admin.new_website(name="Reported", host="shop.example.com")
    traffic = make_traffic(
        8, sessions=800, start=today() - timedelta(days=28), end=today(), website_id=website["id"]
    )  # fmt: skip
    with psycopg.connect(database) as driver:
        load(driver, traffic)
    return int(website["id"])


@pytest.fixture
async def mails(tmp_path, monkeypatch):
    async with mail_server(tmp_path) as server:
        set_up(monkeypatch, server.settings)
        yield server


@pytest.fixture(autouse=True)
async def nothing_else_waits(client, database: str):
    """Deliveries of other tests are over."""
    with psycopg.connect(database, autocommit=True) as driver:
        driver.execute("UPDATE deliveries SET state = 'failed' WHERE state IN ('waiting', 'sending')")
        driver.execute("UPDATE email_reports SET is_enabled = false")


def set_up(monkeypatch, values: dict[str, Any]) -> None:
    """Have the service see those settings."""
    import web.reports
    from analytics_app.jobs import deliveries
    from analytics_app.settings import settings

    changed = settings().model_copy(update=values)
    for module in (deliveries, web.reports):
        monkeypatch.setattr(module, "settings", lambda: changed)


async def new_report(admin: Caller, site: int, **values: Any) -> str:
    made = await admin.post(f"/analytics/websites/{site}/email-reports", json={**BODY, **values})
    assert made.status == 201, await made.text()
    return f"/analytics/websites/{site}/email-reports/{(await made.json())['data']['id']}"


async def deliver(now: datetime | None = None) -> int:
    """Deliver what waits; returns how many attempts were made."""
    from analytics_app import clock
    from analytics_app.jobs.deliveries import deliver_next

    attempts = 0
    while await deliver_next(now or clock.now()):
        attempts += 1
    return attempts


async def sends(admin: Caller, path: str) -> list[dict[str, Any]]:
    answer = await admin.get(f"{path}/sends")
    assert answer.status == 200, await answer.text()
    return (await answer.json())["data"]


# The API.


async def test_a_report_is_made_read_changed_and_deleted(admin: Caller, site: int):
    path = await new_report(admin, site)
    made = (await (await admin.get(path)).json())["data"]
    assert made.items() >= {**BODY, "is_enabled": True, "website_id": site}.items()
    assert made["sections"] == ["pages", "sources", "countries", "goals"]
    assert datetime.fromisoformat(made["next_send_at"]).weekday() == 0
    changed = await admin.patch(path, json={"frequency": "daily", "recipients": ["a@example.com", "a@example.com"]})
    assert (await changed.json())["data"].items() >= {"frequency": "daily", "recipients": ["a@example.com"]}.items()
    put = (await (await admin.put(path, json={**BODY, "is_enabled": False})).json())["data"]
    assert (put["is_enabled"], put["next_send_at"]) == (False, None)
    listed = (await (await admin.get(path.rpartition("/")[0])).json())["data"]
    assert put["id"] in [one["id"] for one in listed]
    assert (await admin.delete(path)).status == 204
    await assert_error(await admin.get(path), 404, "NOT_FOUND")
    await assert_error(await admin.delete(path), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipients", []), ("recipients", ["nobody"]), ("recipients", ["a@example.com\nBcc: b@example.com"]),
        ("recipients", [f"u{n}@example.com" for n in range(51)]), ("frequency", "hourly"), ("metrics", []),
        ("metrics", ["nonsense"]), ("name", ""), ("sections", ["weather"]),
    ],
)  # fmt: skip
async def test_a_wrong_report_is_refused_where_it_is_wrong(admin: Caller, site: int, field: str, value: Any):
    answer = await admin.post(f"/analytics/websites/{site}/email-reports", json={**BODY, field: value})
    body = await assert_error(answer, 400, "VALIDATION_ERROR")
    assert body["details"][0]["field"].split(".")[0] == field


async def test_a_report_of_another_website_or_workspace_is_not_there(admin: Caller, site: int, stranger: Caller):
    path = await new_report(admin, site)
    other = (await admin.new_website())["id"]
    for caller, wrong in ((stranger, path), (admin, path.replace(f"/{site}/", f"/{other}/"))):
        for method, tail in (
            ("GET", ""), ("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/preview"), ("POST", "/send"),
            ("GET", "/sends"),
        ):  # fmt: skip
            await assert_error(await caller.call(method, wrong + tail, json=BODY), 404, "NOT_FOUND")


async def test_a_preview_shows_the_numbers_of_the_api_and_sends_nothing(admin: Caller, site: int, mails: MailServer):
    path = await new_report(admin, site, frequency="daily")
    shown = await (await admin.post(f"{path}/preview")).json()
    assert set(shown) == {"subject", "html", "text"}
    assert "shop.example.com" in shown["subject"]
    day = (today() - timedelta(days=1)).date().isoformat()
    stats = await (
        await admin.get(f"/analytics/websites/{site}/stats", params={"start_date": day, "end_date": day})
    ).json()
    row = next(line for line in shown["text"].splitlines() if line.startswith("Pageviews"))
    assert f"{stats['total_pageviews']:,}" in row.split()
    assert "data:image/png;base64," in shown["html"]
    assert await deliver() == 0
    assert mails.inbox.messages == []


async def test_a_report_tells_of_the_goals(admin: Caller, site: int):
    goal = {"name": "Reached nothing", "type": "pageview", "match_type": "equals", "match_value": "/nowhere"}
    await admin.post(f"/analytics/websites/{site}/goals", json=goal)
    path = await new_report(admin, site, sections=["goals"])
    text = (await (await admin.post(f"{path}/preview")).json())["text"]
    assert "Goals (Conversions)\n           0  Reached nothing" in text


async def test_without_a_mail_server_sending_says_what_to_set(admin: Caller, site: int):
    path = await new_report(admin, site)
    body = await assert_error(await admin.post(f"{path}/send"), 409, "CONFLICT")
    assert "ANALYTICS_SMTP_HOST" in body["error"]
    assert await sends(admin, path) == []


# Sending.


async def test_a_report_is_sent_by_hand_to_every_recipient_over_tls(admin: Caller, site: int, mails: MailServer):
    path = await new_report(admin, site, recipients=["a@example.com", "b@example.com"])
    answer = await admin.post(f"{path}/send")
    assert answer.status == 202
    told = await answer.json()
    assert told["ok"] is True
    assert await deliver() == 2
    (message,) = mails.inbox.to("a@example.com")
    assert message["From"] == "Analytics <stats@example.com>"
    assert len(mails.inbox.messages) == 2
    (sent,) = await sends(admin, path)
    assert (sent["id"], sent["trigger"], sent["state"]) == (told["send_id"], "manual", "sent")
    assert {one["state"] for one in sent["deliveries"]} == {"sent"}
    html = message.get_body(("html",))
    assert html is not None
    assert "Unsubscribe" in html.get_content()


async def test_who_unsubscribes_by_the_mails_link_gets_no_more(admin: Caller, nobody: Caller, site: int, mails):
    path = await new_report(admin, site, recipients=["stays@example.com", "goes@example.com"])
    await admin.post(f"{path}/send")
    await deliver()
    (message,) = mails.inbox.to("goes@example.com")
    link = urlsplit(re.fullmatch("<(.*)>", message["List-Unsubscribe"])[1])
    asked = await nobody.get(f"{link.path}?{link.query}")
    assert (asked.status, asked.content_type) == (200, "text/html")
    report = (await (await admin.get(path)).json())["data"]
    assert "goes@example.com" in report["recipients"], "looking at the page changes nothing"
    assert (await nobody.post(f"{link.path}?{link.query}", data="List-Unsubscribe=One-Click")).status == 200
    report = (await (await admin.get(path)).json())["data"]
    assert report["recipients"] == ["stays@example.com"]
    await admin.post(f"{path}/send")
    await deliver()
    assert len(mails.inbox.to("goes@example.com")) == 1
    assert len(mails.inbox.to("stays@example.com")) == 2
    await assert_error(await nobody.post(f"{link.path}?token=forged"), 404, "NOT_FOUND")


async def test_a_refused_recipient_has_failed_and_a_busy_one_is_tried_again(admin: Caller, site: int, mails):
    from analytics_app import clock

    path = await new_report(admin, site, recipients=["gone@example.com", "busy@example.com", "fine@example.com"])
    mails.inbox.refuse = {"gone@example.com": "550 no such user", "busy@example.com": "451 try later"}
    await admin.post(f"{path}/send")
    assert await deliver() == 3
    (sent,) = await sends(admin, path)
    found = {one["target"]: one for one in sent["deliveries"]}
    assert found["gone@example.com"]["state"] == "failed"
    assert "no such user" in found["gone@example.com"]["error"]
    assert (found["busy@example.com"]["state"], sent["state"]) == ("waiting", "waiting")
    assert found["fine@example.com"]["state"] == "sent"
    assert await deliver() == 0, "not before its pause is over"
    mails.inbox.refuse.clear()
    assert await deliver(clock.now() + timedelta(seconds=61)) == 1
    assert len(mails.inbox.to("busy@example.com")) == len(mails.inbox.to("fine@example.com")) == 1


async def test_a_wrong_password_and_a_strange_certificate_send_nothing(admin: Caller, site: int, mails, monkeypatch):
    path = await new_report(admin, site)
    for change in ({"smtp_password": SecretStr("wrong")}, {"smtp_ca_file": None}):
        set_up(monkeypatch, {**mails.settings, **change})
        await admin.post(f"{path}/send")
        assert await deliver() == 1
    assert mails.inbox.messages == []
    states = {one["state"] for sent in await sends(admin, path) for one in sent["deliveries"]}
    assert states == {"waiting"}


async def test_a_connection_cut_after_the_message_leaves_it_unknown_and_it_is_not_sent_again(
    admin: Caller, site: int, mails
):
    path = await new_report(admin, site)
    mails.inbox.on_message = lambda server: server.transport.abort()
    await admin.post(f"{path}/send")
    assert await deliver() == 1
    mails.inbox.on_message = None
    (sent,) = await sends(admin, path)
    assert sent["state"] == "unknown"
    assert await deliver(datetime.now(UTC) + timedelta(days=2)) == 0
    assert len(mails.inbox.messages) == 1


# By themselves.


async def due(admin: Caller, site: int, **values: Any) -> tuple[str, datetime]:
    """A new report that falls due every day, and when it first does: the next time it is eight."""
    path = await new_report(admin, site, frequency="daily", **values)
    eight = today() + timedelta(hours=8)
    at = eight if datetime.now(UTC) < eight else eight + timedelta(days=1)
    return path, at + timedelta(seconds=1)


async def test_two_schedulers_send_a_due_report_once(admin: Caller, site: int, database: str, mails):
    from analytics_app.jobs.reports import plan_due

    path, at = await due(admin, site, recipients=["a@example.com", "b@example.com"])
    await asyncio.gather(*(plan_due(at) for _ in range(4)))
    await asyncio.gather(*(deliver(at) for _ in range(4)))
    await plan_due(at + timedelta(hours=3))
    assert await deliver(at + timedelta(hours=3)) == 0
    assert sorted(recipient for recipient, _ in mails.inbox.messages) == ["a@example.com", "b@example.com"]
    (sent,) = await sends(admin, path)
    assert (sent["trigger"], sent["state"]) == ("schedule", "sent")
    assert sent["period_end"] == at.strftime("%Y-%m-%dT00:00:00Z")


async def test_nothing_is_due_before_eight_nor_what_fell_due_before_the_report_was_made(
    admin: Caller, site: int, database: str, mails
):
    from analytics_app import clock
    from analytics_app.jobs.reports import plan_due

    path, at = await due(admin, site)
    await plan_due(clock.now())
    await plan_due(at - timedelta(seconds=2))
    assert await sends(admin, path) == []
    await plan_due(at)
    assert len(await sends(admin, path)) == 1


async def test_a_due_report_waits_for_a_mail_server_to_be_set_up(
    admin: Caller, site: int, database: str, monkeypatch, tmp_path
):
    from analytics_app.jobs.reports import plan_due

    path, at = await due(admin, site)
    await plan_due(at)
    assert await deliver(at) == 1
    (sent,) = await sends(admin, path)
    assert sent["state"] == "waiting"
    assert "ANALYTICS_SMTP_HOST" in sent["deliveries"][0]["error"]
    async with mail_server(tmp_path) as server:
        set_up(monkeypatch, server.settings)
        assert await deliver(at + timedelta(minutes=2)) == 1
        assert len(server.inbox.messages) == 1


SENDER = """
import asyncio, sys
from datetime import datetime, timedelta
from analytics_app.jobs import deliveries

async def main() -> None:
    await deliveries.deliver_next(datetime.fromisoformat(sys.argv[1]))

asyncio.run(main())
"""


async def kill_while_sending(mails: MailServer, database: str, at: datetime) -> None:
    """Have another process deliver, and kill it once the server has the message, before it can note so."""
    env = {
        **os.environ, "DATABASE_URL": database, "ANALYTICS_DATABASE_URL": database, "ANALYTICS_SMTP_HOST": "localhost",
        "ANALYTICS_SMTP_PORT": str(mails.port), "ANALYTICS_SMTP_USERNAME": "stats",
        "ANALYTICS_SMTP_PASSWORD": "correct horse", "ANALYTICS_SMTP_FROM": "stats@example.com",
        "ANALYTICS_SMTP_CA_FILE": str(mails.ca_file),
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", SENDER, at.isoformat()], env=env)
    mails.inbox.on_message = lambda _: os.kill(process.pid, signal.SIGKILL)
    assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL
    mails.inbox.on_message = None


async def test_a_process_killed_between_sending_and_noting_leaves_it_unknown_and_nobody_sends_it_again(
    admin: Caller, site: int, database: str, mails
):
    from analytics_app.db import transaction
    from analytics_app.deliveries import store
    from analytics_app.jobs.deliveries import KILLED_AFTER
    from analytics_app.jobs.reports import plan_due

    path, at = await due(admin, site)
    await plan_due(at)
    await kill_while_sending(mails, database, at)
    assert len(mails.inbox.messages) == 1
    later = at + timedelta(hours=1)
    assert await deliver(later) == 0
    async with transaction() as db:
        assert await store.give_up_killed(db, later, KILLED_AFTER) == 1
    assert await deliver(later) == 0
    (sent,) = await sends(admin, path)
    assert sent["state"] == "unknown"
    assert "send it again by hand" in sent["deliveries"][0]["error"]
    assert len(mails.inbox.messages) == 1
    await admin.post(f"{path}/send")
    await deliver(later)
    assert len(mails.inbox.messages) == 2


async def test_control_a_delivery_that_was_not_noted_before_it_was_sent_is_sent_twice(
    admin: Caller, site: int, database: str, mails
):
    from analytics_app.jobs.reports import plan_due

    _, at = await due(admin, site)
    await plan_due(at)
    await kill_while_sending(mails, database, at)
    with psycopg.connect(database, autocommit=True) as driver:  # as if only the end were noted
        driver.execute("UPDATE deliveries SET state = 'waiting' WHERE state = 'sending'")
    await deliver(at)
    assert len(mails.inbox.messages) == 2
