"""Months that no website keeps are dropped whole, with what counted them; younger ones lose what is too old."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest

from analytics_app import clock
from analytics_app.db import batch_transaction, transaction
from analytics_app.definitions import Definitions
from analytics_app.jobs import cleaning, heatmaps, retention
from analytics_app.partitions import make_partitions
from analytics_app.websites import definitions_store
from tests.factories import NOON_MS, make_hit

pytestmark = pytest.mark.services

MARCH, APRIL = datetime(2019, 3, 1, tzinfo=UTC), datetime(2019, 4, 1, tzinfo=UTC)
MAY_15 = datetime(2019, 5, 15, tzinfo=UTC)
A, B, C = "a1" * 16, "b1" * 16, "c1" * 16


def at(moment: datetime) -> float:
    """Seconds after noon, as factories count."""
    return moment.timestamp() - NOON_MS / 1000


@pytest.fixture
async def months(worker):
    """Partitions of March and April 2019, where nothing else is."""
    async with transaction() as db:
        await db.run_sync(lambda connection: make_partitions(connection, MARCH, APRIL))


async def partitions(worker):
    rows = await worker.rows("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '%%2019_03'")
    return {name for (name,) in rows}


async def store(worker, *visits):
    """Store sessions, each as its visitor and the moments of its pageviews; returns the first events' ids."""
    firsts = []
    for visitor, *moments in visits:
        key = secrets.token_hex(16)
        hits = [make_hit(at(one), website_id=worker.website_id, session_key=key, visitor=visitor) for one in moments]
        firsts.append(hits[0].event_id)
        for hit in hits:
            await worker.store(worker.records(hit))
    return firsts


async def convert(worker, session_id, moment):
    await worker.rows(
        "INSERT INTO conversions (session_id, goal_id, revision, key, at, event_id, visitor, website_id) "
        "VALUES (%s, 1, 1, 0, %s, %s, 1, %s) RETURNING 1",
        session_id, moment, session_id, worker.website_id,
    )  # fmt: skip


async def differences(worker):
    """What a recount finds, but that there is no goal to the conversions put here."""
    return [one for one in await worker.differences() if one.check != "conversions"]


@pytest.fixture
async def filled(worker, months):
    """Sessions in March, over its ends, and in April; the ids of those that are to stay."""
    minute = timedelta(minutes=1)
    ids = await store(
        worker,
        (A, MARCH + timedelta(days=9), MARCH + timedelta(days=9) + minute),
        (B, MARCH + timedelta(days=20)),
        (C, MARCH - 5 * minute, MARCH + 5 * minute),
        (B, APRIL - 5 * minute, APRIL + 5 * minute),
        (A, APRIL + timedelta(days=9)),
    )
    for one in (ids[0], ids[4]):
        await convert(worker, one, MARCH)
    return [ids[4]]


async def test_a_month_that_no_website_keeps_is_dropped_and_every_number_with_it(worker, filled):
    assert await partitions(worker) >= {"events_2019_03", "sessions_2019_03"}
    assert await differences(worker) == []
    assert await retention.drop_months(MAY_15, [20, 30]) == ["sessions_2019_03"]
    assert not await partitions(worker) & {"events_2019_03", "sessions_2019_03"}
    assert list(await worker.sessions()) == filled
    assert await worker.event_ids() == filled
    assert await differences(worker) == []
    assert (
        await worker.value("SELECT sum(pageviews)::int FROM traffic_rollups WHERE website_id = %s", worker.website_id)
        == 1
    )
    visitors = await worker.rows("SELECT hash FROM visitors WHERE website_id = %s", worker.website_id)
    assert [hash_.hex for (hash_,) in visitors] == [A]
    kept = await worker.rows("SELECT session_id FROM conversions WHERE website_id = %s", worker.website_id)
    assert kept == [(filled[0],)]
    assert await retention.drop_months(MAY_15, [20, 30]) == []


async def test_a_run_that_ended_in_the_middle_is_gone_on_with(worker, filled):
    await retention._take_off(MARCH)
    assert "sessions_2019_03" in await partitions(worker)
    assert await differences(worker) == [], "the rows and what counts them went together"
    assert await retention.drop_months(MAY_15, [30]) == ["sessions_2019_03"]
    kept = await worker.rows("SELECT session_id FROM conversions WHERE website_id = %s", worker.website_id)
    assert kept == [(filled[0],)]


async def test_a_website_s_own_retention_deletes_its_rows_and_leaves_the_month_to_others(worker, filled):
    assert await retention.drop_months(MAY_15, [30, 0]) == [], "one website keeps its events for good"
    assert await retention.drop_months(MAY_15, [30, 400]) == []
    await retention.remove_sessions(worker.website_id, APRIL + timedelta(days=1))
    assert list(await worker.sessions()) == filled
    assert "sessions_2019_03" in await partitions(worker)
    assert await differences(worker) == []
    visitors = await worker.rows("SELECT hash FROM visitors WHERE website_id = %s", worker.website_id)
    assert [hash_.hex for (hash_,) in visitors] == [A]
    assert await retention.drop_months(MAY_15, [30]) == ["sessions_2019_03"]


async def test_samples_of_a_month_that_no_website_keeps_are_dropped(worker, months):
    for moment in (MARCH, APRIL):
        await worker.rows(
            "INSERT INTO heatmap_bins (total, website_id, page, day, kind, viewport, device, cells, counts) "
            "VALUES (1, %s, 1, %s, 1, 1, '', '', '') RETURNING 1",
            worker.website_id, moment.date(),
        )  # fmt: skip
    assert sorted(await heatmaps.drop_months(MAY_15, [30])) == ["heatmap_reaches_2019_03", "heatmap_samples_2019_03"]
    left = await worker.rows("SELECT day FROM heatmap_bins WHERE website_id = %s", worker.website_id)
    assert left == [(APRIL.date(),)]
    async with batch_transaction() as db:
        await db.execute("DELETE FROM heatmap_bins WHERE website_id = %s", (worker.website_id,))


def test_only_whole_months_older_than_the_longest_retention_and_a_day_are_dropped():
    names = ["events_2019_03", "events_2019_04", "events_2019_05"]

    def dropped(now, *kept):
        return [name[-2:] for name, _ in retention.droppable(names, now, list(kept))]

    assert dropped(MAY_15, 30, 10) == ["03"]
    assert dropped(MAY_15, 10) == ["03"], "of the month before, partitions are made"
    assert dropped(datetime(2019, 5, 2, tzinfo=UTC), 30) == [], "sessions may reach over the end of a month"
    assert dropped(datetime(2019, 5, 3, tzinfo=UTC), 30) == ["03"]
    assert dropped(datetime(2019, 8, 1, tzinfo=UTC), 30) == ["03", "04", "05"]
    assert dropped(MAY_15, 30, 0) == []
    assert dropped(MAY_15) == []


async def test_the_salt_of_a_day_is_deleted_two_days_after_it_began(worker):
    """Till then a visitor who stays over midnight, and a rule's dry run over the last day, still need it."""
    async with transaction() as db:
        made = await definitions_store.salts(db, [MAY_15.date() - timedelta(days=back) for back in range(4)])
    assert len(set(made.values())) == 4

    async def days_left(at):
        await cleaning.old_salts(at)
        rows = await worker.rows("SELECT day FROM visitor_salts WHERE day < '2020-01-01' ORDER BY day")
        return [day.day for (day,) in rows]

    assert await days_left(MAY_15 - timedelta(days=1, seconds=1)) == [12, 13, 14, 15]
    assert await days_left(MAY_15 - timedelta(days=1)) == [13, 14, 15]
    assert await days_left(MAY_15 + timedelta(hours=23, minutes=59)) == [14, 15]


async def test_no_process_remembers_a_salt_longer_than_it_is_kept(worker, monkeypatch):
    copy = Definitions()
    for at in (MAY_15, MAY_15 + timedelta(days=2)):
        monkeypatch.setattr(clock, "now", lambda at=at: at)
        await copy.renew()
        assert sorted(day.day for day in copy.snapshot.salts) == [at.day - 1, at.day, at.day + 1]
