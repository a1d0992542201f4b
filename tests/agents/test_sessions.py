"""From hits to rows: what the worker writes is what the fold says, whatever its table holds."""

import random
import secrets
from dataclasses import replace
from datetime import timedelta

import pytest

from agents import sessions as agent
from analytics_app import removal
from analytics_app.records import Active
from analytics_app.sessions import state as states
from analytics_app.sessions import store
from analytics_app.sessions.state import Held, decode_state, encode_state
from analytics_app.sessions.store import instant
from tests.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOON_MS,
    at_ms,
    make_event,
    make_heartbeat,
    make_hit,
    make_leave,
    make_website,
)
from tests.histories import KEYS, a_history
from tests.ledger import Ledger

pytestmark = pytest.mark.services


@pytest.fixture
def hit(worker):
    """Make a hit of this test's website and session."""

    def made(at=0, **fields):
        return make_hit(at, **{"website_id": worker.website_id, "session_key": worker.session_key, **fields})

    return made


async def only(worker):
    (row,) = (await worker.sessions()).values()
    return row


# The rows.


async def test_a_visit_becomes_a_session_its_events_its_visitor_and_its_rollup(worker, hit):
    view = hit(0, path="/a", title="A", country="NP", source="Google", utm_campaign="summer", host="example.com")
    event = make_event(
        30,
        website_id=worker.website_id,
        session_key=worker.session_key,
        value="12.5",
        currency="EUR",
        properties={"plan": "pro", "seats": 3, "yearly": True, "é": 0.5},
    )
    beat = make_heartbeat(60, view, time_on_page_s=45, scroll_depth=80)
    leave = make_leave(75, session_key=worker.session_key)
    await worker.store(worker.records(view, event, beat, hit(20, path="/b"), leave))
    row = await only(worker)
    assert (row.visitor, row.started_ms, row.last_ms) == (view.visitor, at_ms(0), at_ms(75))
    assert (row.pageviews, row.events, row.engaged_s, row.is_bounce) == (2, 1, 45, False)
    assert (row.entry_path, row.exit_path, row.source, row.country) == ("/a", "/b", "Google", "NP")
    events = await worker.rows(
        "SELECT e.kind, p.text, n.text, t.text, time_on_page_s, scroll_depth, value::text, currency, properties "
        "FROM events e LEFT JOIN terms p ON p.id = e.path LEFT JOIN terms n ON n.id = e.name "
        "LEFT JOIN terms t ON t.id = e.title WHERE e.website_id = %s ORDER BY at",
        worker.website_id,
    )
    assert events == [
        (1, "/a", None, "A", 45, 80, None, None, None),
        (1, "/b", None, None, 0, 0, None, None, None),
        (2, None, "signup", None, 0, 0, "12.5000", "EUR", {"plan": "pro", "seats": 3, "yearly": True, "é": 0.5}),
    ]
    rollup = await worker.rows(
        "SELECT partition, pageviews, events, sessions, bounces, duration_s, session_pageviews FROM traffic_rollups "
        "WHERE website_id = %s",
        worker.website_id,
    )
    assert rollup == [(0, 2, 1, 1, 0, 75, 2)]
    assert await worker.differences() == []


async def test_a_visitor_has_one_number_a_website_whatever_batch_and_partition_it_comes_in(worker, hit):
    other = worker.website_id + 1
    await worker.store(worker.records(hit(0), hit(0, website_id=other)))
    await worker.store(worker.records(hit(3 * HOUR)))
    elsewhere = [hit(at, session_key=secrets.token_hex(16)) for at in (0, 9 * HOUR)]
    await worker.store(worker.records(*elsewhere, partition=1))
    query = "SELECT website_id, count(DISTINCT visitor), count(*) FROM sessions WHERE website_id = ANY(%s) GROUP BY 1"
    assert sorted(await worker.rows(query, [worker.website_id, other])) == [(worker.website_id, 1, 4), (other, 1, 1)]
    first_seen = "SELECT first_seen_at FROM visitors WHERE website_id = %s"
    assert await worker.value(first_seen, worker.website_id) == instant(at_ms(0))


async def test_a_start_that_moves_into_another_month_takes_its_row_along(worker, hit):
    november_ends = 10.5 * DAY
    await worker.store(worker.records(hit(november_ends + 60, path="/late")))
    await worker.store(worker.records(hit(november_ends - 60, path="/early", source="Bing")))
    row = await only(worker)
    assert (row.entry_path, row.exit_path, row.source, row.pageviews) == ("/early", "/late", "Bing", 2)
    query = "SELECT tableoid::regclass::text FROM sessions WHERE website_id = %s"
    assert await worker.value(query, worker.website_id) in ("sessions_2026_11", "sessions_other")
    assert await worker.differences() == []


async def test_whoever_watches_is_told_who_was_seen_where(worker, hit):
    await worker.store(worker.records(hit(0, path="/a", country="GB"), hit(5, path="/b")))
    number = await worker.value("SELECT number FROM visitors WHERE website_id = %s", worker.website_id)
    assert worker.told == [{worker.website_id: [Active(number, at_ms(5), "/b", "GB")]}]


async def test_a_heartbeat_for_a_page_that_only_its_row_remembers_is_counted(worker, hit, monkeypatch):
    monkeypatch.setattr(states, "VIEWS_HELD", 3)
    views = [hit(at, client_id=secrets.token_hex(16)) for at in range(8)]
    await worker.store(worker.records(*views))
    await worker.store(worker.records(make_heartbeat(60, views[0], time_on_page_s=20, scroll_depth=50)))
    again = hit(70, client_id=views[1].client_id)
    await worker.store(
        worker.records(
            make_heartbeat(80, views[0], time_on_page_s=15, scroll_depth=90),
            again,
            make_heartbeat(90, again, time_on_page_s=4),
        )
    )
    assert (await only(worker)).engaged_s == 24
    query = "SELECT time_on_page_s, scroll_depth FROM events WHERE id = %s"
    assert await worker.rows(query, views[0].event_id) == [(20, 90)]
    assert await worker.differences() == []


# The table is a copy of the row, good while their versions agree.


compare_versions = store.states_of


async def trust_the_table(db, held):
    """The states as the table has them, whatever the rows say: what must not be done."""
    trusted = {key: decode_state(copy.state) for key, copy in held.items() if copy}
    return trusted | await compare_versions(db, {key: None for key, copy in held.items() if not copy})


async def another_worker_goes_on(worker, hit):
    """Two batches of which this worker's table holds but the first: the second was stored by another worker."""
    first, second, third = hit(0), hit(60), hit(120)
    records = worker.records(first, second, third)
    await worker.store(records[:1])
    await worker.sink.store(records[1:2])
    await worker.store(records[2:])
    return [one.event_id for one in (first, second, third)]


async def wrong_copy(worker, hit):
    """A table whose copy is plainly wrong, under a version that is not the row's."""
    first, second = hit(0), hit(60)
    records = worker.records(first, second)
    await worker.store(records[:1])
    copy = worker.table.copies[worker.session_key]
    state = decode_state(copy.state)
    state.visits[0].pageviews = 41
    worker.table.copies[worker.session_key] = Held(copy.version - 1, encode_state(state))
    await worker.store(records[1:])
    return [one.event_id for one in (first, second)]


@pytest.mark.parametrize("happens", [another_worker_goes_on, wrong_copy])
async def test_a_copy_of_another_version_is_not_used(worker, hit, happens):
    expected = await happens(worker, hit)
    assert await worker.event_ids() == expected
    assert (await only(worker)).pageviews == len(expected)
    assert await worker.differences() == []


@pytest.mark.parametrize("happens", [another_worker_goes_on, wrong_copy])
async def test_without_the_comparison_of_versions_the_totals_would_be_wrong(worker, hit, happens, monkeypatch):
    monkeypatch.setattr(agent.store, "states_of", trust_the_table)
    expected = await happens(worker, hit)
    assert await worker.event_ids() == expected
    assert (await only(worker)).pageviews != len(expected)
    assert {one.check for one in await worker.differences()} >= {"sessions"}


async def test_a_copy_of_the_rows_version_is_used_and_the_rows_state_is_not_read(worker, hit):
    await worker.store(worker.records(hit(0)))
    query = "UPDATE session_states SET state = 'unreadable' WHERE key = %s::uuid RETURNING 1"
    await worker.rows(query, worker.session_key)
    await worker.store(worker.records(hit(60)))
    assert (await only(worker)).pageviews == 2
    assert await worker.differences() == []


async def test_a_table_that_was_deleted_is_made_again_from_the_rows(worker, hit):
    for at in range(4):
        await worker.store(worker.records(hit(at * 60)))
        worker.table.copies.clear()
    assert (await only(worker)).pageviews == 4
    assert await worker.differences() == []


async def test_a_copy_of_a_session_whose_state_is_gone_is_not_used(worker, hit):
    await worker.store(worker.records(hit(0)))
    await worker.rows("DELETE FROM session_states WHERE key = %s::uuid RETURNING 1", worker.session_key)
    await worker.store(worker.records(hit(60)))
    assert [row.pageviews for row in (await worker.sessions()).values()] == [1, 1]
    assert await worker.differences() == []


async def test_a_batch_that_is_taken_apart_goes_on_from_what_its_first_part_wrote(worker, hit):
    hits = [hit(at * 60) for at in range(7)]
    await worker.store(worker.records(hits[0]))
    records = worker.records(*hits[1:4], hit(1, title="\0"), *hits[4:])
    await worker.store(records)
    assert (await only(worker)).pageviews == 7
    await worker.store(worker.records(hit(500)))
    assert (await only(worker)).pageviews == 8
    assert await worker.differences() == []


# What is over.


async def test_states_that_nothing_can_change_any_more_are_forgotten_by_row_and_table(worker, hit, monkeypatch):
    monkeypatch.setattr(agent, "FORGET_EVERY", 1)
    over, late, live = (hit(at, session_key=secrets.token_hex(16)) for at in (-30 * HOUR, -24 * HOUR, 0))
    await worker.store(worker.records(over, partition=9))
    await worker.store(worker.records(late, partition=9))
    await worker.store(worker.records(live, partition=9))
    assert set(worker.table.copies) == {late.session_key, live.session_key}
    query = "SELECT count(*) FROM session_states WHERE key = ANY(%s::uuid[])"
    assert await worker.value(query, [over.session_key, late.session_key, live.session_key]) == 2
    await worker.store(worker.records(hit(-24 * HOUR + 20 * MINUTE, session_key=late.session_key)))
    assert len(await worker.sessions()) == 3
    assert await worker.differences() == []


async def test_states_are_forgotten_in_each_partition_of_a_batch(worker, hit, monkeypatch):
    monkeypatch.setattr(agent, "FORGET_EVERY", 1)
    over = {partition: hit(-30 * HOUR, session_key=secrets.token_hex(16)) for partition in (7, 8)}
    await worker.store([record for p, one in over.items() for record in worker.records(one, partition=p)])
    live = {partition: hit(0, session_key=secrets.token_hex(16)) for partition in (7, 8)}
    await worker.store([record for p, one in live.items() for record in worker.records(one, partition=p)])
    assert set(worker.table.copies) == {one.session_key for one in live.values()}


async def test_a_batch_of_which_every_hit_is_left_out_may_be_the_one_that_forgets(worker, hit, monkeypatch):
    monkeypatch.setattr(agent, "FORGET_EVERY", 1)

    async def left_out(_db, hits):
        return dict.fromkeys(range(len(hits)), "bot")

    monkeypatch.setattr(removal, "LEFT_OUT", (left_out,))
    await worker.store(worker.records(hit(0), hit(1)))
    assert await worker.outcomes() == {"received": 2, "ignored_bot": 2}


async def test_a_hit_from_the_future_makes_the_worker_forget_nothing_that_is_live(worker, hit, monkeypatch):
    monkeypatch.setattr(agent, "FORGET_EVERY", 1)
    monkeypatch.setattr(agent.clock, "now_ms", lambda: NOON_MS)
    await worker.store(worker.records(hit(0)))
    await worker.store(worker.records(hit(900 * DAY, session_key=secrets.token_hex(16))))
    assert worker.session_key in worker.table.copies
    assert await worker.value("SELECT count(*) FROM session_states WHERE key = %s::uuid", worker.session_key) == 1


async def test_states_are_kept_as_long_as_the_longest_timeout_of_any_website_needs(worker, monkeypatch):
    assert agent._longest_timeout() >= timedelta(minutes=30)
    websites = {1: make_website(1), 2: make_website(2, session_timeout_s=DAY)}
    monkeypatch.setattr(agent.DEFINITIONS, "snapshot", replace(agent.DEFINITIONS.snapshot, websites=websites))
    assert agent._longest_timeout() == timedelta(days=1)


# Any history at all.


def of_this_test(history, worker):
    """The history under session ids, websites and client ids that are no other test's."""
    keys = {key: secrets.token_hex(16) for key in KEYS}
    websites = {0: 0, 7: worker.website_id, 8: worker.website_id + 1}
    base = (1 + secrets.randbelow(2**32)) * 100_000
    made = []
    for one in history:
        fields = {"session_key": keys[one.session_key], "website_id": websites[one.website_id]}
        if hasattr(one, "event_id"):
            fields["event_id"] = base + one.event_id
        made.append(type(one)(**{name: getattr(one, name) for name in one.__struct_fields__} | fields))
    return made


@pytest.mark.parametrize("seed", range(12))
async def test_any_history_gives_the_rows_that_the_fold_gives_in_memory(worker, seed, monkeypatch):
    monkeypatch.setattr(states, "VIEWS_HELD", 4)
    rng = random.Random(seed)
    hits = of_this_test(a_history(rng, 150), worker)
    ledger = Ledger()
    records = []
    while hits:
        batch, hits = hits[: (size := rng.randint(1, 25))], hits[size:]
        ledger.batch(batch)
        made = worker.records(*batch)
        records += made
        if rng.random() < 0.2:
            worker.table.copies.clear()
        offered = records[-len(made) - rng.randint(0, 10) :] if rng.random() < 0.5 else made
        await (worker.store if rng.random() < 0.8 else worker.sink.store)(offered)
    websites = (worker.website_id, worker.website_id + 1)
    assert await worker.sessions(*websites) == ledger.sessions
    assert await worker.differences(*websites) == []
    outcomes = await worker.outcomes()
    assert outcomes["received"] == len(records)
    assert (outcomes["stored"], outcomes.get("duplicate", 0)) == (ledger.stored, ledger.duplicates)
    rows = await worker.rows(
        "SELECT id, time_on_page_s, scroll_depth FROM events WHERE website_id = ANY(%s)", list(websites)
    )
    assert {row[0]: tuple(row[1:]) for row in rows} == ledger.counted()["engagement"]


async def test_sessions_of_many_partitions_in_one_batch_are_all_right(worker, hit):
    partitions = 24
    websites = {p: worker.website_id + p for p in range(partitions)}
    hits = {
        p: [
            hit(at, session_key=secrets.token_hex(16), website_id=websites[p], path=f"/{p}/{at}", title=f"{p} {at}")
            for at in range(5)
        ]
        for p in range(partitions)
    }

    await worker.store([record for p in hits for record in worker.records(*hits[p], partition=p)])
    assert await worker.outcomes() == {"received": 5 * partitions, "stored": 5 * partitions}
    assert await worker.differences(*websites.values()) == []
    worker.log.warning.assert_not_called()
