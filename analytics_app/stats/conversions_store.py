"""Conversions of a goal, counted and listed: of a period, and of a selection like all statistics."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.goals.figures import Share, Tally
from analytics_app.goals.models import ConversionRow
from analytics_app.sessions.models import EventRow, TermRow, VisitorRow
from analytics_app.stats import store
from analytics_app.stats.selection_store import EVENTS, LONGEST_SESSION, SESSIONS, Selection, during, happened

CONVERSIONS = ConversionRow.__table__.alias("c")


@dataclass(frozen=True, slots=True)
class Of:
    """The goal whose conversions are asked for."""

    website_id: int
    goal_id: int
    revision: int
    by_event: bool
    """Whether an event converts, and is what filters on events are about; else any of the session's is."""


class Place(NamedTuple):
    """Where a list goes on: after (the latest first) the conversion of this time, session and key."""

    at: datetime
    session_id: int
    key: int


async def tally(db: AsyncConnection, goal: Of, start: datetime, end: datetime, selection: Selection) -> Tally:
    """What the goal came to in `[start, end)`."""
    columns = (func.count(), func.count(CONVERSIONS.c.value), func.sum(CONVERSIONS.c.value))
    by_currency = _selected(select(CONVERSIONS.c.currency, *columns), goal, start, end, selection)
    shares = [
        Share(currency, conversions, valued, total or Decimal(0))
        for currency, conversions, valued, total in await db.execute(by_currency.group_by(CONVERSIONS.c.currency))
    ]
    who = _selected(select(func.count(CONVERSIONS.c.visitor.distinct())), goal, start, end, selection)
    converted = int((await db.execute(who)).scalar_one())
    return Tally(shares, converted, await store.visitors_between(db, goal.website_id, start, end, selection))


async def conversions_of(
    db: AsyncConnection,
    goal: Of,
    start: datetime,
    end: datetime,
    selection: Selection,
    *,
    limit: int,
    after: Place | None = None,
) -> tuple[list[dict[str, Any]], Place | None]:
    """At most `limit` conversions of `[start, end)`, the latest first, and where the list goes on."""
    place = (CONVERSIONS.c.at, CONVERSIONS.c.session_id, CONVERSIONS.c.key)
    query = _selected(select(CONVERSIONS), goal, start, end, selection)
    query = query.order_by(*(column.desc() for column in place)).limit(limit + 1)
    if after is not None:
        query = query.where(tuple_(*place) < tuple_(*after))
    page = query.subquery("page")
    shown = page.c.event_id if goal.by_event else _event_at_the_moment(page)
    event = EventRow.__table__.alias("shown")
    path, name = TermRow.__table__.alias("path"), TermRow.__table__.alias("name")
    told = (
        select(page, VisitorRow.hash, path.c.text.label("path"), name.c.text.label("name"))
        .select_from(page)
        .outerjoin(VisitorRow, VisitorRow.number == page.c.visitor)
        .outerjoin(
            event,
            and_(event.c.id == shown, event.c.at <= page.c.at, event.c.at >= page.c.at - LONGEST_SESSION),
        )
        .outerjoin(path, path.c.id == event.c.path)
        .outerjoin(name, name.c.id == event.c.name)
        .order_by(page.c.at.desc(), page.c.session_id.desc(), page.c.key.desc())
    )
    rows = (await db.execute(told)).all()
    going_on = Place(rows[limit - 1].at, rows[limit - 1].session_id, rows[limit - 1].key) if len(rows) > limit else None
    return _told(rows[:limit]), going_on


def _event_at_the_moment(page: Any) -> Any:
    """The session's pageview that was the latest at the moment of a conversion."""
    event = EventRow.__table__.alias("latest")
    return (
        select(event.c.id)
        .where(
            event.c.session_id == page.c.session_id,
            event.c.kind == 1,
            event.c.at <= page.c.at,
            event.c.at >= page.c.at - LONGEST_SESSION,
        )
        .order_by(event.c.at.desc(), event.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _told(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "converted_at": row.at,
            "visitor_hash": row.hash.hex if row.hash else None,
            "session_id": row.session_id,
            "event_id": row.event_id or None,
            "path": row.path,
            "name": row.name,
            "value": row.value,
            "currency": row.currency,
        }
        for row in rows
    ]


def _selected(query: Select[Any], goal: Of, start: datetime, end: datetime, selection: Selection) -> Select[Any]:
    """The goal's conversions of `[start, end)` whose session, and whose event, are selected."""
    query = query.where(
        CONVERSIONS.c.goal_id == goal.goal_id,
        CONVERSIONS.c.revision == goal.revision,
        during(CONVERSIONS.c.at, start, end),
    )
    if selection.on_sessions:
        query = query.where(
            exists()
            .where(
                SESSIONS.c.id == CONVERSIONS.c.session_id,
                during(SESSIONS.c.started_at, start - LONGEST_SESSION, end),
                *selection.of_sessions(),
            )
            .correlate(CONVERSIONS)
        )
    if selection.on_events:
        meant = EVENTS.c.id == CONVERSIONS.c.event_id if goal.by_event else EVENTS.c.website_id == goal.website_id
        query = query.where(
            exists()
            .where(
                EVENTS.c.session_id == CONVERSIONS.c.session_id,
                meant,
                happened(goal.website_id, start, end),
                *selection.of_events(),
            )
            .correlate(CONVERSIONS)
        )
    return query
