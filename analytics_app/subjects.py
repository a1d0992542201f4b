"""A visitor as the one whose data it is: everything held of them, shown, erased, or made to lead to nobody.

Each capability hangs in here what it holds of a visitor. What it derives from sessions goes with these
(`analytics_app.removal.DERIVED`) and needs no `remove` of its own.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analytics_app.bots import subject_store as detections
from analytics_app.db import AsyncDriver
from analytics_app.experiments import exposures_store
from analytics_app.funnels import subject_store as funnels
from analytics_app.gdpr import erasing_store
from analytics_app.gdpr.logic import Subject
from analytics_app.goals.subject_store import conversions_of
from analytics_app.heatmaps import subject_store as heatmaps_store
from analytics_app.removal import remove
from analytics_app.replays import subject_store as replays
from analytics_app.sessions import removal_store, subject_store

Read = Callable[[AsyncDriver, Subject], Awaitable[list[dict[str, Any]]]]
Change = Callable[[AsyncDriver, Subject], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Holding:
    """One kind of data about a visitor: its name in exports and counts, and what can be done about it."""

    name: str
    read: Read
    remove: Change | None = None
    """Deletes what does not go with the sessions. The website is held alone."""
    anonymise: Change | None = None
    """Cuts what leads to the visitor by anything but its row in `visitors`. The website is held alone."""


HOLDINGS: tuple[Holding, ...] = (
    Holding("sessions", subject_store.sessions_of),
    Holding("events", subject_store.events_of),
    Holding("pageviews", subject_store.pageviews_of),
    Holding("conversions", conversions_of),
    Holding("exposures", exposures_store.exposures_of, exposures_store.remove_visitor),
    Holding("funnel_progress", funnels.progress_of, funnels.remove_progress),
    Holding(
        "detections",
        detections.detections_of,
        detections.remove_detections,
        detections.anonymise_detections,
    ),
    Holding(
        "heatmap_samples",
        heatmaps_store.samples_of,
        heatmaps_store.remove_samples,
        heatmaps_store.anonymise_samples,
    ),
    Holding("replays", replays.replays_of, replays.remove_replays, replays.remove_replays),
    Holding("consents", erasing_store.consents_of, erasing_store.remove_consents, erasing_store.remove_consents),
)
"""Everything that is held of a visitor beside the visitor itself, in the order of exports."""


async def erase(
    db: AsyncDriver, website_id: int, visitor: str, now: datetime, until: datetime
) -> dict[str, int] | None:
    """Delete everything held of a visitor, in the transaction of `db`; returns how much of each kind.

    None where nothing is held. Texts that nobody else used are left over (`analytics_app.jobs.erasures`). What the
    visitor sent up to `now` and is still on its way is left out, until `until`. Totals lose what is deleted, and stay
    exact.
    """
    subject = await _hold(db, website_id, visitor)
    counts = await _counts(db, subject)
    if subject.number is None and not any(counts.values()):
        return None
    await erasing_store.remember(db, subject, "delete", now, until)
    if subject.number is not None:
        sessions = await removal_store.sessions_of_visitors(db, website_id, [subject.number])
        await remove(db, website_id, sessions)
    for holding in HOLDINGS:
        if holding.remove is not None:
            await holding.remove(db, subject)
    failed = await erasing_store.remove_failed(db, subject)
    known = await removal_store.forget_visitors(db, website_id, [subject.number] if subject.number is not None else [])
    return {**counts, "failed_records": failed, "visitor": known}


async def anonymise(
    db: AsyncDriver, website_id: int, visitor: str, now: datetime, until: datetime
) -> dict[str, int] | None:
    """Cut everything that leads from rows to a visitor, in the transaction of `db`; returns how much of each kind.

    None where nothing is held. Every number stays as it is. Running sessions are closed: who goes on is somebody new.
    What the visitor sent up to `now` and is still on its way counts, until `until`, as of somebody who is nobody;
    recordings are left out.
    """
    subject = await _hold(db, website_id, visitor)
    counts = await _counts(db, subject)
    if subject.number is None and not any(counts.values()):
        return None
    await erasing_store.remember(db, subject, "anonymise", now, until)
    if subject.number is not None:
        sessions = await removal_store.sessions_of_visitors(db, website_id, [subject.number])
        await removal_store.close_sessions(db, website_id, sessions)
    for holding in HOLDINGS:
        if holding.anonymise is not None:
            await holding.anonymise(db, subject)
    failed = await erasing_store.remove_failed(db, subject)
    known = await erasing_store.forget_hash(db, subject) if subject.number is not None else 0
    return {**counts, "failed_records": failed, "visitor": known}


async def close(db: AsyncDriver, website_id: int, visitor: str) -> None:
    """Let nothing go on with the visitor's running sessions, in the transaction of `db`."""
    subject = await _hold(db, website_id, visitor)
    if subject.number is not None:
        sessions = await removal_store.sessions_of_visitors(db, website_id, [subject.number])
        await removal_store.close_sessions(db, website_id, sessions)


async def _hold(db: AsyncDriver, website_id: int, visitor: str) -> Subject:
    await removal_store.hold_alone(db, website_id)
    return Subject(website_id, visitor, await erasing_store.lock_number(db, website_id, visitor))


async def _counts(db: AsyncDriver, subject: Subject) -> dict[str, int]:
    return {holding.name: len(await holding.read(db, subject)) for holding in HOLDINGS}
