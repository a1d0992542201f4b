"""The job that looks whether traffic and goals are as usual, and tells where they are not."""

from datetime import datetime, timedelta
from typing import Any

from analytics_app.alerts import store
from analytics_app.alerts.logic import Verdict, judge, windows
from analytics_app.db import snapshot, transaction
from analytics_app.deliveries import store as deliveries


async def check_all(now: datetime) -> None:
    """Judge every alert; of two processes that do so at once, one tells of each."""
    async with transaction() as db:
        alerts = await store.enabled(db)
    for alert in alerts:
        verdict = await verdict_of(alert, now)
        async with transaction() as db:
            if not verdict.fires:
                await store.resolve(db, alert.id, now)
                continue
            before = now - timedelta(minutes=alert.cooldown_minutes)
            firing_id = await store.fire(db, alert.id, now, before, verdict.value, verdict.usual)
            if firing_id is not None:
                await deliveries.add(db, targets_of(alert), firing_id=firing_id)


async def verdict_of(alert: Any, now: datetime) -> Verdict:
    """What the alert finds at `now`."""
    async with snapshot() as db:
        since = await store.first_event_at(db, alert.website_id)
        if since is None:
            return Verdict(False, 0, 0.0)
        spans = windows(now, alert.window_minutes, since)
        if alert.type == "goal_silence":
            counted = await store.conversions(db, alert.website_id, alert.goal_id, spans)
        else:
            counted = await store.counts(db, alert.website_id, alert.metric, spans)
    return judge(alert.type, counted, alert.threshold_percent, alert.min_count)


def targets_of(alert: Any) -> list[tuple[str, str]]:
    """Whom the alert tells: (channel, address)."""
    mails = [("email", recipient) for recipient in alert.recipients]
    return mails + ([("webhook", alert.webhook_url)] if alert.webhook_url else [])
