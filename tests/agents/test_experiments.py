"""Exposures from records to rows: in whatever order, however often, through kills; and out of the numbers again."""

import itertools
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from agents import experiments as agent
from agents import sink as sink_module
from agents.sink import Sink
from analytics_app import removal, subjects
from analytics_app.db import batch_transaction, snapshot, transaction
from analytics_app.experiments import exposures_store, store
from analytics_app.gdpr.logic import Subject
from analytics_app.records import EXPOSURES, Exposure, Gathered, encode
from analytics_app.sessions.store import instant
from analytics_app.stream.logic import Record
from analytics_app.verify.store import recount
from tests.factories import NOON_MS

pytestmark = pytest.mark.services
_visitors = itertools.count(1)


@dataclass
class Running:
    """A website with a running experiment of two variants, and a sink of its own."""

    website_id: int
    id: int
    variants: list[int]
    sink: Sink
    offset: int = 0
    log: list[Any] = field(default_factory=list)

    def exposure(self, at: float = 0, variant: int = 0, visitor: str | None = None, **fields: Any) -> Exposure:
        given = {
            "experiment_id": self.id,
            "variant_id": self.variants[variant],
            "website_id": self.website_id,
            "visitor": visitor or f"{next(_visitors):032x}",
            "at_ms": NOON_MS + round(at * 1000),
        }
        return Exposure(**{**given, **fields})

    def record(self, *exposures: Exposure, sequence: int | None = None) -> Record:
        offset, self.offset = self.offset, self.offset + 1
        said = Gathered("edge-1", offset if sequence is None else sequence, list(exposures))
        return Record(0, offset, encode(said))

    async def store(self, *records: Record) -> None:
        await self.sink.store(records)

    async def rows(self) -> dict[str, tuple[int, float, bool]]:
        """By the visitor's hash: which variant (0 or 1), when (seconds after noon), and whether it saw two."""
        async with batch_transaction() as db:
            found = await db.execute(
                "SELECT v.hash, x.variant_id, extract(epoch FROM x.first_at) * 1000, x.multiple FROM exposures x "
                "JOIN visitors v ON v.number = x.visitor AND v.website_id = x.website_id WHERE x.experiment_id = %s",
                (self.id,),
            )
            return {
                hash_.hex: (self.variants.index(variant), (float(at_ms) - NOON_MS) / 1000, multiple)
                async for hash_, variant, at_ms, multiple in found
            }

    async def outcomes(self) -> dict[str, int]:
        async with batch_transaction() as db:
            rows = await db.execute("SELECT outcome, hits FROM stream_outcomes WHERE topic = %s", (self.sink.topic,))
            return {outcome: hits async for outcome, hits in rows}

    async def differences(self) -> list[Any]:
        async with snapshot() as db:
            return await recount(db, bounce_engaged_s=10, website_ids=[self.website_id])


@pytest.fixture
async def running(pool: None, monkeypatch: pytest.MonkeyPatch) -> Running:
    from unittest.mock import Mock

    monkeypatch.setattr(sink_module, "log", Mock())
    async with batch_transaction() as db:
        rows = await db.execute(
            "INSERT INTO workspaces (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET name = excluded.name "
            "RETURNING id",
            ("experiments",),
        )
        ((workspace_id,),) = await rows.fetchall()
        rows = await db.execute(
            "INSERT INTO websites (workspace_id, name, host) VALUES (%s, 'A', 'a.example') RETURNING id",
            (workspace_id,),
        )
        ((website_id,),) = await rows.fetchall()
    goal = {"name": "A", "goal_type": "pageview", "goal_value": "/done"}
    async with transaction() as db:
        experiment_id = await store.add_experiment(db, website_id, goal)
        variants = [
            (await store.add_variant(db, website_id, experiment_id, {"name": name, "is_control": name == "A"})).id
            for name in "AB"
        ]
    return Running(
        website_id, experiment_id, variants, Sink(f"exposures-{secrets.token_hex(4)}", agent.write, EXPOSURES)
    )


async def test_the_first_exposure_stays_whatever_comes_after_and_however_often(running: Running):
    first, later = running.exposure(10), running.exposure(20)
    again = running.exposure(30, visitor=first.visitor)
    records = [running.record(first, later), running.record(again, first)]
    await running.store(*records)
    await running.store(*records)
    assert await running.rows() == {first.visitor: (0, 10.0, False), later.visitor: (0, 20.0, False)}
    assert await running.outcomes() == {"received": 4, "stored": 4}
    assert await running.differences() == []


async def test_what_a_lagging_clock_puts_before_the_start_is_of_the_start(running: Running):
    async with batch_transaction() as db:
        await db.execute("UPDATE experiments SET started_at = %s WHERE id = %s", (instant(NOON_MS), running.id))
    early, later = running.exposure(-200), running.exposure(5)
    await running.store(running.record(early, later))
    assert await running.rows() == {early.visitor: (0, 0.0, False), later.visitor: (0, 5.0, False)}
    assert await running.differences() == []


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_who_saw_two_variants_is_marked_in_whatever_order_they_come(running: Running, order, together):
    visitor = f"{next(_visitors):032x}"
    shown = [running.exposure(at, variant, visitor) for at, variant in ((5, 1), (6, 0), (7, 1))]
    records = [running.record(shown[place]) for place in order]
    if together:
        await running.store(*records)
    else:
        for record in records:
            await running.store(record)
    assert await running.rows() == {visitor: (1, 5.0, True)}
    assert await running.differences() == []


async def test_what_a_producer_wrote_twice_is_stored_once(running: Running):
    one = running.exposure()
    await running.store(running.record(one, sequence=7), running.record(one, sequence=7))
    assert await running.outcomes() == {"received": 2, "stored": 1, "written_twice": 1}


async def test_a_crash_between_writing_and_committing_leaves_nothing(running: Running, monkeypatch):
    record = running.record(running.exposure())

    async def crash(*_: Any) -> None:
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(sink_module.store, "move_positions", crash)
        with pytest.raises(RuntimeError, match="crash"):
            await running.store(record)
    assert (await running.rows(), await running.outcomes()) == ({}, {})
    await running.store(record)
    assert len(await running.rows()) == 1
    assert await running.outcomes() == {"received": 1, "stored": 1}


async def test_a_record_that_cannot_be_read_is_set_aside_and_the_others_are_stored(running: Running):
    good = running.exposure()
    record = running.record(good)
    value = record.value.replace(b'"hits":[', b'"hits":[{"experiment_id":"x"},')
    await running.store(Record(0, record.offset, value))
    assert list(await running.rows()) == [good.visitor]
    assert await running.outcomes() == {"received": 2, "stored": 1, "failed": 1}


async def test_an_experiment_that_is_gone_or_anothers_is_ignored(running: Running):
    one = running.exposure()
    foreign = running.exposure(website_id=running.website_id + 1_000_000)
    unknown = running.exposure(experiment_id=2**31 - 1)
    await running.store(running.record(one, foreign, unknown))
    assert list(await running.rows()) == [one.visitor]
    assert await running.outcomes() == {"received": 3, "stored": 1, "ignored_experiment_gone": 2}
    async with transaction() as db:
        assert await store.delete_experiment(db, running.website_id, running.id)
    await running.store(running.record(running.exposure()))
    assert await running.rows() == {}
    assert (await running.outcomes())["ignored_experiment_gone"] == 3


async def test_a_visitor_is_numbered_once_for_exposures_and_events(running: Running):
    visitor = f"{next(_visitors):032x}"
    await running.store(running.record(running.exposure(visitor=visitor)))
    await running.store(running.record(running.exposure(5, visitor=visitor)))
    async with batch_transaction() as db:
        rows = await db.execute("SELECT count(*) FROM visitors WHERE website_id = %s", (running.website_id,))
        assert await rows.fetchall() == [(1,)]


# Out of the numbers.


async def number_of(running: Running, visitor: str) -> int:
    async with batch_transaction() as db:
        rows = await db.execute(
            "SELECT number FROM visitors WHERE website_id = %s AND hash = %s::uuid", (running.website_id, visitor)
        )
        ((number,),) = await rows.fetchall()
        return number


async def test_a_visitor_who_is_erased_leaves_no_exposure_and_none_that_was_on_its_way_comes_back(running: Running):
    gone, stays, later = running.exposure(), running.exposure(), running.exposure(7200)
    await running.store(running.record(gone, stays))
    on_its_way = running.record(gone, running.exposure(30, visitor=gone.visitor))
    erased_at = instant(NOON_MS + 60_000)
    async with batch_transaction() as db:
        subject = Subject(running.website_id, gone.visitor, await number_of(running, gone.visitor))
        (said,) = await exposures_store.exposures_of(db, subject)
        assert (said["experiment"], said["variant"], said["multiple"]) == ("A", "A", False)
        erased = await subjects.erase(db, running.website_id, gone.visitor, erased_at, erased_at + timedelta(days=4))
        assert erased is not None
        assert (erased["exposures"], erased["visitor"]) == (1, 1)
    assert list(await running.rows()) == [stays.visitor]
    await running.store(on_its_way)
    assert list(await running.rows()) == [stays.visitor]
    assert (await running.outcomes())["ignored_erased"] == 2
    await running.store(running.record(running.exposure(7200, visitor=gone.visitor), later))
    assert set(await running.rows()) == {stays.visitor, gone.visitor, later.visitor}, "who comes later is somebody new"
    assert await running.differences() == []


async def test_a_visitor_who_is_anonymised_still_counts(running: Running):
    one = running.exposure()
    await running.store(running.record(one))
    at = instant(NOON_MS + 60_000)
    async with batch_transaction() as db:
        await subjects.anonymise(db, running.website_id, one.visitor, at, at + timedelta(days=4))
    rows = await running.rows()
    assert len(rows) == 1
    assert one.visitor not in rows


async def test_whose_sessions_are_taken_out_is_out_of_the_experiment_unless_another_is_left(running: Running):
    bot, person, unseen = (running.exposure(at) for at in (0, 10, 20))
    await running.store(running.record(bot, person, unseen))
    sessions = {}
    async with batch_transaction() as db:
        for visitor, count in ((bot.visitor, 1), (person.visitor, 2)):
            for place in range(count):
                session_id = 10**12 + next(_visitors)
                sessions.setdefault(visitor, []).append(session_id)
                await db.execute(
                    "INSERT INTO sessions (id, started_at, last_at, visitor, website_id, duration_s, pageviews, events,"
                    " engaged_s, is_bounce) SELECT %s, at, at, %s, %s, 0, 0, 0, 0, false "
                    "FROM (SELECT timestamptz 'epoch' + %s * interval '1 millisecond' AS at) AS now",
                    (session_id, number := await number_of(running, visitor), running.website_id,
                     NOON_MS + 60_000 * (place + 1)),
                )  # fmt: skip
                assert number
        await removal.remove(db, running.website_id, [sessions[bot.visitor][0], sessions[person.visitor][0]])
    assert set(await running.rows()) == {person.visitor, unseen.visitor}


async def test_an_exposure_of_nobody_shows_in_the_recount(running: Running):
    one = running.exposure()
    await running.store(running.record(one))
    async with batch_transaction() as db:
        await db.execute(
            "UPDATE exposures SET variant_id = variant_id + 1000000 WHERE experiment_id = %s", (running.id,)
        )
    ((difference),) = await running.differences()
    assert (difference.check, difference.field, difference.counted) == ("exposures", "variant", "no such variant")
