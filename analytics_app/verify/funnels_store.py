"""Attempts at funnels against a recount of the events."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.arrays import numbers
from analytics_app.db import AsyncDriver, driver_of
from analytics_app.funnels.definitions_store import funnels_of_websites
from analytics_app.funnels.logic import Event, Funnel, FunnelSet
from analytics_app.funnels.progress import Seen
from analytics_app.funnels.progress_store import stored_events, visitors_after
from analytics_app.verify.funnels import Attempt, attempts
from analytics_app.verify.logic import Difference

VISITORS_AT_ONCE = 1_000

_STRAY = """
SELECT DISTINCT r.funnel_id, r.visitor FROM funnel_runs r JOIN funnels f ON f.id = r.funnel_id
WHERE f.website_id = %s AND f.revision = r.revision
    AND NOT EXISTS (SELECT FROM sessions s WHERE s.website_id = f.website_id AND s.visitor = r.visitor)
ORDER BY 1, 2 LIMIT %s
"""


async def differences(db: AsyncConnection, website_id: int, most: int) -> list[Difference]:
    """Attempts of the website's funnels that are not those a recount gives; none while they are being gone through."""
    found = (await funnels_of_websites(db, [website_id])).get(website_id, ())
    if not found or not found[0].is_settled:
        return []
    driver = await driver_of(db)
    rows = await driver.execute(_STRAY, (website_id, most))
    told = [
        Difference("funnels", website_id, f"funnel {funnel_id}", f"visitor {visitor}", "attempts", "no session")
        async for funnel_id, visitor in rows
    ]
    after = 0
    while len(told) < most and (visitors := await visitors_after(driver, website_id, after, VISITORS_AT_ONCE)):
        told += await _of_visitors(driver, found[0], visitors)
        after = visitors[-1]
    return told[:most]


async def _of_visitors(db: AsyncDriver, funnels: FunnelSet, visitors: Sequence[int]) -> list[Difference]:
    seen = await stored_events(db, funnels.website_id, visitors)
    stored = await _stored(db, funnels, visitors)
    told = []
    for place, funnel in enumerate(funnels.funnels):
        for visitor in visitors:
            there = stored.get((funnel.id, visitor), [])
            counted = attempts(funnel, _events(funnels, funnel, place, seen[visitor]))
            if there != counted:
                told.append(_difference(funnels.website_id, funnel, visitor, there, counted))
    return told


def _events(funnels: FunnelSet, funnel: Funnel, place: int, seen: Sequence[Seen]) -> list[Event]:
    masks = [(one, funnels.met(one.kind, one.text).get(place, 0)) for one in seen]
    events = [Event(one.at_ms, one.id, one.session_id, mask) for one, mask in masks]
    return sorted(event for event in events if funnel.is_strict or event.mask)


async def _stored(db: AsyncDriver, funnels: FunnelSet, visitors: Sequence[int]) -> dict[tuple[int, int], list[Attempt]]:
    rows: Any = await db.execute(
        "SELECT r.funnel_id, r.visitor, r.event_id, r.session_id, (extract(epoch FROM r.started_at) * 1000)::bigint, "
        "r.required, r.is_open, r.offsets_ms FROM funnel_runs r JOIN funnels f ON f.id = r.funnel_id "
        "WHERE f.website_id = %s AND f.revision = r.revision AND r.visitor = ANY(%s::bigint[]) "
        "ORDER BY r.started_at, r.event_id",
        (funnels.website_id, numbers(visitors)),
    )
    found: dict[tuple[int, int], list[Attempt]] = {}
    async for funnel_id, visitor, *attempt, offsets in rows:
        found.setdefault((funnel_id, visitor), []).append(Attempt._make((*attempt, tuple(offsets))))
    return found


def _difference(
    website_id: int, funnel: Funnel, visitor: int, there: Sequence[Attempt], counted: Sequence[Attempt]
) -> Difference:
    """The first attempt that is another."""
    pairs = [(one, None) for one in there if one not in counted] + [(None, one) for one in counted if one not in there]
    stored = next((str(one) for one, _ in pairs if one), "-")
    wanted = next((str(one) for _, one in pairs if one), "-")
    return Difference("funnels", website_id, f"funnel {funnel.id}", f"visitor {visitor}", stored, wanted)
