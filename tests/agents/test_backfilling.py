"""Backfills: a step at a time, whoever takes it, whatever is killed, and never beside a batch that knows less."""

import asyncio
import itertools
from contextlib import suppress

import pytest

from analytics_app.backfills import store
from analytics_app.backfills.logic import TRIES, Step
from analytics_app.db import batch_transaction, transaction
from analytics_app.definitions import KINDS, Definitions
from analytics_app.jobs import backfilling
from tests.factories import make_hit

pytestmark = pytest.mark.services

_ids = itertools.count(500)


@pytest.fixture
async def toys(pool):
    """A table that a toy kind's filler writes to, and its definitions' table, with the triggers of a real one."""
    async with batch_transaction() as db:
        await db.execute("CREATE TABLE IF NOT EXISTS toys (id int PRIMARY KEY, website_id int, colour text)")
        await db.execute("CREATE TABLE IF NOT EXISTS toy_steps (definition_id int, run bigint, number int)")
        await db.execute("TRUNCATE toys, toy_steps, backfills")
        for name, function in (("tell", "tell_of_definition"), ("version", "version_definition")):
            await db.execute(
                f"CREATE OR REPLACE TRIGGER {name}_toys AFTER INSERT OR DELETE OR UPDATE ON toys FOR EACH ROW "
                f"EXECUTE FUNCTION {function}('toys', 'website_id')"
            )
    yield
    async with batch_transaction() as db:
        await db.execute("DROP TABLE toys, toy_steps")


async def request(definition_id, website_id=1):
    async with transaction() as db:
        await store.request(db, "toys", website_id, definition_id)


async def count_to_five(db, job):
    number = (job.cursor or 0) + 1
    await db.execute("INSERT INTO toy_steps VALUES (%s, %s, %s)", (job.definition_id, job.run, number))
    return Step(None if number == 5 else number, done=1, total=5)


async def steps(definition_id):
    async with batch_transaction() as db:
        rows = await db.execute("SELECT run, number FROM toy_steps WHERE definition_id = %s", (definition_id,))
        return await rows.fetchall()


async def standing(definition_id):
    async with transaction() as db:
        return await store.backfill_of(db, "toys", definition_id)


async def test_a_backfill_goes_on_step_by_step_until_it_is_done(toys):
    wanted = next(_ids)
    await request(wanted)
    assert (await standing(wanted)).state == "waiting"
    for done in range(1, 5):
        assert await backfilling.run_once({"toys": count_to_five})
        row = await standing(wanted)
        assert (row.state, row.done, row.total, row.finished_at) == ("running", done, 5, None)
    assert await backfilling.run_once({"toys": count_to_five})
    row = await standing(wanted)
    assert (row.state, row.done, row.cursor) == ("done", 5, None)
    assert row.finished_at >= row.started_at >= row.requested_at
    assert not await backfilling.run_once({"toys": count_to_five})
    assert await steps(wanted) == [(1, number) for number in range(1, 6)]


async def test_one_that_is_asked_for_anew_begins_again_and_the_step_under_way_is_undone(toys):
    wanted = next(_ids)
    await request(wanted)
    await backfilling.run_once({"toys": count_to_five})

    async def changed_meanwhile(db, job):
        step = await count_to_five(db, job)
        await request(wanted)  # by another connection, which does not wait for the step
        return step

    assert await backfilling.run_once({"toys": changed_meanwhile})
    row = await standing(wanted)
    assert (row.run, row.state, row.done, row.cursor) == (2, "waiting", 0, None)
    while await backfilling.run_once({"toys": count_to_five}):
        pass
    assert await steps(wanted) == [(1, 1)] + [(2, number) for number in range(1, 6)]


async def test_several_workers_at_once_take_each_step_once(toys):
    wanted = [next(_ids) for _ in range(3)]
    for number, definition_id in enumerate(wanted):
        await request(definition_id, website_id=number % 2)

    async def worker():
        for _ in range(40):
            await backfilling.run_once({"toys": count_to_five})

    await asyncio.gather(worker(), worker())
    for definition_id in wanted:
        assert sorted(await steps(definition_id)) == [(1, number) for number in range(1, 6)]


async def test_it_does_not_begin_before_the_batches_under_way_have_ended(toys, worker):
    await worker.store(worker.records(make_hit(website_id=worker.website_id)))
    wanted = next(_ids)
    async with batch_transaction() as batch:
        await batch.execute("SELECT 1 FROM stream_positions WHERE topic = %s FOR UPDATE", (worker.topic,))
        await request(wanted)
        running = asyncio.create_task(backfilling.run_once({"toys": count_to_five}))
        await asyncio.sleep(0.3)
        # A batch that began after the request knows the definition: it is not waited for.
        await worker.store(worker.records(make_hit(website_id=worker.website_id), partition=1))
        assert await steps(wanted) == []
    assert await running
    assert await steps(wanted) == [(1, 1)]


async def test_a_step_that_fails_is_tried_again_later_and_then_told(toys):
    wanted = next(_ids)
    await request(wanted)

    async def fails(db, job):
        await count_to_five(db, job)
        raise ValueError("no such toy")

    for failures in range(1, TRIES + 1):
        assert not await backfilling.run_once({"toys": fails})
        row = await standing(wanted)
        assert (row.failures, row.error) == (failures, "ValueError: no such toy")
        assert row.next_try_at > row.requested_at
        async with batch_transaction() as db:
            await db.execute("UPDATE backfills SET next_try_at = now()")
    assert row.state == "failed"
    assert await steps(wanted) == []
    await request(wanted)
    assert (await standing(wanted)).state == "waiting"


async def test_it_waits_while_sessions_of_its_website_are_removed(toys):
    wanted = next(_ids)
    await request(wanted, website_id=77)
    async with batch_transaction() as db:
        await store.hold_back(db, 77)
        assert not await backfilling.run_once({"toys": count_to_five})
    assert await backfilling.run_once({"toys": count_to_five})


async def test_the_loop_begins_within_a_second_of_the_request(toys, monkeypatch):
    monkeypatch.setitem(backfilling.FILLERS, "toys", count_to_five)
    running = asyncio.create_task(backfilling.keep_running())
    try:
        await asyncio.sleep(0.1)
        wanted = next(_ids)
        await request(wanted)
        async with asyncio.timeout(3):
            while (await standing(wanted)).state != "done":
                await asyncio.sleep(0.02)
        row = await standing(wanted)
        assert (row.started_at - row.requested_at).total_seconds() < 1.5
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_batch_counts_by_the_definitions_that_are_committed_whatever_its_process_has_heard(toys, monkeypatch):
    async def read(db, ids):
        rows = await (await db.get_raw_connection()).driver_connection.execute("SELECT website_id, colour FROM toys")
        return {website_id: (colour,) async for website_id, colour in rows}

    monkeypatch.setitem(KINDS, "toys", read)
    copy = Definitions()  # hears nothing: nobody keeps it fresh
    await copy.renew()
    for change, found in (
        ("INSERT INTO toys VALUES (1, 5, 'red')", ("red",)),
        ("UPDATE toys SET colour = 'blue'", ("blue",)),
        ("DELETE FROM toys", ()),
    ):
        async with batch_transaction() as db:
            await db.execute(change)
        async with batch_transaction() as db:
            await copy.bring_up_to_date(db, {5, 6})
        assert copy.of("toys", 5) == found
