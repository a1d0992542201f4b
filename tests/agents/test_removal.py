"""Sessions that leave the numbers again: nothing of them stays, nothing brings them back, whatever is under way."""

import asyncio
import random
import secrets

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import sessions as agent
from agents.realtime import WRITTEN_AT_ONCE, WRITTEN_EVERY_S, LiveViews
from analytics_app import removal
from analytics_app.db import batch_transaction, transaction
from analytics_app.jobs.retention import remove_sessions
from analytics_app.realtime import store as realtime_store
from analytics_app.records import Active, ActivityRecord
from analytics_app.sessions import removal_store
from analytics_app.sessions.store import instant
from tests.agents.test_sessions import of_this_test
from tests.factories import DAY, HOUR, MINUTE, NOON_MS, at_ms, make_event, make_heartbeat, make_hit, make_leave
from tests.histories import a_history

pytestmark = pytest.mark.services


@pytest.fixture
def hit(worker):
    """Make a hit of this test's website and session."""

    def made(at=0, **fields):
        return make_hit(at, **{"website_id": worker.website_id, "session_key": worker.session_key, **fields})

    return made


async def remove_key(worker, key=None):
    """Take out what lies under a session key, as a verdict does."""
    async with batch_transaction() as db:
        await removal_store.hold_alone(db, worker.website_id)
        found = await removal_store.sessions_under(db, worker.website_id, [key or worker.session_key])
        return await removal.remove(db, worker.website_id, found)


async def totals(worker):
    return (
        await worker.rows(
            "SELECT coalesce(sum(pageviews), 0)::int, coalesce(sum(events), 0)::int, coalesce(sum(sessions), 0)::int, "
            "coalesce(sum(bounces), 0)::int, coalesce(sum(duration_s), 0)::int "
            "FROM traffic_rollups WHERE website_id = %s",
            worker.website_id,
        )
    )[0]


async def test_a_session_that_is_removed_leaves_rows_and_totals_and_the_others_stay(worker, hit):
    other = secrets.token_hex(16)
    await worker.store(worker.records(hit(0), hit(20, path="/b"), make_event(30, website_id=worker.website_id,
                       session_key=worker.session_key), hit(1000, session_key=other, visitor="72" * 16)))  # fmt: skip
    removed = await remove_key(worker)
    assert (len(removed.session_ids), removed.pageviews, removed.events) == (1, 2, 1)
    assert removed.parts == (NOON_MS // (4 * 3_600_000),)
    assert await totals(worker) == (1, 0, 1, 1, 0)
    assert len(await worker.sessions()) == 1
    assert await worker.differences() == []
    assert (await remove_key(worker)).session_ids == ()
    assert await totals(worker) == (1, 0, 1, 1, 0)


async def test_later_hits_of_a_removed_session_bring_nothing_of_it_back(worker, hit):
    first = hit(0)
    await worker.store(worker.records(first, hit(10, path="/b")))
    await remove_key(worker)
    late = hit(-5, path="/late")
    await worker.store(
        worker.records(
            make_heartbeat(20, first, time_on_page_s=15), make_leave(30, session_key=worker.session_key), late
        )
    )
    assert list(await worker.sessions()) == [late.event_id]
    assert (await worker.outcomes())["ignored_unknown_event"] == 1
    assert await totals(worker) == (1, 0, 1, 1, 0)
    assert await worker.differences() == []


async def test_sessions_of_a_visitor_are_found_however_old_and_their_states_without_being_told_the_key(worker, hit):
    keys = [secrets.token_hex(16) for _ in range(3)]
    for number, key in enumerate(keys):
        await worker.store(
            worker.records(hit(number * 5 * HOUR, session_key=key), hit(number * 5 * HOUR + 9, session_key=key))
        )
    number = await worker.value("SELECT number FROM visitors WHERE website_id = %s", worker.website_id)
    async with batch_transaction() as db:
        await removal_store.hold_alone(db, worker.website_id)
        found = await removal_store.sessions_of_visitors(db, worker.website_id, [number])
        removed = await removal.remove(db, worker.website_id, found)
        assert await removal_store.forget_visitors(db, worker.website_id, removed.visitors) == 1
    assert len(removed.session_ids) == 3
    again = hit(10 * HOUR + 60, session_key=keys[2])
    await worker.store(worker.records(again))
    assert list(await worker.sessions()) == [again.event_id]
    assert await worker.differences() == []


async def test_a_removal_waits_for_the_batch_under_way_and_takes_out_what_it_wrote(worker, hit):
    async with batch_transaction() as db:
        await agent.write(db, [hit(0), hit(5)], [0, 0])
        removing = asyncio.create_task(remove_key(worker))
        await asyncio.sleep(0.2)
        assert not removing.done()
    removed = await removing
    assert (len(removed.session_ids), removed.pageviews) == (1, 2)
    assert await worker.event_ids() == []
    assert await worker.differences() == []


async def test_a_batch_waits_for_the_removal_under_way_and_sees_what_it_decided(worker, hit, monkeypatch):
    await worker.store(worker.records(hit(0)))
    condemned = set()

    async def left_out(db, hits):
        return {place: "bot" for place, one in enumerate(hits) if one.session_key in condemned}

    monkeypatch.setattr(removal, "LEFT_OUT", (left_out,))
    async with batch_transaction() as db:
        await removal_store.hold_alone(db, worker.website_id)
        storing = asyncio.create_task(worker.store(worker.records(hit(10), hit(20, session_key="ab" * 16))))
        await asyncio.sleep(0.2)
        assert not storing.done()
        found = await removal_store.sessions_under(db, worker.website_id, [worker.session_key])
        await removal.remove(db, worker.website_id, found)
        condemned.add(worker.session_key)
    await storing
    assert len(await worker.event_ids()) == 1
    outcomes = await worker.outcomes()
    assert (outcomes["ignored_bot"], outcomes["stored"], outcomes["received"]) == (1, 2, 3)
    assert await worker.differences() == []


async def test_what_is_derived_is_taken_out_in_the_same_transaction_or_nothing_is(worker, hit, monkeypatch):
    await worker.store(worker.records(hit(0)))
    (session_id,) = await worker.sessions()
    told = []

    async def derived(db, website_id, session_ids, visitors):
        number = await (await db.execute("SELECT number FROM visitors WHERE website_id = %s", (website_id,))).fetchone()
        told.append((website_id, session_ids, visitors == number))

    async def broken(db, website_id, session_ids, visitors):
        raise RuntimeError("a capability fails")

    monkeypatch.setattr(removal, "DERIVED", (derived, broken))
    with pytest.raises(RuntimeError):
        await remove_key(worker)
    assert list(await worker.sessions()) == [session_id]
    monkeypatch.setattr(removal, "DERIVED", (derived,))
    await remove_key(worker)
    assert told[-1] == (worker.website_id, (session_id,), True)
    assert await worker.sessions() == {}


async def test_sessions_that_are_too_old_go_and_late_hits_of_theirs_begin_anew(worker, hit):
    old = hit(-DAY - HOUR)
    await worker.store(worker.records(old, hit(0, session_key="ab" * 16)))
    await remove_sessions(worker.website_id, instant(at_ms(-DAY)))
    assert len(await worker.sessions()) == 1
    assert await worker.differences() == []
    await worker.store(worker.records(hit(-DAY - HOUR + MINUTE)))
    assert await worker.differences() == []


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_removed_in_between_the_totals_are_those_of_what_is_left(worker, seed):
    rng = random.Random(seed)
    hits = of_this_test(a_history(rng, 120), worker)
    websites = (worker.website_id, worker.website_id + 1)
    removed = 0
    while hits:
        batch, hits = hits[: (size := rng.randint(1, 15))], hits[size:]
        await worker.store(worker.records(*batch))
        if rng.random() < 0.5:
            async with batch_transaction() as db:
                for website_id in websites:
                    ids = sorted(await worker.sessions(website_id))
                    chosen = rng.sample(ids, min(len(ids), 2))
                    removed += len((await removal.remove(db, website_id, chosen)).session_ids)
        assert await worker.differences(*websites) == []
    assert removed > 5


async def test_who_is_removed_leaves_the_live_view_unless_seen_again(worker, hit):
    from analytics_app import clock

    now_ms = clock.now_ms()
    await worker.store(worker.records(hit((now_ms - NOON_MS) / 1000)))
    (removed,) = (await remove_key(worker)).visitors
    async with transaction() as db:
        gone = [one for one in await realtime_store.removals_since(db, instant(now_ms - 60_000))
                if one[0] == worker.website_id]  # fmt: skip
    assert [visitor for _, visitor, _ in gone] == [removed]
    live = LiveViews()
    live.see(
        0,
        [ActivityRecord(worker.website_id, [Active(removed, now_ms, "/", ""), Active(removed + 1, now_ms, "/", "")])],
        now_ms,
    )
    live.due(0)
    live.remove(gone)
    assert live.due(0)[worker.website_id][0]["active_visitors"] == 1
    live.see(0, [ActivityRecord(worker.website_id, [Active(removed, now_ms + 60_000, "/", "")])], now_ms + 60_000)
    live.remove(gone)
    assert live.due(0)[worker.website_id][0]["active_visitors"] == 2


def test_of_very_many_live_views_those_that_wait_longest_are_written_first():
    live, now_ms = LiveViews(), NOON_MS
    live.see(0, [ActivityRecord(one, [Active(1, now_ms, "/", "")]) for one in range(WRITTEN_AT_ONCE + 3)], now_ms)
    first = live.due(0)
    live.see(0, [ActivityRecord(one, [Active(2, now_ms, "/", "")]) for one in range(2)], now_ms)
    assert list(first) == list(range(WRITTEN_AT_ONCE))
    assert list(live.due(0)) == [WRITTEN_AT_ONCE, WRITTEN_AT_ONCE + 1, WRITTEN_AT_ONCE + 2, 0, 1]
    assert live.due(0) == {}
    emptied = live.due(now_ms + 1)
    assert {view["active_visitors"] for view, _ in emptied.values()} == {0}
    live.due(now_ms + 1)
    assert not live.presences[0]


def test_a_change_after_a_silence_is_written_at_once_and_others_wait_for_more(monkeypatch):
    from analytics_app import clock

    live, now_s = LiveViews(), 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now_s)
    seen = [ActivityRecord(1, [Active(1, NOON_MS, "/", "")])]
    assert not live.is_due()
    live.see(0, seen, NOON_MS)
    assert live.is_due()
    live.due(0)
    live.written_at = now_s
    live.see(0, seen, NOON_MS)
    now_s += WRITTEN_EVERY_S - 0.01
    assert not live.is_due()
    now_s += 0.01
    assert live.is_due()


sights = st.tuples(st.just("see"), st.integers(1, 2), st.integers(1, 2), st.integers(0, 9))
later = st.tuples(st.just("due"), st.integers(1, 4))
moves = st.one_of(
    sights,
    sights,
    later,
    later,
    st.tuples(st.just("remove"), st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.just("keep"), st.sampled_from([{0}, {1}])),
)


@hypothesis.settings(max_examples=400)
@given(st.lists(moves, min_size=4, max_size=20))
def test_whoever_falls_out_of_the_window_leaves_the_view_that_is_written_next(moves):
    """Against the plainest way: every visitor of every website looked at each time."""
    live, plain, written = LiveViews(), {}, {}
    horizon_ms = 0
    for move, *said in moves:
        if move == "see":
            website, visitor, at_ms = said
            live.see(website % 2, [ActivityRecord(website, [Active(visitor, at_ms, "/", "")])], NOON_MS)
            held = plain.setdefault(website, {})
            held[visitor] = max(at_ms, held.get(visitor, 0))
        elif move == "remove":
            website, visitor = said
            live.remove([(website, visitor, NOON_MS)])
            plain.get(website, {}).pop(visitor, None)
        elif move == "keep":
            live.keep(said[0])
            plain = {website: held for website, held in plain.items() if website % 2 in said[0]}
        else:
            horizon_ms += said[0]
            for held in plain.values():
                for visitor in [one for one, at_ms in held.items() if at_ms < horizon_ms]:
                    del held[visitor]
            written |= {website: view["active_visitors"] for website, (view, _) in live.due(horizon_ms).items()}
            assert {one: written.get(one, 0) for one in plain} == {one: len(held) for one, held in plain.items()}
