"""Conversions: found in the transaction of their batch or over stored history, always what a recount of rows says."""

import asyncio
import itertools
import random
import secrets

import msgspec
import pytest

from agents import sessions as agent
from analytics_app.backfills import store as backfills
from analytics_app.db import batch_transaction, transaction
from analytics_app.goals import backfill_store, store
from analytics_app.jobs import backfilling
from analytics_app.jobs.cleaning import deleted_websites
from analytics_app.jobs.retention import remove_sessions
from analytics_app.records import Hit
from tests.factories import DAY, MINUTE, at_ms, make_event, make_heartbeat, make_hit, make_leave
from tests.histories import a_history, a_session

pytestmark = pytest.mark.services

_event_ids = itertools.count(500_000_000, 10_000)
PAGE = {"type": "pageview", "match_type": "equals", "match_value": "/thanks", "count": "once"}


async def make_website(website_id):
    async with batch_transaction() as db:
        await db.execute("INSERT INTO workspaces (id, name) VALUES (9000, 'goals') ON CONFLICT DO NOTHING")
        await db.execute(
            "INSERT INTO websites (id, workspace_id, name, host) VALUES (%s, 9000, 'A site', 'example.com')",
            (website_id,),
        )


async def make_goal(website_id, **values):
    async with transaction() as db:
        row = await store.add_goal(db, website_id, {"name": "A goal", **PAGE, **values})
        await backfills.request(db, "goals", website_id, row.id)
    return row


async def change_goal(row, **values):
    async with transaction() as db:
        before = await store.goal_of(db, row.website_id, row.id, lock=True)
        fields = {name: getattr(before, name) for name in (*store.DECIDES, "is_enabled")}
        changed = await store.change_goal(db, before, {**fields, **values})
        await backfills.request(db, "goals", row.website_id, row.id)
    return changed


async def backfill(*rows):
    for row in rows:
        async with asyncio.timeout(60):
            while (await standing(row)).state in ("waiting", "running"):
                await backfilling.run_once()
        assert (await standing(row)).state == "done"


async def standing(row):
    async with transaction() as db:
        return await backfills.backfill_of(db, "goals", row.id)


async def conversions(worker, row):
    """The goal's conversions as (session, key, seconds after noon, event), by time."""
    found = await worker.rows(
        "SELECT session_id, key, (extract(epoch FROM at) * 1000)::bigint, event_id FROM conversions "
        "WHERE goal_id = %s AND revision = (SELECT revision FROM goals WHERE id = %s) ORDER BY at, event_id",
        row.id,
        row.id,
    )
    return [(session, key, (ms - at_ms(0)) / 1000, event) for session, key, ms, event in found]


@pytest.fixture
async def site(worker):
    await make_website(worker.website_id)
    return worker


@pytest.fixture
def hit(site):
    def made(at=0, path="/", **fields):
        given = {"website_id": site.website_id, "session_key": site.session_key, "path": path}
        return make_hit(at, **{**given, **fields})

    return made


async def test_a_pageview_of_the_goals_page_converts_its_session_once(site, hit):
    goal = await make_goal(site.website_id)
    views = [hit(0, "/"), hit(5, "/thanks"), hit(9, "/thanks"), hit(12, "/thanks/you")]
    await site.store(site.records(*views))
    assert await conversions(site, goal) == [(views[0].event_id, 0, 5, views[1].event_id)]
    await site.store(site.records(hit(20, "/thanks"), early := hit(2, "/thanks")))
    assert await conversions(site, goal) == [(views[0].event_id, 0, 2, early.event_id)]
    other = hit(3, "/thanks", session_key=secrets.token_hex(16))
    await site.store(site.records(other))
    assert len(await conversions(site, goal)) == 2
    await backfill(goal)
    assert await site.differences() == []


async def test_a_goal_that_counts_every_event_takes_each_with_what_it_is_worth(site, hit):
    goal = await make_goal(
        site.website_id, type="event", match_type="regex", match_value="^(buy|order)$", count="every"
    )
    given = {"website_id": site.website_id, "session_key": site.session_key}
    events = [
        make_event(0, name="buy", value="12.5", currency="EUR", **given),
        make_event(1, name="buyer", **given),
        make_event(2, name="order", value="3", **given),
        hit(3, "/buy", name="buy"),  # a pageview, whatever it is called
    ]
    await site.store(site.records(*events))
    assert [key for _, key, _, _ in await conversions(site, goal)] == [events[0].event_id, events[2].event_id]
    found = await site.rows("SELECT value, currency FROM conversions WHERE goal_id = %s ORDER BY key", goal.id)
    assert [(float(value), currency) for value, currency in found] == [(12.5, "EUR"), (3.0, None)]
    await backfill(goal)
    assert await site.differences() == []


async def test_a_duration_converts_by_a_heartbeat_at_the_moment_it_was_reached(site, hit):
    goal = await make_goal(site.website_id, type="duration", match_type=None, match_value="60")
    await site.store(site.records(view := hit(0)))
    await site.store(site.records(make_heartbeat(59, view, time_on_page_s=50)))
    assert await conversions(site, goal) == []
    await site.store(site.records(make_heartbeat(60, view, time_on_page_s=51)))
    assert await conversions(site, goal) == [(view.event_id, 0, 60, 0)]
    await site.store(site.records(make_leave(300, session_key=site.session_key)))
    assert await conversions(site, goal) == [(view.event_id, 0, 60, 0)]
    await site.store(site.records(hit(-20)))  # it began earlier than it seemed
    assert await conversions(site, goal) == [(view.event_id, 0, 40, 0)]
    await backfill(goal)
    assert await site.differences() == []


async def test_the_nth_pageview_converts_however_late_the_others_come(site, hit):
    goal = await make_goal(site.website_id, type="pages_per_session", match_type=None, match_value="3")
    first = hit(0)
    await site.store(site.records(first, hit(10)))
    assert await conversions(site, goal) == []
    await site.store(site.records(third := hit(30)))
    assert await conversions(site, goal) == [(first.event_id, 0, 30, third.event_id)]
    await site.store(site.records(late := hit(20), hit(40)))
    assert await conversions(site, goal) == [(first.event_id, 0, 20, late.event_id)]
    await backfill(goal)
    assert await site.differences() == []


@pytest.mark.parametrize("threshold", [2, 64, 70, 90, 100])
async def test_the_nth_pageview_of_a_session_too_long_to_be_held_is_read_from_its_rows(site, hit, threshold):
    goal = await make_goal(site.website_id, type="pages_per_session", match_type=None, match_value=str(threshold))
    await backfill(goal)
    views = [hit(second) for second in range(100)]
    for first in range(0, 100, 33):
        await site.store(site.records(*views[first : first + 33]))
    assert [found[2] for found in await conversions(site, goal)] == [threshold - 1]
    for at in (1.5, 50.5, 95.5):
        await site.store(site.records(hit(at)))
        assert await site.differences() == []


async def test_a_website_without_goals_writes_no_conversions(site, hit):
    await site.store(site.records(hit(0, "/thanks")))
    assert await site.value("SELECT count(*) FROM conversions WHERE website_id = %s", site.website_id) == 0


async def test_a_batch_counts_by_a_goal_that_its_process_has_not_heard_of(site, hit):
    await site.store(site.records(hit(0, "/thanks")))  # the copy is as old as this, and nothing renews it
    goal = await make_goal(site.website_id)
    await site.store(site.records(hit(3, "/thanks", session_key=secrets.token_hex(16))))
    assert [found[2] for found in await conversions(site, goal)] == [3]
    changed = await change_goal(goal, match_value="/other")
    await site.store(site.records(hit(6, "/other"), hit(7, "/thanks")))
    assert [found[2] for found in await conversions(site, changed)] == [6]


async def test_a_batch_under_way_when_the_goal_is_made_is_in_its_backfill(site, hit, monkeypatch):
    """It had read the goals before: only its rows can tell."""
    real, waits, entered = agent.conversions_store.convert, asyncio.Event(), asyncio.Event()
    await site.store(site.records(hit(0)))

    async def slow(db, folded):
        await agent.DEFINITIONS.bring_up_to_date(db, {site.website_id})
        found = agent.DEFINITIONS.of("goals", site.website_id)
        entered.set()
        await waits.wait()
        await real(db, folded, lambda _: found[0] if found else None)

    with monkeypatch.context() as patched:
        patched.setattr(agent, "_convert", slow)
        storing = asyncio.create_task(site.store(site.records(hit(5, "/thanks"))))
        await entered.wait()
        goal = await make_goal(site.website_id)
        running = asyncio.create_task(backfill(goal))
        await asyncio.sleep(0.2)
        assert (await standing(goal)).state == "waiting"
        waits.set()
        await storing
    await running
    assert [found[2] for found in await conversions(site, goal)] == [5]
    assert await site.differences() == []


async def test_a_goal_that_looks_for_something_else_leaves_nothing_of_what_it_found_before(site, hit):
    goal = await make_goal(site.website_id)
    await site.store(site.records(hit(0, "/a"), hit(1, "/thanks")))
    await backfill(goal)
    for values, found in (
        ({"match_value": "/a"}, [0]),
        ({"match_type": "starts_with", "match_value": "/"}, [0]),
        ({"count": "every"}, [0, 1]),
        ({"type": "duration", "match_type": None, "match_value": "1", "count": "once"}, [1]),
        ({"type": "duration", "match_type": None, "match_value": "2"}, []),
    ):
        goal = await change_goal(goal, **values)
        await backfill(goal)
        assert [one[2] for one in await conversions(site, goal)] == found
        held = await site.value("SELECT count(*) FROM conversions WHERE goal_id = %s", goal.id)
        assert held == len(found)
        assert await site.differences() == []


async def test_a_goal_that_was_off_for_a_while_has_all_of_it_once_it_is_on_again(site, hit):
    goal = await make_goal(site.website_id, count="every")
    await backfill(goal)
    await site.store(site.records(hit(0, "/thanks")))
    goal = await change_goal(goal, is_enabled=False)
    await backfill(goal)
    await site.store(site.records(hit(1, "/thanks")))
    assert [one[2] for one in await conversions(site, goal)] == [0]
    goal = await change_goal(goal, is_enabled=True)
    await backfill(goal)
    assert [one[2] for one in await conversions(site, goal)] == [0, 1]


async def test_a_deleted_goals_conversions_are_removed(site, hit):
    goal = await make_goal(site.website_id)
    await site.store(site.records(hit(1, "/thanks")))
    async with transaction() as db:
        await store.delete_goal(db, goal.id)
        await backfills.request(db, "goals", site.website_id, goal.id)
    assert await site.differences() == []
    while await standing(goal) is not None:
        await backfilling.run_once()
    assert await site.value("SELECT count(*) FROM conversions WHERE goal_id = %s", goal.id) == 0


async def test_sessions_that_are_removed_take_their_conversions_along(site, hit):
    goal = await make_goal(site.website_id)
    await site.store(site.records(hit(-3 * DAY, "/thanks", session_key=secrets.token_hex(16)), hit(0, "/thanks")))
    await backfill(goal)
    assert len(await conversions(site, goal)) == 2
    from analytics_app.sessions.store import instant

    await remove_sessions(site.website_id, instant(at_ms(-DAY)))
    assert [one[2] for one in await conversions(site, goal)] == [0]
    assert "conversions" not in {one.check for one in await site.differences()}


async def test_a_deleted_website_leaves_no_goal_and_no_conversion(site, hit):
    goal = await make_goal(site.website_id)
    await site.store(site.records(hit(0, "/thanks")))
    async with batch_transaction() as db:
        await db.execute("UPDATE websites SET deleted_at = now() - interval '1 day' WHERE id = %s", (site.website_id,))
    from analytics_app import clock

    await deleted_websites(clock.now())
    of_goals = "kind = 'goals' AND definition_id"
    for table, column in (("goals", "id"), ("conversions", "goal_id"), ("backfills", of_goals)):
        assert await site.value(f"SELECT count(*) FROM {table} WHERE {column} = %s", goal.id) == 0
    left = "SELECT count(*) FROM definition_versions WHERE website_id = %s"
    assert await site.value(left, site.website_id) == 0


async def test_a_session_over_midnight_converts_where_its_threshold_lies(site, hit):
    goal = await make_goal(site.website_id, type="duration", match_type=None, match_value=str(40 * MINUTE))
    await site.store(site.records(*(hit(11.5 * 3600 + 20 * MINUTE * step) for step in range(4))))
    assert [one[2] for one in await conversions(site, goal)] == [11.5 * 3600 + 40 * MINUTE]


# Equality: a goal made or changed at any moment comes to what it would have, had it been there from the start.

KINDS = [
    {"type": "pageview", "match_type": "equals", "match_value": "/1"},
    {"type": "pageview", "match_type": "starts_with", "match_value": "/", "count": "every"},
    {"type": "pageview", "match_type": "regex", "match_value": "[23]$", "count": "every"},
    {"type": "event", "match_type": "contains", "match_value": "u"},
    {"type": "event", "match_type": "ends_with", "match_value": "y", "count": "every"},
    {"type": "duration", "match_type": None, "match_value": "1800"},
    {"type": "duration", "match_type": None, "match_value": "1"},
    {"type": "pages_per_session", "match_type": None, "match_value": "2"},
    {"type": "pages_per_session", "match_type": None, "match_value": "4"},
]


def told_of(history, worker, seed):
    """The history as this test's own: of its website and sessions, with names and values."""
    rng, base = random.Random(seed), next(_event_ids)
    keys = {key: secrets.token_hex(16) for key in {one.session_key for one in history}}
    websites = {0: 0, 7: worker.website_id, 8: worker.website_id + 1}
    made = []
    for one in history:
        fields = {"session_key": keys[one.session_key], "website_id": websites[one.website_id]}
        if hasattr(one, "event_id"):
            fields["event_id"] = one.event_id + base
        if isinstance(one, Hit) and one.kind != 1:
            fields |= {"name": rng.choice(["buy", "signup", "x"]), "value": rng.choice([None, "1.5"])}
        made.append(msgspec.structs.replace(one, **fields))
    return made, base


async def facts(worker, goals, base):
    """What the goals found, as it is told without their ids."""
    found = await worker.rows(
        "SELECT goal_id, session_id - %s, CASE WHEN key > 0 THEN key - %s ELSE 0 END, at, value::text FROM conversions "
        "WHERE goal_id = ANY(%s::int[])",
        base,
        base,
        [goal.id for goal in goals],
    )
    order = {goal.id: place for place, goal in enumerate(goals)}
    return sorted((order[goal_id], *rest) for goal_id, *rest in found)


@pytest.mark.parametrize("seed", range(12))
async def test_a_goal_made_or_changed_later_comes_to_what_it_would_have_from_the_start(monkeypatch, pool, seed):
    from tests.agents.conftest import new_worker

    monkeypatch.setattr(backfill_store, "EVENTS_A_STEP", 7)
    monkeypatch.setattr(backfill_store, "CLEARED_A_STEP", 5)
    rng = random.Random(seed)
    history = a_history(rng, 90) if seed % 3 else a_session(rng, 90)
    told = []
    for later in (False, True):
        worker = new_worker(monkeypatch)
        await make_website(worker.website_id)
        await make_website(worker.website_id + 1)
        hits, base = told_of(history, worker, seed)
        chance = random.Random(seed)
        changes = sorted((chance.randrange(90) if later else 0, place) for place in range(len(KINDS)))
        goals = {}

        async def story(worker=worker, hits=hits, changes=changes, goals=goals, chance=chance, later=later):
            at = 0
            while at < len(hits):
                while changes and changes[0][0] <= at:
                    place = changes.pop(0)[1]
                    if later and chance.random() < 0.4 and place not in goals:
                        other = KINDS[chance.randrange(len(KINDS))]
                        goals[place] = await make_goal(worker.website_id, **other)
                        changes.append((at + chance.randrange(30), place))
                        changes.sort()
                    elif place in goals:
                        goals[place] = await change_goal(goals[place], **{"count": "once", **KINDS[place]})
                    else:
                        goals[place] = await make_goal(worker.website_id, **KINDS[place])
                size = chance.randint(1, 12)
                await worker.store(worker.records(*hits[at : at + size]))
                at += size
            for _, place in changes:
                made = goals.get(place)
                goals[place] = (
                    await change_goal(made, **{"count": "once", **KINDS[place]})
                    if made
                    else await make_goal(worker.website_id, **KINDS[place])
                )

        async def fill(going):
            while not going.done():
                await backfilling.run_once()
                await asyncio.sleep(0)

        going = asyncio.create_task(story())
        await asyncio.gather(going, fill(going))
        ordered = [goals[place] for place in range(len(KINDS))]
        await backfill(*ordered)
        assert await worker.differences(worker.website_id, worker.website_id + 1) == []
        told.append(await facts(worker, ordered, base))
    assert told[0] == told[1]
    assert len(told[0]) > 5
