"""Workers join and leave, politely or not, again and again."""

import asyncio
import random
import signal
import subprocess

import pytest

from tests.faults.rig import PARTITIONS, Rig
from tests.faults.story import under_load

EVERY_S = 8.0
LASTS_S = 120.0


@pytest.mark.long
async def test_workers_may_join_and_leave_every_eight_seconds(rig: Rig, seed: int) -> None:
    chance = random.Random(seed)
    extra: list[subprocess.Popen[bytes]] = []
    joined = 0
    try:
        async with under_load(rig, "workers join and leave", seed, websites=2, after_s=5):
            for _ in range(int(LASTS_S / EVERY_S)):
                await asyncio.sleep(EVERY_S)
                if not extra or (len(extra) < PARTITIONS - 2 and chance.random() < 0.5):
                    joined += 1
                    rig.note(f"worker extra-{joined} joins")
                    extra.append(rig.joined("worker", f"extra-{joined}"))
                else:
                    leaving = extra.pop(chance.randrange(len(extra)))
                    number = chance.choice([signal.SIGTERM, signal.SIGTERM, signal.SIGKILL])
                    rig.note(f"{number.name} to extra worker {leaving.pid}")
                    leaving.send_signal(number)
                    await asyncio.to_thread(leaving.wait, 20)
            for leaving in extra:
                leaving.terminate()
                await asyncio.to_thread(leaving.wait, 20)
    finally:
        for left in extra:
            left.kill()
    assert joined >= 4
