"""From hits to attempts at funnels: whatever happens on the way, the rows are what brute force finds in the events."""

import random
import secrets

import pytest

from analytics_app.db import batch_transaction
from tests.agents.following import Follower, new_follower
from tests.factories import HOUR, MINUTE, at_ms, make_event, make_hit
from tests.funnel_oracle import Step

pytestmark = pytest.mark.services

A, B, C = (Step("pageview", f"/{letter}") for letter in "abc")
SIGNUP = Step("event", "sign*")
ANY = Step("pageview", "/*")


def optional(step):
    return Step(step.match_type, step.match_value, is_optional=True)


@pytest.fixture
def follower(worker, monkeypatch) -> Follower:
    return new_follower(worker, monkeypatch)


@pytest.fixture
def hit(worker):
    """A pageview of this test's website, by one visitor in one session unless it says otherwise."""

    def made(at=0, path="/a", **fields):
        return make_hit(at, path=path, **{"website_id": worker.website_id, "session_key": worker.session_key, **fields})

    return made


async def attempts(follower):
    """The offsets of the attempts stored, in seconds, in order."""
    found = await follower.stored()
    return [
        tuple(None if offset is None else offset / 1000 for offset in attempt.offsets_ms)
        for held in found.values()
        for _, attempt in held
    ]


# One after the other.


async def test_steps_taken_become_an_attempt(worker, follower, hit):
    await follower.define(A, B)
    await worker.store(worker.records(hit(0, "/a"), hit(30, "/x"), hit(60, "/b")))
    await follower.follow()
    assert await attempts(follower) == [(0, 60)]
    assert await follower.stored() == await follower.expected()


async def test_a_step_that_comes_in_a_later_batch_goes_on_with_the_attempt(worker, follower, hit):
    await follower.define(A, B)
    for one in (hit(0, "/a"), hit(90, "/b")):
        await worker.store(worker.records(one))
        await follower.follow()
    assert await attempts(follower) == [(0, 90)]


async def test_a_step_that_arrives_before_the_one_it_follows_counts_when_that_arrives(worker, follower, hit):
    await follower.define(A, B)
    for one in (hit(90, "/b"), hit(0, "/a")):
        await worker.store(worker.records(one))
        await follower.follow()
    assert await attempts(follower) == [(0, 90)]


async def test_an_attempt_goes_on_in_another_session_and_another_partition(worker, follower, hit):
    await follower.define(A, SIGNUP, window_hours=24)
    await worker.store(worker.records(hit(0, "/a")))
    later = make_event(5 * HOUR, website_id=worker.website_id, session_key=secrets.token_hex(16))
    await worker.store(worker.records(later, partition=1))
    await follower.follow()
    assert await attempts(follower) == [(0, 5 * HOUR)]


async def test_only_what_a_funnel_wants_is_told(worker, follower, hit):
    await worker.store(worker.records(hit(0, "/a")))
    assert follower.waiting == []
    await follower.define(A, B)
    await worker.store(worker.records(hit(1, "/x")))
    assert follower.waiting == []
    await worker.store(worker.records(hit(2, "/b")))
    assert len(follower.waiting) == 1


async def test_what_is_told_twice_counts_once(worker, follower, hit):
    await follower.define(A, B)
    await worker.store(worker.records(hit(0, "/a"), hit(60, "/b")))
    follower.waiting *= 2
    await follower.follow()
    await worker.store(worker.records(hit(61, "/a")))
    follower.waiting *= 2
    await follower.follow()
    assert await attempts(follower) == [(0, 60), (0, None)]


async def test_a_batch_that_is_undone_tells_the_same_again(worker, follower, hit, monkeypatch):
    from agents import sessions as agent

    await follower.define(A, B)
    unsealed = agent.sealing_store.unseal
    failing = [ConnectionError]

    async def fail_once(*given):
        await unsealed(*given)
        if failing:
            await agent._tell_funnels(failing_folded[0])
            raise TimeoutError(failing.pop())

    failing_folded = []
    write = agent.writes_store.write

    async def remember(db, partition, folded, partition_of):
        failing_folded[:] = [folded]
        return await write(db, partition, folded, partition_of)

    monkeypatch.setattr(agent.writes_store, "write", remember)
    monkeypatch.setattr(agent.sealing_store, "unseal", fail_once)
    await worker.store(worker.records(hit(0, "/a"), hit(60, "/b")))
    first, second = (value for _, value in follower.waiting)
    assert len(first) == len(second)
    await follower.follow()
    assert await attempts(follower) == [(0, 60)]
    assert await follower.stored() == await follower.expected()


async def test_a_copy_of_another_version_is_not_used(worker, follower, hit):
    await follower.define(A, B, C)
    await worker.store(worker.records(hit(0, "/a")))
    await follower.follow()
    stale = dict(follower.table.copies)
    await worker.store(worker.records(hit(10, "/b")))
    await follower.follow()
    follower.table.copies = stale
    await worker.store(worker.records(hit(20, "/c")))
    await follower.follow()
    assert await attempts(follower) == [(0, 10, 20)]


async def test_a_visitor_who_does_not_exist_any_more_is_left_out(worker, follower, hit):
    await follower.define(A, B)
    await follower.backfill()
    await worker.store(worker.records(hit(0, "/a")))
    async with batch_transaction() as db:
        await db.execute("DELETE FROM visitors WHERE website_id = %s", (worker.website_id,))
    await follower.follow()
    assert await attempts(follower) == []
    outcomes = await worker.rows("SELECT outcome, hits FROM stream_outcomes WHERE topic = %s", follower.topic)
    assert dict(outcomes) == {"received": 1, "ignored_visitor_gone": 1}


async def test_states_that_are_over_are_deleted(worker, follower, hit, monkeypatch):
    from agents import funnels as agent

    monkeypatch.setattr(agent, "FORGET_EVERY", 1)
    await follower.define(A, B)
    await worker.store(worker.records(hit(0, "/a")))
    await follower.follow()
    other = hit(27 * HOUR, "/a", visitor="72" * 16, session_key=secrets.token_hex(16))
    await worker.store(worker.records(other))
    follower.waiting = [(agent.settings().partitions * 0 + part, value) for part, value in follower.waiting]
    await follower.follow()
    query = "SELECT count(*) FROM funnel_progress WHERE website_id = %s"
    held = await worker.value(query, worker.website_id)
    assert held == len(follower.table.copies)
    assert held <= 2
    assert await attempts(follower) == [(0, None), (0, None)]


# Definitions that come later, or change.


async def test_a_funnel_made_later_counts_what_was_stored_before(worker, follower, hit):
    await worker.store(worker.records(hit(0, "/a"), hit(60, "/b")))
    await follower.define(A, B)
    await follower.backfill()
    assert await attempts(follower) == [(0, 60)]


async def test_funnels_made_at_once_have_the_stored_gone_through_once(worker, follower, hit, monkeypatch):
    from analytics_app.funnels import backfill_store

    gone_through, ask = [], backfill_store.visitors_after

    async def visitors_after(db, website_id, *given):
        found = await ask(db, website_id, *given)
        if website_id == worker.website_id:  # other tests' funnels may still wait
            gone_through.append(found)
        return found

    monkeypatch.setattr(backfill_store, "visitors_after", visitors_after)
    await worker.store(worker.records(hit(0, "/a"), hit(60, "/b"), hit(90, "/c")))
    for steps in ((A, B), (B, C), (A, C)):
        await follower.define(*steps)
    await follower.backfill()
    assert len(gone_through) == 1
    assert await follower.stored() == await follower.expected() != {}
    assert await worker.rows("SELECT DISTINCT state FROM backfills WHERE website_id = %s", worker.website_id) == [
        ("done",)
    ]


async def test_live_counting_goes_on_while_the_stored_is_gone_through(worker, follower, hit):
    await worker.store(worker.records(hit(0, "/a")))
    await follower.define(A, B)
    await worker.store(worker.records(hit(60, "/b")))
    await follower.follow()
    assert await attempts(follower) == [(0, 60)]
    await follower.backfill()
    assert await attempts(follower) == [(0, 60)]


async def test_an_event_that_is_on_the_topic_while_the_stored_is_gone_through_counts_once(worker, follower, hit):
    await follower.define(A, B)
    await worker.store(worker.records(hit(0, "/a"), hit(60, "/b")))
    await follower.backfill()
    assert await attempts(follower) == [(0, 60)]
    await follower.follow()
    assert await attempts(follower) == [(0, 60)]


async def test_a_funnel_that_changes_is_counted_anew_and_what_it_counted_before_goes(worker, follower, hit):
    funnel_id = await follower.define(A, B)
    await worker.store(worker.records(hit(0, "/a"), hit(60, "/b"), hit(90, "/c")))
    await follower.follow()
    await follower.backfill()
    await follower.change(funnel_id, B, C)
    await follower.backfill()
    assert await attempts(follower) == [(0, 30)]
    await follower.change(funnel_id, Step("event", "nothing"))
    await follower.backfill()
    assert await attempts(follower) == []


async def test_a_session_that_is_taken_out_leaves_no_trace_whatever_is_still_on_the_topic(worker, follower, hit):
    await follower.define(A, B)
    await follower.backfill()
    mine, bots = hit(0, "/a"), secrets.token_hex(16)
    await worker.store(worker.records(mine, hit(10, "/a", session_key=bots)))
    await follower.follow()
    await worker.store(worker.records(hit(20, "/b", session_key=bots)))
    (session_id,) = (
        session_id for session_id, row in (await worker.sessions()).items() if row.started_ms != mine.at_ms
    )
    await follower.take_out(session_id)
    assert await attempts(follower) == [(0, None)]
    await follower.follow()
    assert await attempts(follower) == [(0, None)]
    assert await follower.stored() == await follower.expected()


async def test_a_visitors_attempts_are_shown_to_it_and_erased_with_it(worker, follower, hit):
    from analytics_app import clock, subjects
    from analytics_app.funnels.subject_store import progress_of
    from analytics_app.gdpr.logic import Subject

    await follower.define(A, B)
    view = hit(0, "/a")
    await worker.store(worker.records(view, hit(60, "/b")))
    await follower.follow()
    number = await worker.value("SELECT number FROM visitors WHERE website_id = %s", worker.website_id)
    async with batch_transaction() as db:
        (told,) = await progress_of(db, Subject(worker.website_id, view.visitor, number))
        assert (told["steps_taken"], told["completed"]) == (2, True)
        assert [round(at.timestamp() * 1000) for at in told["steps_at"]] == [at_ms(0), at_ms(60)]
        now = clock.now()
        assert await subjects.erase(db, worker.website_id, view.visitor, now, now)
    for table in ("funnel_runs", "funnel_progress"):
        assert await worker.value(f"SELECT count(*) FROM {table} WHERE visitor = %s", number) == 0


async def test_a_deleted_funnel_leaves_no_attempt(worker, follower, hit):
    from analytics_app.backfills import store as backfills
    from analytics_app.db import transaction
    from analytics_app.funnels import store

    funnel_id = await follower.define(A, B)
    await worker.store(worker.records(hit(0, "/a")))
    await follower.follow()
    async with transaction() as db:
        assert await store.delete_funnel(db, worker.website_id, funnel_id)
        await backfills.request(db, "funnels", worker.website_id, funnel_id)
    await worker.store(worker.records(hit(60, "/a")))
    await follower.follow()
    await follower.backfill()
    assert await worker.value("SELECT count(*) FROM funnel_runs WHERE funnel_id = %s", funnel_id) == 0


async def test_verify_finds_an_attempt_that_is_not_in_the_events(worker, follower, hit):
    funnel_id = await follower.define(A, B)
    await worker.store(worker.records(hit(0, "/a"), hit(60, "/b")))
    await follower.follow()
    await follower.backfill()
    assert await worker.differences() == []
    async with batch_transaction() as db:
        changed = "UPDATE funnel_runs SET required = 1, offsets_ms = '{0,NULL}' WHERE funnel_id = %s"
        await db.execute(changed, (funnel_id,))
    (found,) = await worker.differences()
    assert (found.check, "(0, None)" in found.stored, "(0, 60000)" in found.counted) == ("funnels", True, True)


# Everything at once.

STEPS = [A, B, C, SIGNUP, ANY]


def some_steps(chance):
    many = chance.randint(1, 4)
    return [
        optional(step) if place and chance.random() < 0.35 else step
        for place, step in enumerate(chance.choices(STEPS, k=many))
    ]


def a_history(chance, website_id):
    """Hits of three visitors in several sessions, many at the same time, out of order, at the edges of windows."""
    hits = []
    for visitor in range(3):
        keys = [secrets.token_hex(16) for _ in range(3)]
        for _ in range(chance.randint(4, 12)):
            at = chance.choice([0, 1, 2, 3, 4, 6, 8]) * 30 * MINUTE + chance.choice([0, 0, 0, 1])
            given = {"website_id": website_id, "session_key": chance.choice(keys), "visitor": f"{visitor:032x}"}
            made = make_event(at, **given) if chance.random() < 0.2 else make_hit(
                at, path=chance.choice(["/a", "/b", "/c", "/x"]), **given
            )  # fmt: skip
            hits.append(made)
    chance.shuffle(hits)
    return hits


@pytest.mark.parametrize("seed", range(24))
async def test_rows_are_what_brute_force_finds_in_the_events_whatever_happens(worker, follower, seed, monkeypatch):
    chance = random.Random(seed)
    if seed % 4:  # else they come days late
        monkeypatch.setattr("analytics_app.clock.now_ms", lambda: at_ms(5 * HOUR))
    funnels = []
    hits = a_history(chance, worker.website_id)
    while hits:
        happens = chance.random()
        if happens < 0.5:
            many = chance.randint(1, 6)
            batch, hits = hits[:many], hits[many:]
            partition = chance.randint(0, 1)
            await worker.store(worker.records(*batch, partition=partition))
        elif happens < 0.62 and len(funnels) < 4:
            made = some_steps(chance), chance.random() < 0.4, chance.randint(1, 3)
            funnels.append(await follower.define(*made[0], is_strict=made[1], window_hours=made[2]))
        elif happens < 0.67 and funnels:
            await follower.change(chance.choice(funnels), *some_steps(chance))
        elif happens < 0.74:
            await follower.backfill(chance.randint(1, 3))
        elif happens < 0.8:
            follower.table.copies.clear()
        elif happens < 0.85:
            follower.waiting += chance.sample(follower.waiting, k=min(2, len(follower.waiting)))
        elif happens < 0.9 and (sessions := await worker.sessions()):
            await follower.take_out(chance.choice(sorted(sessions)))
        else:
            await follower.follow(chance.randint(1, 4))
    await follower.follow()
    await follower.backfill()
    assert await follower.stored() == await follower.expected()
    assert await worker.differences() == []
