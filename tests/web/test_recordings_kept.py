"""How long recordings and samples are kept, what goes with a website, and how a long session is played."""

import random
import tracemalloc
from datetime import timedelta
from typing import Any

import orjson
import pytest

from analytics_app import clock
from analytics_app.db import batch_transaction
from analytics_app.jobs import cleaning
from analytics_app.replays import reading_store
from tests.factories import make_sample, make_samples
from tests.recordings import change, element, opening, scroll, text_node
from tests.web.test_replays import LIST, keep, listed

WORDS = [f"word{number}" for number in range(2000)]


async def rows(query: str, *given: Any) -> list[Any]:
    async with batch_transaction() as db:
        return await (await db.execute(query, given)).fetchall()


async def test_recordings_go_when_they_are_older_than_their_website_keeps_them(admin):
    """The clock is the job's argument: it runs on the 9th, 11th, 89th and 91st day."""
    kept = {}
    for days in (None, 10, 0):
        website = await admin.new_website(tracking_type="full", replay_sampling=1, replays_retention_days=days)
        for _ in range(3):
            await keep(website["id"], (0, opening()), (1, [scroll(3)]))
        kept[days] = website
    now = clock.now()
    for passed, left in ((9, [3, 3, 3]), (11, [3, 0, 3]), (89, [3, 0, 3]), (91, [0, 0, 3])):
        await cleaning.old_replays(now + timedelta(days=passed))
        assert [len(await listed(admin, website)) for website in kept.values()] == left, f"after {passed} days"
    query = "SELECT count(*) FROM replay_chunks JOIN replays ON id = replay_id WHERE website_id = ANY(%s::int[])"
    assert await rows(query, [website["id"] for website in kept.values()]) == [(6,)]
    assert await rows(
        "SELECT count(*) FROM replay_chunks c WHERE NOT EXISTS (SELECT FROM replays WHERE id = replay_id)"
    ) == [(0,)]


async def test_a_recording_that_still_grows_is_not_old(admin):
    website = await admin.new_website(tracking_type="full", replay_sampling=1, replays_retention_days=1)
    await keep(website["id"], (0, opening()))
    await rows(
        "UPDATE replays SET started_at = started_at - interval '30 hours' WHERE website_id = %s RETURNING 1",
        website["id"],
    )
    await cleaning.old_replays(clock.now())
    assert len(await listed(admin, website)) == 1
    await cleaning.old_replays(clock.now() + timedelta(hours=25))
    assert await listed(admin, website) == []


async def test_what_reminds_of_a_deletion_is_kept_as_long_as_anything_may_be_on_its_way(admin):
    website = await admin.new_website(tracking_type="full", replay_sampling=1)
    await keep(website["id"], (0, opening()))
    (one,) = await listed(admin, website)
    await admin.delete(f"{LIST.format(website['id'])}/{one['id']}")
    buried = "SELECT count(*) FROM replay_tombstones WHERE website_id = %s"
    for passed, left in ((7, 1), (9, 0)):
        await cleaning.old_replays(clock.now() + timedelta(days=passed))
        assert await rows(buried, website["id"]) == [(left,)]


async def test_a_deleted_website_takes_recordings_chunks_samples_and_counts_with_it(admin):
    from agents import heatmaps

    gone, other = [await admin.new_website(tracking_type="full", replay_sampling=1) for _ in range(2)]
    for website in (gone, other):
        await keep(website["id"], (0, opening()), (1, [scroll(3)]))
        lot = make_samples(make_sample(1, 5, 5), make_sample(3, 0, 900), website_id=website["id"])
        async with batch_transaction() as db:
            assert (await heatmaps.write(db, [lot], [0])).outcomes["stored"] == 1
        body = {"name": "Clicks", "url_pattern": "/", "type": "click"}
        assert (await admin.post(f"/analytics/websites/{website['id']}/heatmaps", json=body)).status == 201
    assert (await admin.delete(f"/analytics/websites/{gone['id']}")).status == 204
    await cleaning.deleted_websites(clock.now() + timedelta(hours=1))
    for table in ("replays", "heatmaps", "heatmap_samples", "heatmap_reaches", "heatmap_bins", "heatmap_pages"):
        found = await rows(
            f"SELECT DISTINCT website_id FROM {table} WHERE website_id = ANY(%s)", [gone["id"], other["id"]]
        )
        assert found == [(other["id"],)], table
    chunks = "SELECT count(*) FROM replay_chunks JOIN replays ON id = replay_id WHERE website_id = ANY(%s)"
    assert await rows(chunks, [gone["id"], other["id"]]) == [(2,)]


async def test_half_an_hour_is_played_without_being_held_whole(admin, client, monkeypatch: pytest.MonkeyPatch):
    website = await admin.new_website(tracking_type="full", replay_sampling=1)
    chance, key, chunks = random.Random(30), "30" * 16, 450

    def chunk(number: int) -> list[dict[str, Any]]:
        """Four seconds, 45 kB: words that come anew."""
        added = [
            {"parentId": 5, "nextId": None, "node": element("p", text_node(" ".join(chance.choices(WORDS, k=60))))}
            for _ in range(70)
        ]
        start = opening(4 * number) if number % 8 == 0 else []
        return [*start, change(4 * number + 1, texts=[], attributes=[], removes=[], adds=added)]

    for first in range(0, chunks, 30):
        await keep(website["id"], *((n, chunk(n)) for n in range(first, first + 30)), session_key=key)
    (one,) = await listed(admin, website)
    assert (one["chunks"], one["duration"], one["stopped"]) == (chunks, 1797, None)
    assert 15_000_000 < one["size_inflated"] < 30_000_000

    held, chunks_from = [], reading_store.chunks_from

    async def counted(*given: Any) -> list[Any]:
        found = await chunks_from(*given)
        held.append(len(found))
        return found

    monkeypatch.setattr(reading_store, "chunks_from", counted)
    path, read, events = f"{LIST.format(website['id'])}/{one['id']}/playback", 0, 0
    tracemalloc.start()
    try:
        async with client.get(path, headers={"Authorization": f"Bearer {admin.token}"}) as answer:
            async for part in answer.content.iter_chunked(65_536):
                read += len(part)
                events += part.count(b'"timestamp"')
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read > 15_000_000
    assert events >= one["events"] - 2, "one may lie across two parts of what is read"
    assert max(held) <= 8
    assert len(held) > chunks / 8
    assert peak < 5_000_000, f"{peak} bytes for {read} of playback, client and service together"

    first = await client.get(path, headers={"Authorization": f"Bearer {admin.token}"})
    played = orjson.loads(await first.read())
    assert len(played) == one["events"]
    assert [event["timestamp"] for event in played] == sorted(event["timestamp"] for event in played)
