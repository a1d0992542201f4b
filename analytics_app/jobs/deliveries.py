"""What is to be delivered, delivered: one message at a time, noted before and after.

A message is noted as being sent, and that is committed, before it is handed over: of two processes one sends it, and a
process that is killed in between leaves a delivery whose end nobody knows, which is never begun again by itself.
"""

import asyncio
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import orjson
import structlog

from analytics_app import clock
from analytics_app.alerts import store as alerts
from analytics_app.alerts.logic import Verdict, sentence_of
from analytics_app.db import is_away, snapshot, transaction
from analytics_app.deliveries import smtp, store, webhook
from analytics_app.deliveries.logic import Outcome, after
from analytics_app.jobs.report_content import summary_of
from analytics_app.reports import store as reports
from analytics_app.reports.content import alert_mail, message_of, report_mail
from analytics_app.reports.unsubscribing import sign
from analytics_app.secret import secret
from analytics_app.settings import settings
from analytics_app.stats.periods import Period
from analytics_app.stats.zones import zone_named

LOOK_EVERY_S = 2.0
KILLED_AFTER = timedelta(minutes=5)
"""No attempt lasts so long: a delivery begun before that was left by a process that is gone."""
GONE = Outcome("refused", "what it was about has been deleted")

log = structlog.get_logger(__name__)


def service_address() -> str:
    """The address at which browsers reach this service."""
    return settings().public_url.rstrip("/") or f"http://localhost:{settings().port}"


def unsubscribe_link(report_id: int, recipient: str) -> str:
    """The link that takes a recipient off a report."""
    token = sign(secret(settings()), report_id, recipient)
    return f"{service_address()}/analytics/email-reports/unsubscribe?token={token}"


async def deliver_next(now: datetime) -> bool:
    """Deliver what waits longest; returns whether anything did. Raises what the database raises."""
    async with transaction() as db:
        delivery = await store.claim(db, now)
    if delivery is None:
        return False
    try:
        outcome = await _attempt(delivery, now)
    except Exception as error:
        if is_away(error):  # nothing was handed over: what is sent was read before
            outcome = Outcome("later", "the database was away")
        else:
            log.exception("a message could not be made", delivery=delivery.id)
            outcome = Outcome("later", f"{type(error).__name__}: {error}"[:500])
    if outcome.kind != "sent":
        log.warning("not delivered", delivery=delivery.id, outcome=outcome.kind, error=outcome.error)
    async with transaction() as db:
        await store.settle(db, delivery.id, after(outcome, delivery.attempts, delivery.created_at, now), clock.now())
    return True


async def keep_delivering() -> None:
    """Deliver what waits, again and again, until cancelled. Where Postgres is away, it waits."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            async with transaction() as db:
                await store.give_up_killed(db, clock.now(), KILLED_AFTER)
            while await deliver_next(clock.now()):
                pass
        except Exception as error:
            if is_away(error):
                log.warning("deliveries wait for Postgres")
            else:
                log.exception("deliveries could not be made")


async def _attempt(delivery: Any, now: datetime) -> Outcome:
    if delivery.send_id is not None:
        return await _send_report(delivery, now)
    async with transaction() as db:
        firing = await alerts.firing_with_alert(db, delivery.firing_id)
    if firing is None:
        return GONE
    if delivery.channel == "webhook":
        return await _call_webhook(delivery, firing, now)
    mail = alert_mail(
        website=firing.website_name,
        host=firing.website_host,
        name=firing.name,
        sentence=_sentence(firing),
        at=clock.iso(firing.fired_at),
        is_test=firing.is_test,
    )
    sender = settings().smtp_from or "analytics"
    message = message_of(mail, sender=sender, recipient=delivery.target, number=delivery.id, now=now)
    return await smtp.send(settings(), message, delivery.target)


async def _send_report(delivery: Any, now: datetime) -> Outcome:
    if not smtp.is_set(settings()):
        return Outcome("unset", smtp.UNSET)
    async with snapshot() as db:
        report = await reports.send_with_report(db, delivery.send_id)
        if report is None:
            return GONE
        if delivery.target not in report.recipients:
            return Outcome("refused", "the recipient has unsubscribed, or was taken off")
        period = Period(report.period_start, report.period_end, zone_named(report.website_timezone))
        summary = await summary_of(db, report, period)
    link = unsubscribe_link(report.id, delivery.target)
    message = await asyncio.to_thread(_report_message, summary, link, delivery, now)
    return await smtp.send(settings(), message, delivery.target)


def _report_message(summary: Any, link: str, delivery: Any, now: datetime) -> EmailMessage:
    return message_of(
        report_mail(summary, link),
        sender=settings().smtp_from,
        recipient=delivery.target,
        number=delivery.id,
        now=now,
        unsubscribe=link,
    )


async def _call_webhook(delivery: Any, firing: Any, now: datetime) -> Outcome:
    body = {
        "type": firing.type,
        "alert_id": firing.id,
        "firing_id": delivery.firing_id,
        "name": firing.name,
        "website_id": firing.website_id,
        "host": firing.website_host,
        "message": _sentence(firing),
        "value": firing.value,
        "usual": firing.usual,
        "window_minutes": firing.window_minutes,
        "at": clock.iso(firing.fired_at),
        "is_test": firing.is_test,
    }
    return await webhook.call(
        delivery.target,
        orjson.dumps(body),
        key=webhook.signing_secret(secret(settings()), firing.id),
        delivery_id=delivery.id,
        timestamp=round(now.timestamp()),
        allowed=settings().webhook_networks,
    )


def _sentence(firing: Any) -> str:
    what = "The goal" if firing.type == "goal_silence" else firing.metric
    verdict = Verdict(fires=True, value=firing.value, usual=firing.usual)
    return sentence_of(firing.type, what, verdict, firing.window_minutes)
