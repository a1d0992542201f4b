"""Totals and time series. What is added up in advance is read from there; the rest is counted from rows."""

from bisect import bisect_right
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Label,
    Select,
    func,
    or_,
    select,
    union,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.stats.groups_store import WHOLE, bucket, by_time
from analytics_app.stats.logic import Totals
from analytics_app.stats.periods import Buckets
from analytics_app.stats.rollups_store import ADDITIVE, begun, rolled_up, total
from analytics_app.stats.sealed_store import covered, covered_by_bucket, sealed_sums, sought
from analytics_app.stats.selection_store import (
    EVENTS,
    EVERYTHING,
    SESSIONS,
    Selection,
    happened,
    started,
    under_way,
)
from analytics_app.stats.sums_store import IS_PAGEVIEW, arm, sums
from analytics_app.stats.tallies import Tally
from analytics_app.stats.zones import is_quarter


async def totals(
    db: AsyncConnection, website_id: int, start: datetime, end: datetime, selection: Selection = EVERYTHING
) -> Totals:
    """The totals of `[start, end)`, exact."""
    if start >= end:
        return Totals()
    wanted = sought(selection)
    found = await covered(db, website_id, start, end, wanted) if wanted else None
    if wanted is None or found is None:
        return Totals.of(await _totals_from_rows(db, website_id, start, end, selection))
    sealed = await sealed_sums(db, website_id, wanted, [(1, piece) for piece in found.pieces])
    tally = sealed.get(1, Tally())
    for since, until in found.gaps:
        tally.add_row(await _totals_from_rows(db, website_id, since, until, selection, who=True))
    return Totals.of(tally.counted())


async def requests(db: AsyncConnection, website_id: int, start: datetime, end: datetime) -> int:
    """The pageviews and events of `[start, end)`, exact."""
    if start >= end:
        return 0
    row = (await db.execute(*total(website_id, start, end))).mappings().one_or_none()
    return int(row["pageviews"] or 0) + int(row["events"] or 0) if row else 0


async def _totals_from_rows(
    db: AsyncConnection, website_id: int, start: datetime, end: datetime, selection: Selection, *, who: bool = False
) -> dict[str, Any]:
    """The sums of `[start, end)`, and the visitors' number or, asked for `who`, their numbers."""
    if not selection.is_everything:
        query = select(sums(website_id, start, end, selection, WHOLE, who=who))
        return dict((await db.execute(query)).mappings().one_or_none() or {})
    asked = total(website_id, start, end, visitors="who" if who else "visitors")
    return dict((await db.execute(*asked)).mappings().one())


async def visitors_between(
    db: AsyncConnection, website_id: int, start: datetime, end: datetime, selection: Selection = EVERYTHING
) -> int:
    """How many different visitors were active in `[start, end)`: with a selected event, or a selected session."""
    return (await totals(db, website_id, start, end, selection)).visitors


async def series(
    db: AsyncConnection,
    website_id: int,
    buckets: Buckets,
    selection: Selection = EVERYTHING,
    wanted: frozenset[str] = frozenset({"visitors", *ADDITIVE}),
) -> list[Totals]:
    """The totals of each bucket, exact; of the sums at least those `wanted`, the others may be 0."""
    if not buckets.starts:
        return []
    numbers = range(1, len(buckets.starts) + 1)
    asked = sought(selection)
    found = await covered_by_bucket(db, website_id, buckets.starts, buckets.end, asked) if asked else None
    if asked is None or found is None:
        rows = await series_from_rows(db, website_id, buckets, selection, wanted)
        return [Totals.of(rows.get(number, {})) for number in numbers]
    pieces, gaps = found
    tallies = await sealed_sums(db, website_id, asked, pieces)
    for since, until in gaps:
        within = [start for start in buckets.starts if since < start < until]
        before = bisect_right(buckets.starts, since) - 1
        if not within:
            row = await _totals_from_rows(db, website_id, since, until, selection, who=True)
            tallies.setdefault(before + 1, Tally()).add_row(row)
            continue
        part = Buckets([], [since, *within], until)
        rows = await series_from_rows(db, website_id, part, selection, wanted, who=True)
        for number, row in rows.items():
            tallies.setdefault(before + number, Tally()).add_row(row)
    return [Totals.of(tallies[number].counted() if number in tallies else {}) for number in numbers]


async def series_from_rows(
    db: AsyncConnection,
    website_id: int,
    buckets: Buckets,
    selection: Selection,
    wanted: frozenset[str],
    *,
    who: bool = False,
) -> dict[int, dict[str, Any]]:
    """The sums of each bucket by its number, from 1; asked for `who`, with the visitors' numbers."""
    found: dict[int, dict[str, Any]] = {}
    for query in _series_queries(website_id, buckets, selection, wanted, who=who):
        for row in (await db.execute(query)).mappings():
            held = found.setdefault(row["grp"], {})
            for name in ("visitors", *ADDITIVE):
                held[name] = held.get(name, 0) + (row.get(name) or 0)
            held["who"] = held.get("who") or row.get("who")
    return found


def _series_queries(
    website_id: int, buckets: Buckets, selection: Selection, wanted: frozenset[str], *, who: bool
) -> list[Select[Any]]:
    start, end = buckets.starts[0], buckets.end
    if selection.on_events:
        return [select(sums(website_id, start, end, selection, by_time(buckets.starts), who=who))]
    queries: list[Select[Any]] = []
    if "visitors" in wanted:
        queries.append(_visitors_by_bucket(website_id, buckets, selection, who=who))
    if not wanted & frozenset(ADDITIVE):
        return queries
    if selection.is_everything and all(map(is_quarter, buckets.starts[1:])):
        queries.append(select(rolled_up(website_id, start, end, buckets.starts)))
        return queries
    if wanted & {"sessions", "bounces", "duration_s", "session_pageviews"}:
        queries.append(_sessions_by_bucket(website_id, buckets, selection))
    if wanted & {"pageviews", "events"}:
        queries += [_within_a_bucket(website_id, buckets, selection), _across_buckets(website_id, buckets, selection)]
    return queries


# From sessions.


def _sessions_by_bucket(website_id: int, buckets: Buckets, selection: Selection) -> Select[Any]:
    return begun(website_id, buckets.starts[0], buckets.end, selection, buckets.starts)


def _visitors_by_bucket(website_id: int, buckets: Buckets, selection: Selection, *, who: bool) -> Select[Any]:
    """Different visitors of each bucket, or their numbers; who stays over its end is also one of the next."""
    starts = buckets.starts
    first = func.greatest(bucket(SESSIONS.c.started_at, starts), 1)
    last = bucket(SESSIONS.c.last_at, starts)
    sessions = select(first.label("grp"), SESSIONS.c.visitor).where(
        under_way(website_id, starts[0], buckets.end), *selection.of_sessions()
    )
    # The few that cross an edge apart: Postgres takes a series to have a thousand rows, and to be spared sorting so
    # many it would read every session there is, by visitor.
    crossing = sessions.add_columns(last.label("last")).where(first < last).cte("crossing").prefix_with("MATERIALIZED")
    visitors = union(
        sessions.where(first == last),
        select(func.generate_series(crossing.c.grp, crossing.c.last).label("grp"), crossing.c.visitor),
    ).subquery("visitors")
    counted = func.array_agg(visitors.c.visitor, type_=ARRAY(BigInteger)).label("who") if who else _number_of_rows()
    return select(visitors.c.grp, counted).group_by(visitors.c.grp)


def _number_of_rows() -> Label[int]:
    return func.count().label("visitors")


def _within_a_bucket(website_id: int, buckets: Buckets, selection: Selection) -> Select[Any]:
    """Pageviews and events of the sessions that lie in one bucket as a whole."""
    first = bucket(SESSIONS.c.started_at, buckets.starts)
    return (
        arm(SESSIONS, first, pageviews=func.sum(SESSIONS.c.pageviews), events=func.sum(SESSIONS.c.events))
        .where(started(website_id, buckets.starts[0], buckets.end), *selection.of_sessions())
        .where(SESSIONS.c.last_at < buckets.end, bucket(SESSIONS.c.last_at, buckets.starts) == first)
        .group_by("grp")
    )


def _across_buckets(website_id: int, buckets: Buckets, selection: Selection) -> Select[Any]:
    """Pageviews and events of the sessions that cross the edge of a bucket."""
    start, end = buckets.starts[0], buckets.end
    first, last = bucket(SESSIONS.c.started_at, buckets.starts), bucket(SESSIONS.c.last_at, buckets.starts)
    return (
        arm(
            SESSIONS.join(EVENTS, EVENTS.c.session_id == SESSIONS.c.id),
            bucket(EVENTS.c.at, buckets.starts),
            pageviews=func.count().filter(IS_PAGEVIEW),
            events=func.count().filter(~IS_PAGEVIEW),
        )
        .where(happened(website_id, start, end))
        .where(under_way(website_id, start, end), *selection.of_sessions())
        .where(or_(first < last, SESSIONS.c.last_at >= end))
        .group_by("grp")
    )
