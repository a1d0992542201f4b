"""What the pipeline writes, the recount finds right: the same definitions, written down twice."""

import random
import uuid

import pytest
from sqlalchemy import text

from analytics_app.db import batch_transaction, dispose, snapshot, transaction
from analytics_app.records import Heartbeat, Hit, Leave
from analytics_app.sessions import logic, store, writes_store
from analytics_app.sessions.state import Rules
from analytics_app.stats import store as stats
from analytics_app.verify.store import recount
from tests.traffic import utc

WEBSITE = 3_001
START_MS = round(utc("2026-11-02T23:00").timestamp() * 1000)
RULES = Rules()


@pytest.fixture
async def pool(database):
    yield
    await dispose()


def some_hits(seed: int, count: int) -> list[Hit | Heartbeat | Leave]:
    """Hits of a few visitors: pageviews and events, late ones, repeats, heartbeats (also of unknown events), leaves."""
    rng = random.Random(seed)
    hits: list[Hit | Heartbeat | Leave] = []
    sent: list[Hit] = []
    at_ms = START_MS
    for number in range(count):
        at_ms += rng.choice((0, 400, 20_000, 300_000))
        key = f"{rng.randrange(6):032x}"
        kind = rng.random()
        if kind < 0.6 or not sent:
            late_ms = rng.choice((0, 0, 0, 60_000, 1_200_000, 4_000_000))
            repeat = rng.choice(sent).client_id if sent and rng.random() < 0.1 else None
            hit = Hit(
                event_id=WEBSITE * 10_000 + seed * 1_000 + number,
                at_ms=at_ms - late_ms,
                website_id=WEBSITE,
                session_key=key,
                visitor=key,
                kind=rng.choice((1, 1, 1, 2, 7)),
                client_id=repeat or uuid.UUID(int=rng.getrandbits(128)).hex,
                interactive=rng.random() < 0.5,
                path=rng.choice(("/", "/a", "/b")),
                name=rng.choice(("", "signup")),
                country=rng.choice(("GB", "")),
                properties=rng.choice((None, {"plan": "pro"})),
            )
            sent.append(hit)
            hits.append(hit)
        elif kind < 0.9:
            of = rng.choice(sent[-12:])
            known = rng.random() < 0.9
            hits.append(
                Heartbeat(
                    event_id=of.event_id if known else 7,
                    at_ms=at_ms,
                    session_key=of.session_key,
                    time_on_page_s=rng.randrange(200),
                    scroll_depth=rng.randrange(101),
                )
            )
        else:
            hits.append(Leave(at_ms=at_ms, session_key=key))
    return hits


async def write(partition: int, hits: list[Hit | Heartbeat | Leave]) -> None:
    async with batch_transaction() as db:
        repeats = await store.claim_client_ids(db, hits)
        states = await store.states_of(db, dict.fromkeys({hit.session_key for hit in hits}))
        folded = logic.fold(states, hits, lambda _: RULES, repeats)
        await store.number_visitors(db, folded)
        await writes_store.write(db, partition, folded, lambda _: partition)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_pipeline_stored_a_recount_agrees(pool, seed):
    hits = some_hits(seed, 400)
    rng = random.Random(seed)
    while hits:
        size = rng.randrange(1, 40)
        batch, hits = hits[:size], hits[size:]
        await write(rng.randrange(4), batch)
        async with snapshot() as db:
            assert await recount(db, bounce_engaged_s=RULES.bounce_engaged_s, website_ids=[WEBSITE]) == []


async def test_totals_of_what_the_pipeline_stored_are_those_of_its_rows(pool):
    await write(0, some_hits(9, 300))
    async with transaction() as db:
        events = await db.execute(
            text(
                "SELECT count(*) FILTER (WHERE kind = 1), count(*), count(DISTINCT visitor) FROM events"
                " WHERE website_id = 3001"
            )
        )
        pageviews, everything, visitors = events.one()
        sessions = await db.execute(text("SELECT count(*), sum(duration_s) FROM sessions WHERE website_id = 3001"))
        found = await stats.totals(db, WEBSITE, utc("2026-11-01"), utc("2026-12-01"))
        assert (found.pageviews, found.events, found.visitors) == (pageviews, everything - pageviews, visitors)
        assert (found.sessions, found.duration_s) == tuple(sessions.one())
