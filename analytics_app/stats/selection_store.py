"""From filters to conditions on rows: texts are looked up among the website's terms, rows are met by number."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Integer, Text, all_, and_, any_, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.db import Uuid
from analytics_app.sessions.kinds import TermKind
from analytics_app.sessions.models import EventRow, SessionRow, TermRow
from analytics_app.stats.filters import MATCHERS, NONE, Filter

SESSIONS = SessionRow.__table__.alias("s")
EVENTS = EventRow.__table__.alias("e")
LONGEST_SESSION = timedelta(hours=24)
"""No session is longer: one that reaches into a period started at most so long before."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter, and what it found: numbers of terms, or texts of a property (None: Postgres compares them itself)."""

    filter: Filter
    found: tuple[Any, ...] | None

    def clause(self) -> ColumnElement[bool]:
        """The condition on `SESSIONS` or `EVENTS`."""
        dimension = self.filter.dimension
        if dimension.kind is None:
            value = property_text(dimension.column)
        else:
            value = (EVENTS if dimension.of_event else SESSIONS).c[dimension.column]
        if self.found is None:
            compare = MATCHERS[self.filter.op].sql
            assert compare is not None
            hit = compare(value, self.filter.value)
            met = hit if not self.filter.negative else ~hit
        else:
            values = literal(list(self.found), ARRAY(Text if dimension.kind is None else Integer))
            met = value != all_(values) if self.filter.negative else value == any_(values)
        missing = value.is_(None)
        if self.filter.negative:
            return and_(~missing, met) if self.filter.finds_missing else or_(missing, met)
        return or_(missing, met) if self.filter.finds_missing else met


@dataclass(frozen=True, slots=True)
class Selection:
    """The conditions of a question. Those on events must all hold for one and the same event."""

    conditions: tuple[Condition, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether nothing is filtered."""
        return not self.conditions

    @property
    def on_events(self) -> bool:
        """Whether single events are selected, and sessions only by having one."""
        return any(condition.filter.dimension.of_event for condition in self.conditions)

    @property
    def on_sessions(self) -> bool:
        """Whether sessions are selected by what they are."""
        return any(not condition.filter.dimension.of_event for condition in self.conditions)

    def of_sessions(self) -> list[ColumnElement[bool]]:
        """The conditions on `SESSIONS`."""
        return [held.clause() for held in self.conditions if not held.filter.dimension.of_event]

    def of_events(self) -> list[ColumnElement[bool]]:
        """The conditions on `EVENTS`."""
        return [held.clause() for held in self.conditions if held.filter.dimension.of_event]


EVERYTHING = Selection()


async def selection_of(
    db: AsyncConnection, website_id: int, filters: Iterable[Filter], spans: Sequence[tuple[datetime, datetime]]
) -> Selection:
    """The selection that `filters` make of the website's rows, for questions about `spans` of time."""
    conditions = []
    for held in filters:
        kind = held.dimension.kind
        if kind is not None:
            conditions.append(Condition(held, tuple(await _terms_found(db, website_id, kind, held))))
        elif MATCHERS[held.op].sql is None:
            conditions.append(Condition(held, tuple(await _property_texts_found(db, website_id, held, spans))))
        else:
            conditions.append(Condition(held, None))
    return Selection(tuple(conditions))


async def _terms_found(db: AsyncConnection, website_id: int, kind: TermKind, held: Filter) -> list[int]:
    """Numbers of the terms that the comparison of `held` finds."""
    terms = select(TermRow.id).where(TermRow.website_id == website_id, TermRow.kind == int(kind))
    compare = MATCHERS[held.op].sql
    if compare is not None:
        if MATCHERS[held.op] is MATCHERS["is"]:
            terms = terms.where(_reads(held.value))  # has an index
        return list((await db.execute(terms.where(compare(TermRow.text, held.value)))).scalars())
    rows = (await db.execute(terms.add_columns(TermRow.text))).all()
    found = await asyncio.to_thread(held.finds, [row.text for row in rows])
    return [row.id for row, hit in zip(rows, found, strict=True) if hit]


async def _property_texts_found(
    db: AsyncConnection, website_id: int, held: Filter, spans: Sequence[tuple[datetime, datetime]]
) -> list[str]:
    """Texts of a property, among those of `spans`, that the comparison of `held` finds."""
    value = property_text(held.dimension.column)
    within = or_(*(during(EVENTS.c.at, start, end + LONGEST_SESSION) for start, end in spans))
    query = select(value).where(EVENTS.c.website_id == website_id, within, value.is_not(None)).distinct()
    texts = list((await db.execute(query)).scalars())
    found = await asyncio.to_thread(held.finds, texts)
    return [text for text, hit in zip(texts, found, strict=True) if hit]


def property_text(name: str) -> ColumnElement[str]:
    """The text of an event's property; null where it has none."""
    text: ColumnElement[str] = EVENTS.c.properties.cast(JSONB)[name].astext
    return text


def during(column: ColumnElement[Any], start: datetime, end: datetime) -> ColumnElement[bool]:
    """Whether the time in `column` lies in `[start, end)`."""
    return and_(column >= start, column < end)


def under_way(website_id: int, start: datetime, end: datetime) -> ColumnElement[bool]:
    """Whether a session of `SESSIONS` is the website's and reaches into `[start, end)`."""
    return and_(
        SESSIONS.c.website_id == website_id,
        during(SESSIONS.c.started_at, start - LONGEST_SESSION, end),
        SESSIONS.c.last_at >= start,
    )


def started(website_id: int, start: datetime, end: datetime) -> ColumnElement[bool]:
    """Whether a session of `SESSIONS` is the website's and started in `[start, end)`."""
    return and_(SESSIONS.c.website_id == website_id, during(SESSIONS.c.started_at, start, end))


def happened(website_id: int, start: datetime, end: datetime) -> ColumnElement[bool]:
    """Whether an event of `EVENTS` is the website's and lies in `[start, end)`."""
    return and_(EVENTS.c.website_id == website_id, during(EVENTS.c.at, start, end))


def none_term(website_id: int, kind: TermKind) -> Any:
    """The number of the term that happens to read `(none)`; null where there is none, as nearly always."""
    return (
        select(TermRow.id)
        .where(TermRow.website_id == website_id, TermRow.kind == int(kind), _reads(NONE))
        .scalar_subquery()
    )


def _reads(text: str) -> ColumnElement[bool]:
    return TermRow.digest == func.md5(text).cast(Uuid)
