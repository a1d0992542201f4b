"""A verdict that comes late: what was sampled and recorded of the bot's sessions goes with them, and nothing else."""

import secrets

import pytest

from agents import bots as agent
from agents import heatmaps, replays
from analytics_app import clock
from analytics_app.db import batch_transaction, snapshot
from analytics_app.verify.heatmaps_store import differences
from tests.agents.test_bots import PERSON, SCRAPER, hit, suspect  # noqa: F401 - `hit` is a fixture
from tests.factories import MINUTE, make_sample, make_samples, make_website
from tests.recordings import click, make_chunk, opening

pytestmark = pytest.mark.services


@pytest.fixture
def store(worker, monkeypatch):
    """Store samples and chunks of this test's website as their agents do; returns how each lot ended."""
    website = make_website(worker.website_id, tracking_type="full", replay_sampling=1)
    monkeypatch.setattr(heatmaps.DEFINITIONS, "website", {worker.website_id: website}.get)

    async def store(lots=(), chunks=()):
        async with batch_transaction() as db:
            sampled = await heatmaps.write(db, list(lots), [0] * len(lots))
        async with batch_transaction() as db:
            recorded = await replays.write(db, list(chunks), [0] * len(chunks))
        return sampled.outcomes, recorded.outcomes

    return store


def whose(one):
    return {
        "website_id": one.website_id,
        "session_key": one.session_key,
        "visitor": one.visitor,
        "sent_by": one.sent_by,
    }


def sampled(one, x=5):
    return make_samples(
        make_sample(1, x, 5), make_sample(2, x, 5, MINUTE), make_sample(3, 0, 900), **whose(one), path="/shop"
    )


async def held(worker):
    """Rows of samples, of reaches, samples that are counted, recordings, their chunks."""
    of_website = "FROM {} WHERE website_id = %s"
    queries = (
        f"SELECT count(*) {of_website.format('heatmap_samples')}",
        f"SELECT count(*) {of_website.format('heatmap_reaches')}",
        f"SELECT coalesce(sum(total), 0)::int {of_website.format('heatmap_bins')} AND kind < 4",
        f"SELECT count(*) {of_website.format('replays')}",
        "SELECT count(*) FROM replay_chunks JOIN replays ON id = replay_id WHERE website_id = %s",
    )
    return [await worker.value(query, worker.website_id) for query in queries]


async def test_samples_and_recordings_of_a_condemned_session_go_with_it_and_a_person_s_stay(worker, hit, store):  # noqa: F811
    bots = [hit(n, visitor="bb" * 16) for n in range(5)]
    same_browser = hit(0, who=PERSON, visitor="bb" * 16)  # another session of the visitor, from elsewhere
    await worker.store(worker.records(*bots, same_browser))
    everybody = [*bots, same_browser]
    chunks = [
        make_chunk(n, opening(), **whose(one), tab=tab) for n, one in enumerate(everybody) for tab in (None, "a" * 32)
    ]
    await store([sampled(one, 10 * n) for n, one in enumerate(everybody)], chunks)
    assert await held(worker) == [12, 6, 18, 12, 12]
    assert await agent.pass_verdict(suspect(worker, bots), clock.now_ms())
    assert await held(worker) == [2, 1, 3, 2, 2]
    left = await worker.rows(
        "SELECT DISTINCT session_key FROM heatmap_samples WHERE website_id = %s", worker.website_id
    )
    assert [key.hex for (key,) in left] == [same_browser.session_key]
    async with snapshot() as db:
        assert await differences(db, worker.website_id, 10) == []
    assert await worker.differences() == []


async def test_what_is_on_its_way_of_a_condemned_sender_is_left_out(worker, hit, store):  # noqa: F811
    first, person = hit(0), hit(0, who=PERSON)
    await worker.store(worker.records(first, person))
    assert await agent.pass_verdict(suspect(worker, [first]), clock.now_ms())
    new_session = hit(5)
    for one, outcome in ((first, "ignored_bot"), (new_session, "ignored_bot"), (person, "stored")):
        by_samples, by_chunks = await store([sampled(one)], [make_chunk(0, [*opening(), click(1)], **whose(one))])
        assert (by_samples[outcome], by_chunks[outcome]) == (1, 1), one
    assert await held(worker) == [2, 1, 3, 1, 1]
    noted = await worker.value("SELECT count(*) FROM bot_detections WHERE website_id = %s", worker.website_id)
    assert noted == 1, "the session that was taken out; a sample is no request"


async def test_pages_that_only_bots_were_on_are_forgotten(worker, hit, store):  # noqa: F811
    bot = hit(0, session_key=secrets.token_hex(16))
    await worker.store(worker.records(bot))
    await store([sampled(bot)])
    assert await agent.pass_verdict(suspect(worker, [bot]), clock.now_ms())
    assert await worker.value("SELECT count(*) FROM heatmap_pages WHERE website_id = %s", worker.website_id) == 0
    assert await worker.value("SELECT count(*) FROM heatmap_bins WHERE website_id = %s", worker.website_id) == 0
