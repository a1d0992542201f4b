"""Statistics of goals are counted a second time, in plain Python over generated sessions, and must be the same."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from analytics_app.db import database_url, driver_of
from analytics_app.goals import backfill_store
from analytics_app.goals.goal import Goal
from analytics_app.stats.conversions_store import Of, conversions_of, tally
from analytics_app.stats.filters import parse_filter
from analytics_app.stats.selection_store import selection_of
from tests.store.test_stats_store import is_of_event, value_of
from tests.traffic import Traffic, load, make_traffic, utc

START, END = utc("2026-06-01"), utc("2026-06-15")
SITE = 33
GOALS = [
    Goal(1, 1, "pageview", "/pricing", "equals"),
    Goal(2, 1, "pageview", "/p/", "starts_with", every=True),
    Goal(3, 1, "event", "signup", "equals"),
    Goal(4, 1, "event", "i", "contains", every=True),
    Goal(5, 1, "duration", "300"),
    Goal(6, 1, "pages_per_session", "3"),
]
ASKED = {
    1: lambda event: event.is_pageview and event.path == "/pricing",
    2: lambda event: event.is_pageview and event.path.startswith("/p/"),
    3: lambda event: not event.is_pageview and event.name == "signup",
    4: lambda event: not event.is_pageview and "i" in event.name,
}
FILTERS = [
    [],
    ["country:is:GB"],
    ["entry_page:is:/", "browser:is_not:Chrome"],
    ["page:is:/pricing"],
    ["page:starts_with:/p/", "country:is:US"],
    ["event:is:signup"],
    ["property:plan:is:pro"],
    ["page:is_not:/pricing"],
]


@pytest.fixture(scope="session")
async def site(store_url) -> Traffic:
    """Traffic, and its goals computed over it by the steps of their backfills."""
    from sqlalchemy.ext.asyncio import create_async_engine

    from analytics_app.backfills.logic import Backfill

    made = make_traffic(9, sessions=900, start=START, end=END, website_id=SITE)
    with psycopg.connect(store_url) as driver:
        load(driver, made)
        driver.execute("INSERT INTO workspaces (id, name) VALUES (31, 'conversions')")
        driver.execute("INSERT INTO websites (id, workspace_id, name, host) VALUES (%s, 31, 'x', 'y')", (SITE,))
        for goal in GOALS:
            driver.execute(
                "INSERT INTO goals (id, website_id, name, type, match_type, match_value, count) "
                "VALUES (%s, %s, 'x', %s, %s, %s, %s)",
                (goal.id, SITE, goal.type, goal.match_type, goal.match_value, "every" if goal.every else "once"),
            )
    engine = create_async_engine(database_url(store_url))
    async with engine.begin() as db:
        for goal in GOALS:
            job = Backfill("goals", goal.id, SITE, 1, "running")
            while (step := await backfill_store.take(await driver_of(db), job)).cursor is not None:
                job = replace(job, cursor=step.cursor)
    await engine.dispose()
    return made


def converted(session, goal):
    """The session's conversions as (moment, event or None), by what the words mean."""
    ordered = sorted(session.events, key=lambda event: (event.at, event.id))
    if goal.type == "duration":
        reached = session.duration_s >= goal.threshold
        return [(session.started_at + timedelta(seconds=goal.threshold), None)] if reached else []
    if goal.type == "pages_per_session":
        views = [event for event in ordered if event.is_pageview]
        return [(views[2].at, views[2])] if len(views) >= goal.threshold else []
    met = [(event.at, event) for event in ordered if ASKED[goal.id](event)]
    return met if goal.every else met[:1]


def recount(traffic, goal, start, end, filters):
    asked = [parse_filter(text) for text in filters]
    of_event = [held for held in asked if is_of_event(held.dimension.name)]
    found = []
    for session in traffic.sessions:
        if not all(held.keeps(value_of(held.dimension.name, session, None)) for held in asked if held not in of_event):
            continue

        def passes(event, session=session):
            return start <= event.at < end and all(
                held.keeps(value_of(held.dimension.name, session, event)) for held in of_event
            )

        for at, event in converted(session, goal):
            candidates = [event] if event else session.events
            if start <= at < end and (not of_event or any(map(passes, candidates))):
                found.append((at, session, event))
    return found


PERIODS = [(START, END), (utc("2026-06-04T06:30"), utc("2026-06-05T07:13:05")), (END, END + timedelta(days=1))]


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: f"{goal.type}-{goal.id}")
@pytest.mark.parametrize("filters", FILTERS, ids=" & ".join)
async def test_the_tally_of_a_goal_is_that_of_a_recount(db, site, goal, filters):
    asked = Of(SITE, goal.id, 1, goal.type != "duration")
    for start, end in PERIODS:
        selection = await selection_of(db, SITE, map(parse_filter, filters), [(start, end)])
        found, wanted = await tally(db, asked, start, end, selection), recount(site, goal, start, end, filters)
        sums = defaultdict(lambda: [0, 0, Decimal(0)])
        for _, _, event in wanted:
            valued = event is not None and event.value and goal.type != "pages_per_session"
            row = sums[event.currency if event and goal.type != "pages_per_session" else None]
            row[0] += 1
            if valued:
                row[1] += 1
                row[2] += Decimal(event.value)
        told = {share.currency: [share.conversions, share.valued, share.total] for share in found.shares}
        assert told == sums
        assert found.converted_visitors == len({session.visitor for _, session, _ in wanted})
        assert found.converted_visitors <= found.visitors


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: f"{goal.type}-{goal.id}")
async def test_the_list_holds_every_conversion_once_the_latest_first(db, site, goal):
    asked = Of(SITE, goal.id, 1, goal.type != "duration")
    selection = await selection_of(db, SITE, [], [(START, END)])
    rows, place = await conversions_of(db, asked, START, END, selection, limit=37)
    while place is not None:
        more, place = await conversions_of(db, asked, START, END, selection, limit=37, after=place)
        rows += more
    wanted = recount(site, goal, START, END, [])
    assert [row["converted_at"] for row in rows] == sorted((at for at, _, _ in wanted), reverse=True)
    assert sorted((row["session_id"], row["event_id"] or 0) for row in rows) == sorted(
        (session.id, event.id if event else 0) for _, session, event in wanted
    )
    assert len(rows) > 37
    by_session = {session.id: session for session in site.sessions}
    for row in rows:
        events = by_session[row["session_id"]].events
        if row["event_id"]:
            shown = next(event for event in events if event.id == row["event_id"])
            assert (row["path"], row["name"]) == (shown.path, shown.name)
        else:
            seen = [event for event in events if event.is_pageview and event.at <= row["converted_at"]]
            assert row["path"] == (max(seen, key=lambda event: (event.at, event.id)).path if seen else None)
        assert len(row["visitor_hash"]) == 32


async def test_the_recount_of_verify_agrees_and_finds_what_is_wrong(db, site):
    from sqlalchemy import text

    from analytics_app.verify.conversions_store import differences

    assert await differences(db, SITE, 100) == []
    driver = await driver_of(db)
    one_of = "(session_id, key) = (SELECT session_id, key FROM conversions WHERE goal_id = {0} AND {1} LIMIT 1)"
    for goal_id, change, which, field in (
        (1, "DELETE FROM conversions", "true", "conversion"),
        (5, "UPDATE conversions SET at = at + interval '1 ms'", "true", "at"),
        (6, "UPDATE conversions SET revision = 0", "true", "goal"),
        (4, "UPDATE conversions SET value = 7", "value IS NULL", "value"),
    ):
        await driver.execute("SAVEPOINT before")
        await db.execute(text(f"{change} WHERE goal_id = {goal_id} AND {one_of.format(goal_id, which)}"))
        assert field in {one.field for one in await differences(db, SITE, 100)}
        await driver.execute("ROLLBACK TO SAVEPOINT before")
