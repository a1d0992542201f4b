"""Raw events, a piece at a time: no query runs for long, however slowly the reader takes them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.sessions.kinds import SESSION_TERMS, EventKind
from analytics_app.sessions.models import TermRow, VisitorRow
from analytics_app.stats.selection_store import EVENTS, LONGEST_SESSION, SESSIONS, Selection, happened

TEXTS_HELD = 50_000
EXPORT_COLUMNS = (
    "event_id",
    "timestamp",
    "type",
    "visitor",
    "session_id",
    "path",
    "title",
    "name",
    "value",
    "currency",
    "properties",
    "time_on_page",
    "scroll_depth",
    *SESSION_TERMS,
)


class Place(NamedTuple):
    """Where an export goes on: after the event of this time and id."""

    at: datetime
    id: int


@dataclass(slots=True)
class Texts:
    """Texts of terms by their number, as far as an export met them lately."""

    held: dict[int, str] = field(default_factory=dict)

    async def learn(self, db: AsyncConnection, numbers: set[int]) -> None:
        """Read what is not held."""
        if len(self.held) > TEXTS_HELD:
            self.held.clear()
        missing = sorted(numbers - self.held.keys())
        if missing:
            rows = await db.execute(select(TermRow.id, TermRow.text).where(TermRow.id.in_(missing)))
            self.held.update((row.id, row.text) for row in rows)


async def events_of(
    db: AsyncConnection,
    website_id: int,
    start: datetime,
    end: datetime,
    selection: Selection,
    *,
    limit: int,
    after: Place | None = None,
    texts: Texts | None = None,
) -> tuple[list[dict[str, Any]], Place | None]:
    """At most `limit` events of `[start, end)` by time, and where the next piece goes on; dicts of `EXPORT_COLUMNS`."""
    columns: list[Any] = [
        EVENTS,
        VisitorRow.hash.label("visitor_hash"),
        *(SESSIONS.c[name].label(f"session_{name}") for name in SESSION_TERMS),
    ]
    since = max(start, after.at) if after else start
    of_session = and_(
        SESSIONS.c.id == EVENTS.c.session_id,
        SESSIONS.c.website_id == website_id,
        SESSIONS.c.started_at >= since - LONGEST_SESSION,
        SESSIONS.c.started_at < end,
    )
    query = (
        select(*columns)
        .select_from(
            EVENTS.outerjoin(SESSIONS, of_session).outerjoin(VisitorRow, VisitorRow.number == EVENTS.c.visitor)
        )
        .where(happened(website_id, since, end), *selection.of_events(), *selection.of_sessions())
        .order_by(EVENTS.c.at, EVENTS.c.id)
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(or_(EVENTS.c.at > after.at, EVENTS.c.id > after.id))
    rows = (await db.execute(query)).all()
    texts = texts or Texts()
    await texts.learn(db, _numbers(rows))
    place = Place(rows[limit - 1].at, rows[limit - 1].id) if len(rows) > limit else None
    return [_exported(row, texts.held) for row in rows[:limit]], place


async def all_events(
    connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
    website_id: int,
    start: datetime,
    end: datetime,
    selection: Selection,
    *,
    piece: int = 2_000,
) -> AsyncIterator[list[dict[str, Any]]]:
    """Every event of `[start, end)` by time, in pieces; each is read in a transaction of its own."""
    texts, place = Texts(), None
    while True:
        async with connect() as db:
            rows, place = await events_of(db, website_id, start, end, selection, limit=piece, after=place, texts=texts)
        yield rows
        if place is None:
            return


def _numbers(rows: Sequence[Any]) -> set[int]:
    columns = ("path", "title", "name", *(f"session_{name}" for name in SESSION_TERMS))
    return {number for row in rows for name in columns if (number := row._mapping[name]) is not None}  # noqa: SLF001


def _exported(row: Any, texts: dict[int, str]) -> dict[str, Any]:
    values = row._mapping  # noqa: SLF001
    found = {
        "event_id": row.id,
        "timestamp": row.at,
        "type": EventKind(row.kind).name.lower(),
        "visitor": row.visitor_hash.hex if row.visitor_hash else None,
        "session_id": row.session_id,
        **{name: texts.get(values[name]) for name in ("path", "title", "name")},
        "value": None if row.value is None else float(row.value),
        "currency": row.currency,
        "properties": row.properties,
        "time_on_page": row.time_on_page_s,
        "scroll_depth": row.scroll_depth,
    }
    return found | {name: texts.get(values[f"session_{name}"]) for name in SESSION_TERMS}
