"""What a report tells: its numbers, gathered from the statistics."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.goals import store as goals
from analytics_app.reports.logic import Figure, Summary, Table, figure_of, span_of
from analytics_app.stats import store
from analytics_app.stats.breakdown_store import breakdown
from analytics_app.stats.breakdowns import Sort
from analytics_app.stats.conversions_store import Of, tally
from analytics_app.stats.filters import dimension_named
from analytics_app.stats.periods import Interval, Period, buckets_of
from analytics_app.stats.selection_store import EVERYTHING

ROWS = 8
GOALS = 100
TABLES = {
    "pages": ("Top pages", "Page", "page"),
    "sources": ("Top sources", "Source", "source"),
    "countries": ("Countries", "Country", "country"),
}


async def summary_of(db: AsyncConnection, report: Any, period: Period) -> Summary:
    """What `report` (a row, with its website's name and host) tells of `period`. Best asked in one snapshot."""
    before = period.previous("previous_period")
    now_totals = await store.totals(db, report.website_id, period.start, period.end)
    before_totals = await store.totals(db, report.website_id, before.start, before.end)
    keys, visitors = await _visitors(db, report.website_id, report.frequency, period)
    _, visitors_before = await _visitors(db, report.website_id, report.frequency, before)
    figures: list[Figure] = [figure_of(metric, now_totals, before_totals) for metric in report.metrics]
    return Summary(
        website=report.website_name,
        host=report.website_host,
        name=report.name,
        frequency=report.frequency,
        span=span_of(period),
        figures=figures,
        tables=[await _table(db, report.website_id, section, period) for section in report.sections],
        keys=keys,
        visitors=visitors,
        visitors_before=visitors_before[: len(visitors)],
    )


async def _visitors(
    db: AsyncConnection, website_id: int, frequency: str, period: Period
) -> tuple[Sequence[str], Sequence[int]]:
    """Different visitors of each day, of a single day's each hour."""
    interval: Interval = "hour" if frequency == "daily" else "day"
    buckets = buckets_of(period, interval)
    found = await store.series(db, website_id, buckets, wanted=frozenset({"visitors"}))
    return buckets.keys, [totals.visitors for totals in found]


async def _table(db: AsyncConnection, website_id: int, section: str, period: Period) -> Table:
    if section == "goals":
        return await _goals(db, website_id, period)
    title, what, dimension = TABLES[section]
    lines, _ = await breakdown(
        db,
        website_id,
        period.start,
        period.end,
        EVERYTHING,
        dimension_named(dimension),
        sort=Sort(),
        limit=ROWS,
        engagement=False,
    )
    return Table(title, what, "Visitors", [(line.value, f"{line.totals.visitors:,}") for line in lines])


async def _goals(db: AsyncConnection, website_id: int, period: Period) -> Table:
    """The enabled goals with what they came to, the best first."""
    found = []
    for row in await goals.goals_of(db, website_id, after=0, limit=GOALS):
        if row.is_enabled:
            of = Of(website_id, row.id, row.revision, by_event=False)
            told = await tally(db, of, period.start, period.end, EVERYTHING)
            found.append((sum(share.conversions for share in told.shares), row.name))
    rows = [(name, f"{conversions:,}") for conversions, name in sorted(found, key=lambda one: (-one[0], one[1]))]
    return Table("Goals", "Goal", "Conversions", rows[:ROWS])
