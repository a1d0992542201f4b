"""Nothing lost, nothing twice: whatever is killed or paused, what was answered ok is stored once."""

import asyncio
import random
import signal
import time

import pytest

from tests.faults.conftest import seconds
from tests.faults.load import Crowd
from tests.faults.rig import Rig
from tests.faults.story import settle, under_load

SLOT_S = 8.5
PAUSED_S = 22.0  # Kafka gives a worker's partitions away after 15 s, Postgres ends an idle transaction after 20 s


async def test_whatever_is_killed_every_hit_is_stored_once(rig: Rig, seed: int) -> None:
    websites = [await rig.website("killed") for _ in range(3)]
    chance = random.Random(seed)
    crowd = Crowd(rig.address, websites, rate=200, seed=seed, trials=rig.trials)
    lasts_s = seconds(38)
    loading = asyncio.create_task(crowd.send(lasts_s))
    began = time.monotonic()
    slots = int((lasts_s - 3) / SLOT_S)
    roles = [role for _ in range(slots) for role in chance.sample(["web", "worker", "kafka", "postgres"], 4)]
    for slot, role in enumerate(roles[:slots]):
        at = 3 + SLOT_S * (slot + chance.random() * 0.8)
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        await rig.kill(role, which=chance.randrange(2))
        if slot % 2:  # counted live and over what is stored, while things die
            await rig.goals(websites[slot % 3][0])
            await rig.funnels(websites[slot % 3][0])
    await settle(rig, crowd, await loading, f"killed {' '.join(roles[:slots])}, seed {seed}, {lasts_s:.0f} s")


@pytest.mark.parametrize(
    "role",
    ["worker", *(pytest.param(role, marks=pytest.mark.long) for role in ("web", "kafka", "postgres"))],
)
async def test_whoever_wakes_after_a_pause_stores_nothing_twice(rig: Rig, role: str) -> None:
    async with under_load(rig, f"paused {role}", 2, prompt=False, after_s=8):
        paused = await rig.signal(role, signal.SIGSTOP)
        await asyncio.sleep(PAUSED_S)
        assert paused in rig.pids(role)
        await rig.signal(role, signal.SIGCONT)


@pytest.mark.long
async def test_a_paused_supervisor_holds_nobody_up(rig: Rig) -> None:
    async with under_load(rig, "paused supervisor", 3) as crowd:
        await rig.signal("supervisor", signal.SIGSTOP)
        paused_at = time.monotonic()
        await asyncio.sleep(PAUSED_S)
        assert crowd.oks_since(paused_at) > 60 * PAUSED_S
        await rig.signal("supervisor", signal.SIGCONT)


@pytest.mark.long
async def test_a_killed_supervisor_takes_all_along_and_the_next_start_goes_on(rig: Rig) -> None:
    async with under_load(rig, "killed supervisor", 4):
        before = {role: rig.pids(role) for role in ("web", "worker", "kafka", "postgres")}
        await rig.kill("supervisor")
        assert rig.process is not None
        await asyncio.to_thread(rig.process.wait, 10)
        await asyncio.to_thread(rig.start)
        for role, pids in before.items():
            assert not {*pids} & {*rig.pids(role)}
