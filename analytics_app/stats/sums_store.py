"""The sums behind every number, from rows: by nothing, by time, or by a dimension, of any selection.

Each of these answers rows of `grp` (the group) and the columns of `SUMS`; a group may have several rows, to be
added up. Asked for `who`, a column of that name holds the numbers of the visitors counted. Where single events are
not asked about, sessions are read instead of their events, of which there are a third as many: what a session counts
lies in the period as a whole, unless it crosses an edge of it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    Label,
    Select,
    Subquery,
    and_,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)

from analytics_app.sessions.kinds import EventKind
from analytics_app.stats.groups_store import Group
from analytics_app.stats.selection_store import (
    EVENTS,
    LONGEST_SESSION,
    SESSIONS,
    Selection,
    during,
    happened,
    started,
    under_way,
)
from analytics_app.stats.tallies import SEALED_SUMS

SUMS = ("visitors", *SEALED_SUMS)
IS_PAGEVIEW = EVENTS.c.kind == int(EventKind.PAGEVIEW)


def sums(
    website_id: int,
    start: datetime,
    end: datetime,
    selection: Selection,
    group: Group,
    *,
    engagement: bool = False,
    who: bool = False,
) -> Subquery:
    """The sums over `[start, end)`, one row a group. `engagement`: also of time on page and scroll depth.

    Not for groups of time: a session under way in several buckets is counted in the one it started in.
    """
    if selection.on_events or group.of_session is None:
        arms = [
            _events_selected(website_id, start, end, selection, group, who=who),
            sessions_having(website_id, start, end, selection, group),
        ]
    else:
        arms = [
            _sessions_selected(website_id, start, end, selection, group, who=who),
            crossing(website_id, start, end, selection, group),
        ]
        if engagement:
            arms.append(_engagement(website_id, start, end, selection, group))
    return added_up(arms, who=who)


def added_up(arms: Iterable[Select[Any]], *, who: bool = False) -> Subquery:
    """The rows of all `arms`, added up by group."""
    parts = union_all(*arms).subquery("parts")
    columns: list[Label[Any]] = [func.sum(parts.c[name]).cast(BigInteger).label(name) for name in SUMS]
    if who:
        columns.append(func.max(parts.c.who).label("who"))  # one arm has them
    return select(parts.c.grp, *columns).group_by(parts.c.grp).subquery("sums")


def arm(
    source: FromClause, value: ColumnElement[Any], who: ColumnElement[Any] | None = None, **given: ColumnElement[Any]
) -> Select[Any]:
    """One arm: the sums that are `given`, 0 for the others; the visitors counted where `who` tells their numbers."""
    visitors = null().cast(ARRAY(BigInteger)) if who is None else func.array_agg(who, type_=ARRAY(BigInteger))
    sums_ = (_sum(name, given.get(name)) for name in SUMS)
    return select(value.label("grp"), *sums_, visitors.label("who")).select_from(source)


def _sum(name: str, expression: ColumnElement[Any] | None) -> Label[Any]:
    return (literal(0, BigInteger) if expression is None else expression.cast(BigInteger)).label(name)


def _sessions_selected(
    website_id: int, start: datetime, end: datetime, selection: Selection, group: Group, *, who: bool
) -> Select[Any]:
    """What sessions count that lie in the period as a whole, and whose visitors are in it."""
    assert group.of_session is not None
    begun = SESSIONS.c.started_at >= start
    whole = and_(begun, SESSIONS.c.last_at < end)
    # By visitor first: counting distinct ones in one step would sort every row.
    visitors = (
        select(
            group.of_session.label("grp"),
            SESSIONS.c.visitor,
            func.count().filter(begun).label("sessions"),
            func.count().filter(and_(begun, SESSIONS.c.is_bounce)).label("bounces"),
            func.sum(SESSIONS.c.duration_s).filter(begun).label("duration_s"),
            func.sum(SESSIONS.c.pageviews).filter(begun).label("session_pageviews"),
            func.sum(SESSIONS.c.pageviews).filter(whole).label("pageviews"),
            func.sum(SESSIONS.c.events).filter(whole).label("events"),
        )
        .where(under_way(website_id, start, end), *selection.of_sessions())
        .group_by("grp", SESSIONS.c.visitor)
        .subquery("visitors")
    )
    added = {
        name: func.sum(visitors.c[name])
        for name in ("sessions", "bounces", "duration_s", "session_pageviews", "pageviews", "events")
    }
    seen = visitors.c.visitor if who else None
    return arm(visitors, visitors.c.grp, seen, visitors=func.count(), **added).group_by(visitors.c.grp)


def crossing(website_id: int, start: datetime, end: datetime, selection: Selection, group: Group) -> Select[Any]:
    """The events of the period that belong to sessions which cross an edge of it."""
    over_start = and_(during(SESSIONS.c.started_at, start - LONGEST_SESSION, start), SESSIONS.c.last_at >= start)
    over_end = and_(during(SESSIONS.c.started_at, max(start, end - LONGEST_SESSION), end), SESSIONS.c.last_at >= end)
    return _events_of_sessions(
        website_id, start, end, group, SESSIONS.c.website_id == website_id, or_(over_start, over_end),
        *selection.of_sessions(),
    )  # fmt: skip


def _engagement(website_id: int, start: datetime, end: datetime, selection: Selection, group: Group) -> Select[Any]:
    """Time on page and scroll depth of the period's pageviews, by a dimension of their sessions."""
    return (
        arm(
            SESSIONS.join(EVENTS, EVENTS.c.session_id == SESSIONS.c.id),
            group.of_event,
            time_on_page_s=func.sum(EVENTS.c.time_on_page_s),
            scroll_depth=func.sum(EVENTS.c.scroll_depth),
        )
        .where(happened(website_id, start, end), IS_PAGEVIEW)
        .where(under_way(website_id, start, end), *selection.of_sessions())
        .group_by("grp")
    )


def _events_of_sessions(
    website_id: int, start: datetime, end: datetime, group: Group, *of_sessions: ColumnElement[bool]
) -> Select[Any]:
    return (
        arm(
            SESSIONS.join(EVENTS, EVENTS.c.session_id == SESSIONS.c.id),
            group.of_event,
            pageviews=func.count().filter(IS_PAGEVIEW),
            events=func.count().filter(~IS_PAGEVIEW),
        )
        .where(happened(website_id, start, end), *of_sessions)
        .group_by("grp")
    )


def _events_selected(
    website_id: int, start: datetime, end: datetime, selection: Selection, group: Group, *, who: bool
) -> Select[Any]:
    """What the selected events of the period count, and whose they are."""
    query = select(
        group.of_event.label("grp"),
        EVENTS.c.visitor,
        func.count().filter(IS_PAGEVIEW).label("pageviews"),
        func.count().filter(~IS_PAGEVIEW).label("events"),
        func.sum(EVENTS.c.time_on_page_s).filter(IS_PAGEVIEW).label("time_on_page_s"),
        func.sum(EVENTS.c.scroll_depth).filter(IS_PAGEVIEW).label("scroll_depth"),
    )
    visitors = (
        _with_sessions(query, website_id, start, end, selection, group)
        .where(happened(website_id, start, end), *selection.of_events())
        .group_by("grp", EVENTS.c.visitor)
        .subquery("visitors")
    )
    added = {name: func.sum(visitors.c[name]) for name in ("pageviews", "events", "time_on_page_s", "scroll_depth")}
    seen = visitors.c.visitor if who else None
    return arm(visitors, visitors.c.grp, seen, visitors=func.count(), **added).group_by(visitors.c.grp)


def sessions_having(website_id: int, start: datetime, end: datetime, selection: Selection, group: Group) -> Select[Any]:
    """The sessions started in the period that have a selected event, whenever in the session it was."""
    value = group.of_event if group.of_session is None else group.of_session
    counted = [SESSIONS.c[name] for name in ("is_bounce", "duration_s", "pageviews")]
    having = happened(website_id, start, end + LONGEST_SESSION), *selection.of_events()
    of_them = started(website_id, start, end), *selection.of_sessions()
    together = EVENTS.join(SESSIONS, EVENTS.c.session_id == SESSIONS.c.id)
    if selection.on_sessions:  # few: each once, after the join
        query = select(SESSIONS.c.id, value.label("grp"), *counted).select_from(together).where(*having, *of_them)
        held = query.distinct().subquery("held")
    else:  # all: each once, before it
        columns = [EVENTS.c.session_id, *([value.label("grp")] if group.of_session is None else [])]
        once = select(*columns).where(*having).distinct().subquery("once")
        grp = once.c.grp if group.of_session is None else value
        found = select(grp.label("grp"), *counted).select_from(SESSIONS.join(once, once.c.session_id == SESSIONS.c.id))
        held = found.where(*of_them).subquery("held")
    return arm(
        held,
        held.c.grp,
        sessions=func.count(),
        bounces=func.count().filter(held.c.is_bounce),
        duration_s=func.sum(held.c.duration_s),
        session_pageviews=func.sum(held.c.pageviews),
    ).group_by(held.c.grp)


def _with_sessions(
    query: Select[Any], website_id: int, start: datetime, end: datetime, selection: Selection, group: Group
) -> Select[Any]:
    """`query` over events, joined with their sessions where these are selected or grouped by."""
    by_session = group.of_session is not None and group.of_session is group.of_event
    if not (selection.on_sessions or by_session):
        return query.select_from(EVENTS)
    return query.select_from(EVENTS.join(SESSIONS, SESSIONS.c.id == EVENTS.c.session_id)).where(
        under_way(website_id, start, end), *selection.of_sessions()
    )
