"""Nothing lost, nothing twice: whatever is killed, what was answered ok is stored once."""

import asyncio
import os
import random
import shutil
import signal
import time

import pytest

from tests.faults.compare import differences, realtime_becomes_right, told
from tests.faults.conftest import seconds, seeds
from tests.faults.load import Crowd, Journal
from tests.faults.rig import Rig

SLOT_S = 8.5


async def settle(rig: Rig, crowd: Crowd, journal: Journal) -> None:
    """Wait until all is stored, then compare everything."""
    assert not journal.odd, journal.odd[:5]
    drained_s = await rig.drained()
    website_ids = [website_id for website_id, _ in crowd.websites]
    live_s = max([await realtime_becomes_right(rig, journal, website_id) for website_id in website_ids])
    found = await differences(rig, journal, website_ids)
    assert not found, told(found, journal, rig)
    never = sum(hit.event_id is None for hit in journal.hits.values())
    retried = sum(hit.attempts > 1 for hit in journal.hits.values())
    rig.figures.append(
        f"{journal.hits_ok} hits, {journal.heartbeats_ok} heartbeats, {journal.leaves_ok} leaves ok; {retried} sent"
        f" again, {never} never ok, {crowd.skipped} not sent; drained after {drained_s:.1f} s, live views right"
        f" {live_s:.1f} s later; answers {dict(journal.answers.most_common(8))}"
    )
    assert journal.hits_ok > 100


@pytest.mark.parametrize("seed", seeds())
async def test_whatever_is_killed_every_hit_is_stored_once(rig: Rig, seed: int) -> None:
    websites = [await rig.website("killed") for _ in range(3)]
    chance = random.Random(seed)
    crowd = Crowd(rig.address, websites, rate=300, seed=seed)
    lasts_s = seconds(60)
    loading = asyncio.create_task(crowd.send(lasts_s))
    began = time.monotonic()
    slots = int((lasts_s - 3) / SLOT_S)
    roles = [role for _ in range(slots) for role in chance.sample(["web", "worker", "kafka", "postgres", "worker"], 5)]
    for slot, role in enumerate(roles[:slots]):
        at = 3 + SLOT_S * (slot + chance.random() * 0.8)
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        await rig.kill(role, which=chance.randrange(2))
    await settle(rig, crowd, await loading)


async def test_a_worker_that_wakes_after_its_partitions_went_stores_nothing_twice(rig: Rig) -> None:
    websites = [await rig.website("paused")]
    crowd = Crowd(rig.address, websites, rate=150, seed=2)
    loading = asyncio.create_task(crowd.send(40))
    await asyncio.sleep(4)
    paused = await rig.signal("worker", signal.SIGSTOP, which=0)
    await asyncio.sleep(22)  # Kafka gives its partitions away after 15 s
    assert paused in rig.pids("worker")
    await rig.signal("worker", signal.SIGCONT, which=0)
    await settle(rig, crowd, await loading)


async def test_postgres_may_be_away_for_ten_seconds(rig: Rig) -> None:
    websites = [await rig.website("away")]
    crowd = Crowd(rig.address, websites, rate=150, seed=3)
    loading = asyncio.create_task(crowd.send(20))
    await asyncio.sleep(3)
    until = time.monotonic() + 10
    while time.monotonic() < until:  # the supervisor starts it again, each time after a longer pause
        if rig.pids("postgres"):
            await rig.kill("postgres")
        await asyncio.sleep(0.2)
    await settle(rig, crowd, await loading)


async def test_tables_that_are_deleted_or_old_change_nothing(rig: Rig) -> None:
    websites = [await rig.website("tables")]
    crowd = Crowd(rig.address, websites, rate=150, seed=4, visitors=60)
    loading = asyncio.create_task(crowd.send(26))
    tables = rig.data_dir / "tables"
    await asyncio.sleep(4)
    kept = rig.data_dir / "tables-of-before"
    await asyncio.to_thread(shutil.copytree, tables / "worker-1", kept, ignore=shutil.ignore_patterns("LOCK"))
    await asyncio.sleep(4)
    for pid in rig.pids("worker"):
        rig.note(f"SIGKILL to worker {pid}, which loses its tables")
        os.kill(pid, signal.SIGKILL)
    for name in ("worker-1", "worker-2"):
        await asyncio.to_thread(shutil.rmtree, tables / name, ignore_errors=True)
    await asyncio.to_thread(shutil.copytree, kept, tables / "worker-1", dirs_exist_ok=True)
    await settle(rig, crowd, await loading)
