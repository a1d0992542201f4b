"""From samples to counts: whatever comes twice, out of order, or is taken out again, the counts are a recount's."""

import asyncio
import random
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import Mock

import pytest

from agents import heatmaps as agent
from agents import sink as sinks
from analytics_app.commands import seed_heatmaps
from analytics_app.db import batch_transaction, snapshot
from analytics_app.gdpr.logic import Subject
from analytics_app.heatmaps import removing_store, samples_store, subject_store
from analytics_app.heatmaps.grids import Grid, points_of
from analytics_app.heatmaps.grids_store import Asked, elements, read, totals
from analytics_app.heatmaps.logic import Kind, Viewport, split_days
from analytics_app.heatmaps.store import pages_of
from analytics_app.jobs import erasures
from analytics_app.jobs import heatmaps as job
from analytics_app.records import SAMPLES
from analytics_app.verify.heatmaps_store import differences
from analytics_app.verify.store import recount
from tests.agents.conftest import _website_ids
from tests.factories import DAY, HOUR, MINUTE, at_ms, make_record, make_sample, make_samples, make_website

pytestmark = pytest.mark.services

NOW = at_ms(12 * HOUR)


@dataclass
class Pages:
    """A website's samples, stored as the agent stores them."""

    website_id: int
    sink: Any
    offset: int = 0
    known: dict[int, Any] = field(default_factory=dict)

    async def store(self, *lots, writer="edge-1"):
        """Each lot as a record of its own, in one batch."""
        records = []
        for lot in lots:
            records.append(make_record(self.offset, lot, writer=writer))
            self.offset += 1
        return await self.sink.store(records)

    async def read(self, kind, pattern="/", viewport=Viewport.DESKTOP, device=None, since=None, until=None) -> Grid:
        start, end = (at_ms(-30 * DAY) if since is None else since), (NOW if until is None else until)
        async with batch_transaction() as driver, snapshot() as db:
            pages = await pages_of(db, self.website_id, pattern)
            asked = Asked(self.website_id, pages, split_days(start, end, NOW), device)
            found = await read(driver, asked, kind, viewport)
            self.counted = await totals(driver, asked, kind)
            self.sizes = {one: found[one] for one in (Kind.WIDTH, Kind.HEIGHT)}
            self.elements = await elements(driver, asked, kind, viewport, 10)
        assert found[kind].total == self.counted[viewport]
        return found[kind]

    async def points(self, kind, **asked) -> dict[tuple[int, int], int]:
        return {(p["x"], p["y"]): p["count"] for p in points_of(await self.read(kind, **asked), 10)}

    async def differences(self):
        async with snapshot() as db:
            return await differences(db, self.website_id, 20)

    async def parts(self):
        query = "SELECT count(*) FROM heatmap_bins WHERE website_id = %s"
        async with batch_transaction() as db:
            ((count,),) = await (await db.execute(query, (self.website_id,))).fetchall()
        return count


@pytest.fixture
def pages(pool, monkeypatch):
    """A website of its own."""
    website_id = next(_website_ids)
    made = Pages(website_id, sinks.Sink(f"samples-{secrets.token_hex(4)}", agent.write, SAMPLES))
    made.known[website_id] = make_website(website_id)

    async def ask(kind, id_):
        """Postgres knows no more."""

    monkeypatch.setattr(sinks, "log", Mock())
    monkeypatch.setattr(agent.DEFINITIONS, "website", made.known.get)
    monkeypatch.setattr(agent.DEFINITIONS, "renew_one", ask)
    return made


@pytest.fixture
def lot(pages):
    """Make a lot of this test's website."""

    def made(*samples, **fields):
        return make_samples(*samples, **{"website_id": pages.website_id, **fields})

    return made


async def test_a_click_counts_in_its_cell(pages, lot):
    click = make_sample(1, 503, 309)
    await pages.store(lot(click, make_sample(1, 509, 300), make_sample(1, 510, 300), make_sample(2, 503, 309)))
    assert await pages.points(Kind.CLICK) == {(500, 300): 2, (510, 300): 1}
    assert await pages.points(Kind.MOVE) == {(500, 300): 1}
    assert await pages.points(Kind.CLICK, viewport=Viewport.MOBILE) == {}
    assert await pages.points(Kind.CLICK, pattern="/other") == {}
    assert await pages.differences() == []


async def test_samples_are_told_apart_by_window_device_and_page(pages, lot):
    narrow, middle = make_sample(1, 5, 5, viewport_width=767), make_sample(1, 5, 5, viewport_width=1023)
    await pages.store(lot(narrow, device_type="mobile"), lot(middle), lot(make_sample(1, 5, 5), path="/blog/a?x=1"))
    assert await pages.points(Kind.CLICK, viewport=Viewport.MOBILE, device="mobile") == {(0, 0): 1}
    assert await pages.points(Kind.CLICK, viewport=Viewport.MOBILE, device="desktop") == {}
    assert await pages.points(Kind.CLICK, viewport=Viewport.TABLET) == {(0, 0): 1}
    assert await pages.points(Kind.CLICK, pattern="/blog/a") == {(0, 0): 1}
    assert await pages.points(Kind.CLICK, pattern="*") == {(0, 0): 1}
    assert pages.counted == {Viewport.MOBILE: 1, Viewport.TABLET: 1, Viewport.DESKTOP: 1}


async def test_a_visit_scrolls_as_deep_as_it_ever_did(pages, lot):
    await pages.store(lot(make_sample(3, 0, 720)), lot(make_sample(3, 0, 1500, page_height=4000)))
    await pages.store(lot(make_sample(3, 0, 900)))
    await pages.store(lot(make_sample(3, 0, 720), session_key="6e" * 16))
    grid = await pages.read(Kind.SCROLL)
    assert dict(zip(grid.cells.tolist(), grid.counts.tolist(), strict=True)) == {72: 1, 150: 1}
    assert dict(zip(*(x.tolist() for x in pages.sizes[Kind.HEIGHT]), strict=True)) == {3000: 1, 4000: 1}
    assert await pages.differences() == []


async def test_what_comes_twice_counts_once(pages, lot):
    again = lot(make_sample(1, 5, 5), client_id="c1" * 16)
    await pages.store(again, again)
    await pages.store(again)
    assert await pages.points(Kind.CLICK) == {(0, 0): 1}
    pages.offset -= 1  # the log gives the last record again
    await pages.store(again)
    await pages.sink.store([make_record(pages.offset, lot(make_sample(1, 5, 5)), sequence=pages.offset - 1)])
    assert await pages.points(Kind.CLICK) == {(0, 0): 1}


async def test_a_website_that_is_gone_keeps_nothing(pages, lot):
    pages.known.clear()
    (written,) = await pages.store(lot(make_sample(1, 5, 5)))
    assert written.outcomes["ignored_no_website"] == 1
    assert await pages.parts() == 0


async def test_a_period_is_exact_to_the_minute(pages, lot):
    times = {-30 * HOUR: 10, -5 * HOUR: 20, -MINUTE: 30, 0: 40, MINUTE: 50, 3 * HOUR: 60}
    await pages.store(*(lot(make_sample(1, x, 0, at), make_sample(3, 0, x * 10, at)) for at, x in times.items()))

    async def found(since, until):
        return sorted(x for x, _ in await pages.points(Kind.CLICK, since=at_ms(since), until=at_ms(until)))

    assert await found(-30 * HOUR, 3 * HOUR) == [10, 20, 30, 40, 50]
    assert await found(-29 * HOUR, MINUTE) == [20, 30, 40]
    assert await found(-36 * HOUR, 12 * HOUR) == [10, 20, 30, 40, 50, 60]
    assert await found(0, MINUTE) == [40]
    assert await found(5 * HOUR, 5 * HOUR) == []
    scrolled = await pages.read(Kind.SCROLL, since=at_ms(-30 * HOUR), until=at_ms(-MINUTE))
    assert scrolled.cells.tolist() == [10, 60], "of one session on one day the deepest, from when it began"


async def test_any_period_counts_what_a_recount_of_its_samples_does(pages, lot):
    chance = random.Random(41)
    sampled = []
    for number in range(120):
        at, kind = chance.randrange(-3 * DAY, 12 * HOUR) // MINUTE * MINUTE, chance.choice([1, 2, 3])
        x, y, width = chance.randrange(5) * 10, chance.randrange(5) * 10, chance.choice([1200, 1300])
        device = chance.choice(["desktop", "tablet"])
        sample = make_sample(kind, 0 if kind == 3 else x, y, at, page_width=width)
        # A session each: what a visit scrolls is told by its deepest sample.
        sampled.append((at, kind, x, y, width, device))
        await pages.store(lot(sample, device_type=device, session_key=f"{number:032x}"))
    for _ in range(60):
        since, until = sorted(chance.randrange(-80 * HOUR, 15 * HOUR) // MINUTE * MINUTE for _ in range(2))
        kind, device = chance.choice([Kind.CLICK, Kind.MOVE, Kind.SCROLL]), chance.choice([None, "desktop"])
        seen = [one for one in sampled if since <= one[0] < until and device in (None, one[5])]
        wanted = Counter((y, 0) if of == Kind.SCROLL else (x, y) for _, of, x, y, *_ in seen if of == kind)
        found = await pages.points(kind, since=at_ms(since), until=at_ms(until), device=device)
        assert found == wanted
        assert dict(zip(*(x.tolist() for x in pages.sizes[Kind.WIDTH]), strict=True)) == Counter(x[4] for x in seen)
    assert await pages.differences() == []


async def test_elements_are_told_by_how_many_met_them(pages, lot):
    await pages.store(
        lot(*(make_sample(1, 5, 5, selector=s) for s in ("#buy", "#buy", "a.more", ""))),
        lot(make_sample(2, 5, 5, selector="p"), make_sample(1, 5, 5, -20 * HOUR, selector="#buy")),
    )
    await pages.read(Kind.CLICK, since=at_ms(-21 * HOUR), until=NOW)
    assert pages.elements == [("#buy", 3), ("a.more", 1)]


async def test_many_parts_become_one_and_count_the_same(pages, lot):
    for number in range(agent.PARTS + 3):
        (written,) = await pages.store(lot(make_sample(1, number % 3 * 10, 0)))
        await agent.merge(written.after)
    before = await pages.points(Kind.CLICK)
    assert sum(before.values()) == agent.PARTS + 3
    assert await pages.parts() == 3 * (1 + 3)
    await job._merge()
    assert await pages.parts() == 12, "few parts are left alone"
    async with batch_transaction() as db:
        for key in written.after:
            await samples_store.merge(db, key)
    assert await pages.parts() == 3
    assert await pages.points(Kind.CLICK) == before
    assert await pages.differences() == []


async def test_a_visitor_is_taken_out_of_every_count(pages, lot):
    chance = random.Random(4)

    def lots(visitor):
        return [
            lot(
                *(
                    make_sample(
                        chance.choice((1, 2, 3)),
                        chance.randrange(1300),
                        chance.randrange(3000),
                        -chance.randrange(40) * HOUR,
                        viewport_width=chance.choice((390, 800, 1280)),
                        page_height=chance.choice((3000, 3500)),
                    )
                    for _ in range(20)
                ),
                visitor=visitor,
                session_key=visitor,
                path=chance.choice(("/", "/a")),
            )
            for _ in range(5)
        ]

    await pages.store(*lots("aa" * 16))
    kept = {kind: await pages.points(kind, pattern="*") for kind in (Kind.CLICK, Kind.MOVE)}
    kept_sizes = {one: grid.total for one, grid in pages.sizes.items()}
    await pages.store(*lots("bb" * 16))
    assert await pages.differences() == []
    async with batch_transaction() as db:
        assert await removing_store.remove_visitor(db, pages.website_id, "bb" * 16) > 0
        assert await removing_store.remove_visitor(db, pages.website_id, "bb" * 16) == 0
    assert await pages.differences() == []
    assert {kind: await pages.points(kind, pattern="*") for kind in kept} == kept
    assert {one: grid.total for one, grid in pages.sizes.items()} == kept_sizes


async def test_old_days_go_with_all_they_counted_for(pages, lot, monkeypatch):
    monkeypatch.setattr(job, "CHUNK", 3)
    old = [lot(make_sample(1, 10, 10, -3 * DAY + n * HOUR), make_sample(3, 0, 900 + n, -3 * DAY)) for n in range(8)]
    await pages.store(*old, lot(make_sample(1, 50, 50)))
    async with batch_transaction() as db:
        assert await removing_store.remove_days(db, pages.website_id, samples_store.instant(at_ms(-12 * HOUR)), 3) == 3
    assert await pages.differences() == []
    await job._remove_days(pages.website_id, samples_store.instant(at_ms(-12 * HOUR)))
    assert await pages.differences() == []
    assert await pages.points(Kind.CLICK) == {(50, 50): 1}
    async with batch_transaction() as db:
        await removing_store.remove_website(db, pages.website_id)
    assert await pages.parts() == 0
    assert await pages.points(Kind.CLICK) == {}


async def test_a_recount_sees_what_is_wrong(pages, lot):
    await pages.store(lot(make_sample(1, 10, 10)))
    async with batch_transaction() as db:
        await db.execute("DELETE FROM heatmap_samples WHERE website_id = %s", (pages.website_id,))
    found = await pages.differences()
    assert [(one.check, one.field, one.stored, one.counted) for one in found if "click" in one.where] == [
        ("heatmaps", "cell 16385", "1", "0")
    ]


async def test_a_visitor_is_shown_made_nobody_and_a_page_of_theirs_alone_forgotten(pages, lot):
    await pages.store(
        lot(make_sample(1, 5, 5, selector="#buy"), make_sample(3, 0, 900), path="/mine", visitor="aa" * 16),
        lot(make_sample(1, 5, 5), visitor="bb" * 16),
    )
    mine, other = (Subject(pages.website_id, who * 16, None) for who in ("aa", "bb"))
    async with batch_transaction() as db:
        shown = await subject_store.samples_of(db, mine)
    assert [(one["type"], one["path"], one["y"], one.get("selector")) for one in shown] == [
        ("click", "/mine", 5, "#buy"),
        ("scroll", "/mine", 900, None),
    ]
    async with batch_transaction() as db:
        await subject_store.anonymise_samples(db, other)
        assert await subject_store.samples_of(db, other) == []
        await subject_store.remove_samples(db, mine)
    assert await pages.points(Kind.CLICK) == {(0, 0): 1}
    assert await pages.parts() == 3
    assert await pages.differences() == []


async def test_seeded_samples_keep_the_text_of_their_page_whenever_unnamed_texts_are_removed(pages, lot, monkeypatch):
    seeded, removals = lot(make_sample(1, 10, 10), path="/seeded"), []
    write = samples_store.write

    async def removed_meanwhile(db, folded):
        removals.append(asyncio.create_task(erasures.remove_unnamed(pages.website_id)))
        await asyncio.sleep(0.5)  # the text is numbered, and no row names it yet
        return await write(db, folded)

    monkeypatch.setattr(samples_store, "write", removed_meanwhile)
    assert await seed_heatmaps._store(pages.website_id, "/seeded", [seeded]) == 1
    assert await asyncio.gather(*removals) == [0]
    assert await pages.points(Kind.CLICK, pattern="/seeded") == {(10, 10): 1}


async def test_a_recount_sees_a_page_without_its_text(pages, lot):
    await pages.store(lot(make_sample(1, 10, 10)))
    async with batch_transaction() as db:
        await db.execute("DELETE FROM terms WHERE website_id = %s", (pages.website_id,))
    async with snapshot() as db:
        found = await recount(db, bounce_engaged_s=10, website_ids=[pages.website_id])
    assert [(one.check, one.field, one.counted) for one in found] == [("terms", "page of heatmaps", "no such text")]
