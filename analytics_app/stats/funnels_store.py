"""The numbers of a funnel, of a period and of a selection like all statistics.

Of each visitor the best attempt counts that began in the period. An attempt belongs to the session that its step 1
lies in: that is what filters and breakdowns are about.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Integer, Select, case, exists, func, literal, null, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.funnels.logic import Funnel
from analytics_app.funnels.models import FunnelRunRow
from analytics_app.funnels.numbers import Sums, Times, nothing
from analytics_app.sessions.models import TermRow
from analytics_app.stats.filters import NONE, Dimension
from analytics_app.stats.groups_store import bucket, by_dimension
from analytics_app.stats.selection_store import EVENTS, LONGEST_SESSION, SESSIONS, Selection, during, happened

RUNS = FunnelRunRow.__table__.alias("r")


async def sums(
    db: AsyncConnection, website_id: int, funnel: Funnel, start: datetime, end: datetime, selection: Selection
) -> Sums:
    """The sums of the attempts that began in `[start, end)`."""
    attempts = _attempts(website_id, funnel, start, end, selection, null().cast(Integer))
    found = await _by_group(db, funnel, attempts)
    return found.get(None, nothing(funnel))


async def sums_by_time(
    db: AsyncConnection,
    website_id: int,
    funnel: Funnel,
    starts: Sequence[datetime],
    end: datetime,
    selection: Selection,
) -> list[Sums]:
    """The same for each bucket of time; a visitor's best attempt of each."""
    if not starts:
        return []
    attempts = _attempts(website_id, funnel, starts[0], end, selection, bucket(RUNS.c.started_at, starts))
    found = await _by_group(db, funnel, attempts)
    return [found.get(number, nothing(funnel)) for number in range(1, len(starts) + 1)]


async def sums_by_value(
    db: AsyncConnection,
    website_id: int,
    funnel: Funnel,
    start: datetime,
    end: datetime,
    selection: Selection,
    dimension: Dimension,
    limit: int,
) -> list[tuple[str, Sums]]:
    """The same for each value of a dimension, of which a visitor may have several; most entrants first.

    A session is in the group of each of its events' values where the dimension is one of events.
    """
    attempts = _attempts(website_id, funnel, start, end, selection, null(), dimension)
    found = await _by_group(db, funnel, attempts, limit)
    if dimension.kind is None:
        return [(str(value), held) for value, held in found.items()]
    numbers = [value for value in found if value is not None]
    rows = await db.execute(select(TermRow.id, TermRow.text).where(TermRow.id == func.any(numbers)))
    texts: Mapping[Any, str] = {row.id: row.text for row in rows}
    return [(texts.get(value, NONE), held) for value, held in found.items()]


async def standing(
    db: AsyncConnection, website_id: int, funnel: Funnel, now: datetime, selection: Selection
) -> dict[int, int]:
    """Visitors standing at each step (by its place from 0): with an attempt that may go on, at its last step."""
    since = now - timedelta(milliseconds=funnel.window_ms)
    attempts = _attempts(website_id, funnel, since, now + timedelta(days=1), selection, null().cast(Integer))
    best = _best(attempts.where(RUNS.c.is_open))
    places = reversed(range(len(funnel.steps)))
    last = case(*((best.c.offsets_ms[place + 1].is_not(None), place) for place in places), else_=0)
    rows = await db.execute(select(last.label("place"), func.count().label("visitors")).group_by("place"))
    return {row.place: row.visitors for row in rows}


def _attempts(
    website_id: int,
    funnel: Funnel,
    start: datetime,
    end: datetime,
    selection: Selection,
    group: ColumnElement[Any],
    dimension: Dimension | None = None,
) -> Select[Any]:
    """The attempts that began in `[start, end)`, of sessions selected, each with its group."""
    source: FromClause = RUNS
    conditions = [
        RUNS.c.funnel_id == funnel.id,
        RUNS.c.revision == funnel.revision,
        during(RUNS.c.started_at, start, end),
    ]
    by_event = dimension is not None and dimension.of_event
    if dimension is not None or not selection.is_everything:
        source = source.join(SESSIONS, SESSIONS.c.id == RUNS.c.session_id)
        conditions += [
            SESSIONS.c.website_id == website_id,
            during(SESSIONS.c.started_at, start - LONGEST_SESSION, end),
            *selection.of_sessions(),
        ]
    near = happened(website_id, start - LONGEST_SESSION, end + LONGEST_SESSION)
    if selection.on_events and not by_event:
        conditions.append(exists().where(EVENTS.c.session_id == SESSIONS.c.id, near, *selection.of_events()))
    if dimension is not None:
        of = by_dimension(website_id, dimension)
        if by_event:
            # The values of the session's events: of those selected, where single ones are.
            values = (
                select(EVENTS.c.session_id, of.of_event.label("value"))
                .where(near, of.of_event.is_not(None), *selection.of_events())
                .distinct()
                .subquery("values_of")
            )
            source, group = source.join(values, values.c.session_id == SESSIONS.c.id), values.c.value
        else:
            assert of.of_session is not None
            group = of.of_session
    return (
        select(
            group.label("grp"), RUNS.c.visitor, RUNS.c.started_at, RUNS.c.event_id, RUNS.c.required, RUNS.c.taken,
            RUNS.c.offsets_ms,
        )
        .select_from(source)
        .where(*conditions)
    )  # fmt: skip


def _best(attempts: Select[Any]) -> FromClause:
    """The attempt of each group and visitor that counts."""
    found = attempts.subquery("attempts").c
    order = (found.required.desc(), found.taken.desc(), found.started_at, found.event_id)
    best = select(found.grp, found.required, found.offsets_ms).ext(distinct_on(found.grp, found.visitor))
    return best.order_by(found.grp, found.visitor, *order).subquery("best")


async def _by_group(
    db: AsyncConnection, funnel: Funnel, attempts: Select[Any], limit: int | None = None
) -> dict[Any, Sums]:
    """The sums by group; with `limit` those of the groups with most entrants, in that order."""
    best = _best(attempts)
    offsets = best.c.offsets_ms
    last_required = max(place for place, step in enumerate(funnel.steps) if not step.is_optional)
    completed = best.c.required == literal(funnel.required)
    columns: list[ColumnElement[Any]] = []
    for place, before in enumerate(funnel.required_before):
        taken = offsets[place + 1]
        columns += _times(taken - offsets[max(before, 0) + 1], taken.is_not(None))
    columns += _times(offsets[last_required + 1], completed)
    query = select(best.c.grp, *(column.label(f"c{number}") for number, column in enumerate(columns)))
    query = query.group_by(best.c.grp)
    if limit is not None:
        query = query.order_by(columns[0].desc(), best.c.grp).limit(limit)
    found = {}
    for group, *values in await db.execute(query):
        times = [
            Times(int(count), int(total or 0), float(median or 0))
            for count, total, median in zip(values[::3], values[1::3], values[2::3], strict=True)
        ]
        found[group] = Sums(tuple(times[:-1]), times[-1])
    return found


def _times(took_ms: ColumnElement[Any], counts: ColumnElement[bool]) -> list[ColumnElement[Any]]:
    """How many count, the sum of how long they took, and the median."""
    return [
        func.count().filter(counts),
        func.sum(took_ms).filter(counts),
        func.percentile_cont(0.5).within_group(took_ms).filter(counts),
    ]
