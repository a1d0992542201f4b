import uuid

import psycopg
import pytest
from sqlalchemy import text

from analytics_app.sessions.state import State, Visit, encode_state
from analytics_app.verify.logic import Difference
from analytics_app.verify.store import COUNTED_APART, OF_A_WEBSITE, recount
from tests.traffic import load, make_traffic, utc

WEBSITE = 21
BOUNCE_ENGAGED_S = 10


@pytest.fixture(scope="session")
def traffic(store_url):
    made = make_traffic(3, sessions=150, start=utc("2026-11-01"), end=utc("2026-11-04"), website_id=WEBSITE)
    with psycopg.connect(store_url) as driver:
        load(driver, made)
    return made


async def found(db):
    return await recount(db, bounce_engaged_s=BOUNCE_ENGAGED_S, website_ids=[WEBSITE])


async def put_state(db, session, **changed):
    row = (await db.execute(text(f"SELECT visitor FROM sessions WHERE id = {session.id}"))).one()
    started_ms = round(session.started_at.timestamp() * 1000)
    visit = Visit(
        session.id,
        WEBSITE,
        row.visitor,
        started_ms,
        round(session.last_at.timestamp() * 1000),
        (started_ms, session.id),
        pageviews=len(session.views),
        events=len(session.events) - len(session.views),
        engaged_s=session.engaged_s,
    )
    for name, value in changed.items():
        setattr(visit, name, value)
    await db.execute(
        text(
            "INSERT INTO session_states (key, version, partition, first_at, last_at, state)"
            " VALUES (:key, 1, 0, now(), now(), :state)"
        ),
        {"key": uuid.uuid4(), "state": encode_state(State([visit]))},
    )


async def test_rows_and_rollups_that_agree_show_no_difference(db, traffic):
    await put_state(db, traffic.sessions[0])
    assert await found(db) == []


@pytest.mark.parametrize(
    ("change", "check", "field"),
    [
        ("UPDATE traffic_rollups SET pageviews = pageviews + 1 WHERE {rollup}", "rollups", "pageviews"),
        ("UPDATE traffic_rollups SET bounces = bounces - 1 WHERE {rollup}", "rollups", "bounces"),
        ("UPDATE traffic_rollups SET duration_s = duration_s + 60 WHERE {rollup}", "rollups", "duration_s"),
        ("INSERT INTO traffic_rollups VALUES (21, '2020-01-01', 0, 0, 1, 0, 0, 0, 0)", "rollups", "events"),
        ("UPDATE sessions SET engaged_s = engaged_s + 1 WHERE {session}", "sessions", "engaged_s"),
        ("UPDATE sessions SET exit_path = 0 WHERE {session}", "sessions", "exit_path"),
        ("UPDATE sessions SET is_bounce = NOT is_bounce WHERE {session}", "sessions", "is_bounce"),
        ("UPDATE events SET interactive = true, kind = 2 WHERE id = {event}", "sessions", "pageviews"),
        ("UPDATE events SET time_on_page_s = time_on_page_s + 5 WHERE id = {event}", "sessions", "engaged_s"),
        ("UPDATE events SET at = at - interval '1 second' WHERE id = {event}", "sessions", "started_at"),
        ("UPDATE sessions SET last_at = last_at + interval '30 h' WHERE {session}", "sessions", "longest"),
        ("DELETE FROM sessions WHERE {session}", "events", "session_id"),
        ("UPDATE events SET visitor = 0 WHERE id = {event}", "events", "visitor"),
        ("DELETE FROM visitors WHERE number = (SELECT visitor FROM sessions WHERE {session})", "visitors", "visitor"),
        ("DELETE FROM terms WHERE id = (SELECT path FROM events WHERE id = {event})", "terms", "path"),
        ("UPDATE sessions SET browser = 0 WHERE {session}", "terms", "browser"),
    ],
)
async def test_whatever_is_changed_behind_the_back_of_the_sums_is_found(db, traffic, change, check, field):
    session = next(one for one in traffic.sessions if one.events[0].is_pageview)
    rollup = "(bucket, partition) = (SELECT bucket, partition FROM traffic_rollups WHERE website_id = 21 LIMIT 1)"
    names = {"session": f"id = {session.id}", "event": session.events[0].id, "rollup": f"website_id = 21 AND {rollup}"}
    await db.execute(text(change.format(**names)))
    assert (check, WEBSITE, field) in {(one.check, one.website_id, one.field) for one in await found(db)}


async def test_a_difference_tells_what_is_stored_and_what_was_counted(db, traffic):
    await db.execute(text("INSERT INTO traffic_rollups VALUES (21, '2020-01-01 10:15Z', 3, 0, 7, 0, 0, 0, 0)"))
    assert await found(db) == [Difference("rollups", WEBSITE, "2020-01-01T10:15Z", "events", "7", "0")]


async def test_a_live_session_that_is_not_as_its_row_is_found(db, traffic):
    await put_state(db, traffic.sessions[0], pageviews=99)
    await put_state(db, traffic.sessions[1], id=5)
    stored = len(traffic.sessions[0].views)
    differences = await found(db)
    assert (
        Difference("states", WEBSITE, f"session {traffic.sessions[0].id}", "pageviews", str(stored), "99")
        in differences
    )
    assert Difference("states", WEBSITE, "session 5", "session", "no row", "live") in differences


async def test_hits_that_are_not_accounted_for_are_found(db, traffic):
    outcomes = [("received", 10), ("stored", 7), ("duplicate", 2)]
    for outcome, hits in outcomes:
        await db.execute(text(f"INSERT INTO stream_outcomes VALUES ('hits', 1, '{outcome}', {hits})"))
    everything = await recount(db, bounce_engaged_s=BOUNCE_ENGAGED_S)
    assert [one for one in everything if one.check == "outcomes"] == [
        Difference("outcomes", 0, "hits/1", "received", "10", "9")
    ]


async def test_every_step_is_told(db, traffic):
    told, steps = [], len(OF_A_WEBSITE) + len(COUNTED_APART) + 2
    await recount(
        db,
        bounce_engaged_s=10,
        website_ids=[WEBSITE],
        told=lambda check, done, steps: told.append((check, done, steps)),
    )
    assert [done for _, done, _ in told] == list(range(1, steps + 1))
    assert {told_of for _, _, told_of in told} == {steps}
