"""Verdicts that come late: a sender's sessions leave the numbers, exactly, and people stay."""

import random
import secrets

import pytest

from agents import bot_detections
from agents import bots as agent
from agents.watching import Suspect, Watch
from analytics_app import clock
from analytics_app.bots import api_store
from analytics_app.bots.senders import senders_of
from analytics_app.db import batch_transaction, transaction
from analytics_app.records import Detection, Seen, SendersRecord
from analytics_app.sessions.store import instant
from analytics_app.stats import store as stats
from tests.factories import NOON_MS, at_ms, make_event, make_heartbeat, make_hit

pytestmark = pytest.mark.services

SCRAPER, PERSON = "ab" * 8, "cd" * 8


@pytest.fixture
def hit(worker):
    """Make a hit of this test's website, of a session and sender of its own."""

    def made(at=0, who=SCRAPER, key=None, **fields):
        given = {
            "website_id": worker.website_id,
            "session_key": key or secrets.token_hex(16),
            "visitor": secrets.token_hex(16),
            "sender": "ef" * 8,
            "sent_by": who,
        }
        return make_hit(at, **{**given, **fields})

    return made


def suspect(worker, hits, who=SCRAPER):
    keys = frozenset(one.session_key for one in hits if one.sent_by == who)
    return Suspect(worker.website_id, "ef" * 8, (who,), keys, "rate")


async def counted(worker, first_s=-3600, last_s=3600):
    """The API's totals of bots, and of pageviews."""
    start, end = instant(at_ms(first_s)), instant(at_ms(last_s))
    async with transaction() as db:
        blocked = await api_store.blocked(db, worker.website_id, start, end)
        allowed = await stats.requests(db, worker.website_id, start, end)
    return allowed, blocked.requests, blocked.types


async def test_a_verdict_takes_the_sender_s_sessions_out_and_nobody_else_s(worker, hit):
    theirs = [hit(n, path=f"/p/{n}") for n in range(30)]
    person = [hit(n * 9, who=PERSON, key="aa" * 16, visitor="bb" * 16) for n in range(4)]
    await worker.store(worker.records(*theirs, *person))
    assert await counted(worker) == (34, 0, {})
    assert await agent.pass_verdict(suspect(worker, theirs), at_ms(40))
    assert await counted(worker) == (4, 30, {"scraper": 30})
    assert len(await worker.sessions()) == 1
    assert await worker.differences() == []
    assert await worker.value("SELECT count(*) FROM visitors WHERE website_id = %s", worker.website_id) == 1
    rows = await worker.rows(
        "SELECT late, action, score, reasons, pageviews FROM bot_detections WHERE website_id = %s", worker.website_id
    )
    assert rows == [(True, 2, 60, ["rate"], 1)] * 30
    assert await agent.pass_verdict(suspect(worker, theirs), at_ms(41)), "once more changes nothing"
    assert await counted(worker) == (4, 30, {"scraper": 30})


async def test_what_the_sender_goes_on_sending_is_left_out_and_counted_as_a_bot_s(worker, hit):
    theirs = [hit(n) for n in range(3)]
    await worker.store(worker.records(*theirs))
    await agent.pass_verdict(suspect(worker, theirs), clock.now_ms())
    later = [hit(10, key=theirs[0].session_key), hit(11), make_event(12, website_id=worker.website_id, sent_by=SCRAPER)]
    await worker.store(worker.records(*later, make_heartbeat(20, theirs[0], time_on_page_s=9), hit(13, who=PERSON)))
    assert await counted(worker) == (1, 6, {"scraper": 6})
    outcomes = await worker.outcomes()
    assert (outcomes["ignored_bot"], outcomes["ignored_unknown_event"], outcomes["stored"]) == (3, 1, 4)
    assert await worker.differences() == []


async def test_people_behind_the_address_are_spared(worker, hit):
    reading = hit(0, key="aa" * 16)
    clicking = hit(0, key="bb" * 16)
    crawled = [hit(n) for n in range(20)]
    await worker.store(
        worker.records(
            reading, clicking, *crawled, make_heartbeat(15, reading, time_on_page_s=12),
            make_event(20, website_id=worker.website_id, session_key="bb" * 16, sender="ef" * 8, sent_by=SCRAPER),
        )
    )  # fmt: skip
    assert await agent.pass_verdict(suspect(worker, [reading, clicking, *crawled]), at_ms(30))
    assert set(await worker.sessions()) == {reading.event_id, clicking.event_id}
    assert await counted(worker) == (3, 20, {"scraper": 20})


async def test_where_pages_are_read_nobody_is_condemned(worker, hit):
    views = [hit(n, key="aa" * 16) for n in range(30)]
    await worker.store(worker.records(*views, *(make_heartbeat(40, one, time_on_page_s=3) for one in views)))
    assert not await agent.pass_verdict(suspect(worker, views), at_ms(41))
    assert len(await worker.event_ids()) == 30
    await worker.store(worker.records(hit(50, key="aa" * 16)))
    assert len(await worker.event_ids()) == 31


@pytest.mark.parametrize("seed", range(4))
async def test_whenever_verdicts_fall_every_request_is_counted_once(worker, hit, seed):
    rng = random.Random(seed)
    sent = 0
    hits = []
    for _ in range(25):
        batch = [hit(rng.randrange(600), who=rng.choice((SCRAPER, PERSON, "")), key=rng.choice("abcdef") * 32)
                 for _ in range(rng.randint(1, 8))]  # fmt: skip
        hits += batch
        sent += len(batch)
        await worker.store(worker.records(*batch))
        if rng.random() < 0.2:
            await agent.pass_verdict(suspect(worker, hits, rng.choice((SCRAPER, PERSON))), clock.now_ms())
        if rng.random() < 0.2:
            async with batch_transaction() as db:
                await db.execute("DELETE FROM bot_verdicts WHERE website_id = %s", (worker.website_id,))
    allowed, blocked, _ = await counted(worker)
    assert allowed + blocked == sent
    assert await worker.differences() == []


async def test_the_agent_passes_the_verdict_that_the_stream_tells_of(worker, hit, monkeypatch):
    base_s = (clock.now_ms() - NOON_MS) / 1000 - 40
    theirs = [hit(base_s + n, path=f"/p/{n}") for n in range(40)]
    await worker.store(worker.records(*theirs))
    told = [one for sent in worker.sent for seen in sent.values() for one in seen]
    assert [one.event_id for one in told] == [one.event_id for one in theirs]
    table = {}
    monkeypatch.setattr(agent, "WATCH", Watch())
    monkeypatch.setattr(agent, "bot_scores", table)
    agent.WATCH.see(0, [SendersRecord(told)], agent.last_condemned)
    await agent.judge(agent.WATCH.suspects(0, clock.now_ms()))
    assert await worker.sessions() == {}
    assert agent.last_condemned(SCRAPER) is not None
    blocked = await worker.value("SELECT sum(pageviews) FROM bot_detections WHERE website_id = %s", worker.website_id)
    assert blocked == 40


def test_hits_without_a_sender_are_not_told_of():
    from analytics_app.sessions.logic import fold
    from analytics_app.sessions.state import Rules

    hits = [make_hit(0), make_hit(1, sender="ef" * 8, sent_by=SCRAPER), make_event(2, sender="ef" * 8, sent_by=SCRAPER)]
    told = senders_of(fold({}, hits, lambda _: Rules()), 4)
    assert {partition: [(one.event_id, one.path) for one in seen] for partition, seen in told.items()} == {
        0xEFEFEFEF % 4: [(hits[1].event_id, "/"), (hits[2].event_id, None)]
    }
    assert isinstance(told[0xEFEFEFEF % 4][0], Seen)


async def test_detections_of_the_edge_are_stored_once_and_accounted_for(worker, monkeypatch):
    known = {worker.website_id}
    monkeypatch.setattr(bot_detections.DEFINITIONS, "website", lambda website_id: website_id in known or None)
    base = worker.website_id * 100
    made = [
        Detection(event_id=base + n, at_ms=at_ms(n), website_id=worker.website_id + (n == 3), action=3, score=80,
                  type="crawler", name="Googlebot")
        for n in range(4)
    ]  # fmt: skip
    async with batch_transaction() as db:
        written = await bot_detections.write(db, [*made, made[0]], [0] * 5)
    assert written.outcomes == {"stored": 3, "duplicate": 1, "ignored_website_gone": 1}
    assert (await counted(worker))[1] == 3
