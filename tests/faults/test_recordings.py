"""Chunks of recordings under kills: what was answered ok is stored, each once, and adds up."""

import asyncio
import random
import time
import uuid
from collections import Counter

import aiohttp

from tests.faults.load import HEADERS
from tests.faults.rig import Rig
from tests.recordings import click, opening

SESSIONS = 24
LASTS_S = 24.0
EVERY_S = 0.4
PERSISTS_S = 90.0
TOPIC = "analytics-replay-chunks"


async def record(rig: Rig, http: aiohttp.ClientSession, key: str, until: float, answers: Counter[str]) -> int:
    """One session's recorder: each chunk is sent until it is ok, and now and then once more; returns how many."""
    who = {"key": key, "visitor_id": str(uuid.uuid4()), "session_id": str(uuid.uuid4())}
    sequence = 0
    while time.monotonic() < until:
        events = [*(opening(sequence) if sequence % 8 == 0 else []), click(sequence)]
        sent_ok, give_up = 0, time.monotonic() + PERSISTS_S
        while sent_ok < (2 if sequence % 5 == 0 else 1):
            assert time.monotonic() < give_up, f"never ok: {answers}"
            try:
                async with http.post(
                    f"{rig.address}/analytics/replay", json={**who, "sequence": sequence, "events": events}
                ) as answer:
                    body = await answer.json()
                    answers[str(answer.status)] += 1
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                answers[type(error).__name__] += 1
                body = {}
            if body.get("ok") is True:
                assert "ignored" not in body
                sent_ok += 1
            else:
                await asyncio.sleep(0.2)
        sequence += 1
        await asyncio.sleep(EVERY_S)
    return sequence


async def test_whatever_is_killed_every_chunk_is_stored_once(rig: Rig, seed: int) -> None:
    website_id, key = await rig.website("recorded")
    full = {"tracking_type": "full", "replay_sampling": 1}
    await rig.call("PATCH", f"/analytics/websites/{website_id}", full)
    await asyncio.sleep(2)
    chance, answers = random.Random(seed), Counter[str]()
    began = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(headers=HEADERS, timeout=timeout) as http:
        recorders = [asyncio.create_task(record(rig, http, key, began + LASTS_S, answers)) for _ in range(SESSIONS)]
        for role in chance.sample(["worker", "web", "worker", "kafka", "postgres"], 5):
            await asyncio.sleep(LASTS_S / 6)
            await rig.kill(role, which=chance.randrange(2))
        sent = await asyncio.gather(*recorders)
    drained_s = await rig.drained(TOPIC)
    rows = await rig.query(
        "SELECT r.chunks, r.clicks, count(c.sequence), min(c.sequence), max(c.sequence), "
        "coalesce(sum(length(c.data)), 0)::bigint, r.stored_bytes FROM replays r "
        "JOIN replay_chunks c ON c.replay_id = r.id WHERE r.website_id = %s GROUP BY r.id",
        website_id,
    )
    assert sorted(row[2] for row in rows) == sorted(sent)
    for chunks, clicks, stored, first, last, held_bytes, stored_bytes in rows:
        assert (chunks, clicks, first, last) == (stored, stored, 0, stored - 1)
        assert held_bytes == stored_bytes
    assert await rig.query("SELECT count(*) FROM failed_records WHERE topic = %s", TOPIC) == [(0,)]
    rig.figures.append(
        f"{sum(sent)} chunks of {SESSIONS} recordings, each stored once; drained after {drained_s:.1f} s; "
        f"answers {dict(answers.most_common(6))}"
    )
