"""Sealed or not, every number is the same; and a change of rows takes the seal off."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from sqlalchemy import text

from analytics_app.db import driver_of
from analytics_app.removal import remove
from analytics_app.sessions import removal_store
from analytics_app.stats import sealing_due_store, sealing_store, store
from analytics_app.stats.breakdown_store import breakdown
from analytics_app.stats.breakdowns import LINE_METRICS, Sort
from analytics_app.stats.columns_store import columns_of_day
from analytics_app.stats.counting_store import counted
from analytics_app.stats.filters import DIMENSIONS, dimension_named, parse_filter
from analytics_app.stats.periods import Period, buckets_of
from analytics_app.stats.sealed_store import sealed_pieces
from analytics_app.stats.selection_store import selection_of
from analytics_app.stats.spans import BLOCKS, DAY, PART, Piece, block_of, quarters
from analytics_app.verify.seals_store import differences
from tests.store.test_stats_store import FILTERS
from tests.traffic import load, make_traffic, utc

WEBSITE = 31
START, END = utc("2026-03-01"), utc("2026-04-05")
ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Europe/London")


@pytest.fixture(scope="session")
def traffic(store_url):
    made = make_traffic(5, sessions=1500, start=START, end=END, website_id=WEBSITE, visitors=300)
    with psycopg.connect(store_url) as driver:
        load(driver, made)
    with psycopg.connect(store_url, autocommit=True) as driver:
        driver.execute("ANALYZE")
    return made


def day_of(at):
    return block_of(quarters(at), DAY)


def parts_of(day):
    return [Piece(PART, at) for at in range(day.at, day.at + DAY, PART)]


async def seal(db, piece, *, meanwhile=None):
    """What the job does, in the one transaction of a test."""
    driver = await driver_of(db)
    token = await sealing_store.begin(driver, WEBSITE, piece)
    if token is None:
        return False
    is_day = piece.span == DAY
    found, columns = await counted(db, WEBSITE, piece), await columns_of_day(db, WEBSITE, piece) if is_day else {}
    if meanwhile:
        await meanwhile()
    done = await sealing_store.finish(driver, WEBSITE, piece, token, found, columns)
    for span in BLOCKS:
        if not (done and is_day and await sealing_store.seal_block(driver, WEBSITE, block_of(piece.at, span))):
            break
    return done


async def seal_some(db, rng, share):
    days = [day_of(START + timedelta(days=n)) for n in range((END - START).days + 2)]
    first = rng.randrange(8)
    for number, day in enumerate(days):
        if share == 1 or (number >= first and rng.random() < share):
            await seal(db, day)
        else:
            for part in parts_of(day):
                if rng.random() < 0.7:
                    await seal(db, part)


async def everything_asked(db, rng):
    """Answers of all kinds to questions drawn by `rng`."""
    answers = []
    for _ in range(5):
        since = START + timedelta(seconds=rng.randrange(20 * 86400))
        if rng.random() < 0.5:
            since = since.replace(minute=rng.choice((0, 15, 45)), second=0)
        start, end = since, since + timedelta(hours=rng.randrange(1, 24 * 20), seconds=rng.choice((0, 0, 1, 17)))
        if rng.random() < 0.3:
            start, end = START - timedelta(days=3), END + timedelta(days=3)
        filters = rng.choice([[], *FILTERS])
        selection = await selection_of(db, WEBSITE, map(parse_filter, filters), [(start, end)])
        answers.append((filters, start, end, await store.totals(db, WEBSITE, start, end, selection)))
        zone, interval = ZoneInfo(rng.choice(ZONES)), rng.choice(("hour", "day", "week", "month"))
        buckets = buckets_of(Period(start, end, zone), interval)
        answers.append((zone, interval, await store.series(db, WEBSITE, buckets, selection)))
        name = rng.choice([*DIMENSIONS, "property:plan"])
        sort = Sort(rng.choice(LINE_METRICS), rng.random() < 0.5)
        for chosen in ([], filters, [f"{name}:contains:a"], [f"{name}:is_not:/"]):
            selection = await selection_of(db, WEBSITE, map(parse_filter, chosen), [(start, end)])
            after, pages = None, 0
            while pages < 4:
                lines, after = await breakdown(
                    db, WEBSITE, start, end, selection, dimension_named(name), sort=sort, limit=7, after=after
                )
                answers.append((name, chosen, sort, start, end, lines, after))
                pages += 1
                if after is None:
                    break
    return answers


@pytest.mark.parametrize("seed", range(6))
async def test_answers_do_not_depend_on_what_is_sealed(db, traffic, seed):
    from_rows = await everything_asked(db, random.Random(seed))
    await seal_some(db, random.Random(seed), (1, 0.9, 0.5, 1, 0.97, 0.8)[seed])
    sealed = await everything_asked(db, random.Random(seed))
    for one, other in zip(from_rows, sealed, strict=True):
        assert one == other
    assert await differences(db, WEBSITE, 100) == []


async def test_whole_blocks_of_days_are_sealed_as_one(db, traffic):
    await seal_some(db, random.Random(0), 1)
    spans = {piece.span for piece in await sealed_pieces(db, WEBSITE, START, END)}
    assert spans == {DAY, 4 * DAY, 16 * DAY}


async def test_a_change_takes_off_the_seal_of_its_day_and_of_the_blocks_around_it(db, traffic):
    await seal_some(db, random.Random(0), 1)
    before = await sealed_pieces(db, WEBSITE, START, END)
    day = day_of(utc("2026-03-20T23:10"))
    assert await sealing_store.unseal(await driver_of(db), {WEBSITE: [day.at // PART]}) == 1
    gone = before - await sealed_pieces(db, WEBSITE, START, END)
    assert gone == before & {day, *(block_of(day.at, span) for span in BLOCKS)}
    assert len(gone) > 1
    left = await db.execute(
        text("SELECT count(*) FROM sealed_sums WHERE website_id = :w AND start = :d AND span <= 96"),
        {"w": WEBSITE, "d": day.start},
    )
    assert left.scalar_one() == 0
    assert await seal(db, day)
    assert await sealed_pieces(db, WEBSITE, START, END) == before
    assert await differences(db, WEBSITE, 100) == []


async def test_a_day_that_changed_while_it_was_counted_is_not_sealed(db, traffic):
    day = day_of(utc("2026-03-14"))

    async def late_hit():
        await sealing_store.unseal(await driver_of(db), {WEBSITE: [day.at // PART]})

    assert not await seal(db, day, meanwhile=late_hit)
    assert await sealed_pieces(db, WEBSITE, START, END) == frozenset()


async def test_a_change_takes_off_the_seal_of_its_part_of_a_day_and_no_other(db, traffic):
    parts = parts_of(day_of(utc("2026-03-14")))
    for part in parts:
        assert await seal(db, part)
    assert await sealing_store.unseal(await driver_of(db), {WEBSITE: [parts[2].at // PART]}) == 1
    assert await sealed_pieces(db, WEBSITE, START, END) == frozenset(parts) - {parts[2]}
    left = await db.execute(
        text("SELECT count(*) FROM sealed_sums WHERE website_id = :w AND start >= :since AND start < :end"),
        {"w": WEBSITE, "since": parts[2].start, "end": parts[2].end},
    )
    assert left.scalar_one() == 0
    assert await differences(db, WEBSITE, 100) == []


async def test_the_seal_of_a_day_takes_the_place_of_those_of_its_parts(db, traffic):
    day = day_of(utc("2026-03-14"))
    for part in parts_of(day)[:4]:
        assert await seal(db, part)

    async def another():
        assert not await seal(db, parts_of(day)[5]), "the day is being counted"

    assert await seal(db, day, meanwhile=another)
    assert not await seal(db, parts_of(day)[0]), "the day is sealed"
    assert await sealed_pieces(db, WEBSITE, START, END) == {day}
    of_parts = "SELECT count(*) FROM sealed_sums WHERE website_id = 31 AND span = 16 AND dimension <> 0"
    assert (await db.execute(text(of_parts))).scalar_one() == 0
    assert await differences(db, WEBSITE, 100) == []


async def test_a_part_that_was_being_counted_when_its_day_was_is_not_sealed(db, traffic):
    day = day_of(utc("2026-03-14"))

    async def the_day():
        assert await seal(db, day)

    assert not await seal(db, parts_of(day)[1], meanwhile=the_day)
    assert await sealed_pieces(db, WEBSITE, START, END) == {day}
    assert await differences(db, WEBSITE, 100) == []


async def test_parts_of_today_are_due_when_they_are_over_and_changed_ones_when_they_have_rested(db, traffic):
    async def due(now):
        return await sealing_due_store.parts_to_seal(db, WEBSITE, now, now - timedelta(hours=2))

    yesterday, today = (parts_of(day_of(utc(f"2026-03-{day}"))) for day in (13, 14))
    assert await due(utc("2026-03-14T00:00")) == yesterday[:5]
    assert await due(utc("2026-03-14T01:59:59")) == yesterday[:5]
    assert await due(utc("2026-03-14T02:00")) == yesterday
    assert await due(utc("2026-03-14T14:00")) == yesterday + today[:3]
    await seal(db, day_of(utc("2026-03-13")))
    assert await due(utc("2026-03-14T14:00")) == today[:3]
    await seal(db, today[1])
    assert await due(utc("2026-03-14T14:00")) == [today[0], today[2]]

    await sealing_store.unseal(await driver_of(db), {WEBSITE: [today[1].at // PART]})
    changed_at = "UPDATE seals SET changed_at = :at WHERE website_id = 31 AND span = 16"
    await db.execute(text(changed_at), {"at": utc("2026-03-14T11:00")})
    assert today[1] not in await due(utc("2026-03-14T13:59:59"))
    assert today[1] in await due(utc("2026-03-14T14:00")), "it was three hours old when it was changed"
    # Nobody finished counting it.
    await sealing_store.begin(await driver_of(db), WEBSITE, today[0])
    await db.execute(text(changed_at), {"at": utc("2026-03-14T11:00")})
    assert today[0] not in await due(utc("2026-03-14T11:09:59"))
    assert today[0] in await due(utc("2026-03-14T11:10"))


async def test_a_day_counted_twice_at_once_is_sealed_by_the_later(db, traffic):
    day = day_of(utc("2026-03-14"))

    async def another():
        await sealing_store.begin(await driver_of(db), WEBSITE, day)

    assert not await seal(db, day, meanwhile=another)


async def test_sessions_that_are_removed_leave_no_sealed_day_behind(db, traffic):
    await seal_some(db, random.Random(0), 1)
    driver = await driver_of(db)
    old = await removal_store.sessions_before(driver, WEBSITE, utc("2026-03-10T12:00"), 100_000)
    assert old
    assert set((await remove(driver, WEBSITE, old)).session_ids) == set(old)
    assert await differences(db, WEBSITE, 100) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("UPDATE sealed_sums SET pageviews = pageviews + 1 WHERE website_id = 31 AND span = 96", "pageviews"),
        ("UPDATE sealed_sums SET scroll_depth = 0 WHERE website_id = 31 AND span = 384", "scroll_depth"),
        ("DELETE FROM sealed_sums WHERE website_id = 31 AND span = 1", "visitors"),
        ("DELETE FROM sealed_sums WHERE website_id = 31 AND dimension = 15", "sessions"),
        ("UPDATE events SET path = NULL WHERE website_id = 31 AND id % 50 = 0", "pageviews"),
        ("UPDATE sealed_columns SET data = '' WHERE website_id = 31 AND number = 113", "column 113"),
        (
            (
                "UPDATE sealed_columns c SET data = o.data FROM sealed_columns o WHERE c.website_id = 31 "
                "AND c.number = 114 AND o.website_id = 31 AND o.start = c.start AND o.number = 115"
            ),
            "column 114",
        ),
        ("DELETE FROM sealed_columns WHERE website_id = 31 AND number = 1", "column 1"),
        ("UPDATE events SET title = NULL WHERE website_id = 31 AND id % 50 = 0", "column 103"),
        ("UPDATE sessions SET visitor = visitor + 5000 WHERE website_id = 31 AND id % 50 = 0", "visitors"),
    ],
)
async def test_what_is_sealed_and_not_as_its_rows_is_found(db, traffic, change, field):
    await seal_some(db, random.Random(0), 1)
    await db.execute(text(change))
    assert field in {one.field for one in await differences(db, WEBSITE, 100_000)}


async def test_days_are_due_when_they_are_over_and_changed_ones_when_they_have_rested(db, traffic):
    async def due(now, until):
        return [piece.start for piece in await sealing_due_store.days_to_seal(db, WEBSITE, now, until)]

    until = START + timedelta(days=3, hours=5)
    assert await due(until, until) == [START + timedelta(days=n) for n in range(4)]
    middle = day_of(START + timedelta(days=1))
    await seal(db, middle)
    assert middle.start not in await due(until, until)
    assert await due(until, until) == [START + timedelta(days=n) for n in (0, 2, 3)]

    await sealing_store.unseal(await driver_of(db), {WEBSITE: [middle.at // PART]})
    ended = middle.start + timedelta(days=1)
    for changed, rested in (
        (ended + timedelta(hours=3), ended + timedelta(hours=6)),
        (ended + timedelta(hours=20), ended + timedelta(hours=26)),
        (ended + timedelta(days=9), ended + timedelta(days=9, minutes=10)),
    ):
        await db.execute(text("UPDATE seals SET changed_at = :at WHERE website_id = 31 AND span = 96"), {"at": changed})
        assert middle.start not in await due(rested - timedelta(seconds=1), ended)
        assert middle.start in await due(rested, ended)


async def test_counting_begins_when_the_changes_under_way_are_committed(store_url):
    day = day_of(utc("2026-03-14"))
    async with (
        await psycopg.AsyncConnection.connect(store_url, autocommit=True) as writer,
        await psycopg.AsyncConnection.connect(store_url, autocommit=True) as sealer,
    ):

        async def begun():
            async with sealer.transaction():
                return await sealing_store.begin(sealer, 32, day)

        async with writer.transaction():
            await sealing_store.unseal(writer, {32: [day.at // PART]})
            beginning = asyncio.create_task(begun())
            done, _ = await asyncio.wait([beginning], timeout=0.3)
            assert not done
        token = await beginning

        # A change that is not committed yet keeps the day from being sealed before; committed, it prevents it.
        async def finished():
            async with sealer.transaction():
                return await sealing_store.finish(sealer, 32, day, token, [], {})

        async with writer.transaction():
            assert await sealing_store.unseal(writer, {32: [day.at // PART]}) == 1
            finishing = asyncio.create_task(finished())
            done, _ = await asyncio.wait([finishing], timeout=0.3)
            assert not done
        assert not await finishing
        await writer.execute("DELETE FROM seals WHERE website_id = 32")


async def test_a_piece_of_the_calendar_begins_where_utc_days_do():
    assert day_of(datetime(2026, 3, 14, 23, 59, 59, tzinfo=UTC)) == Piece(DAY, quarters(utc("2026-03-14")))
