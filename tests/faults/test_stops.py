"""SIGTERM at the worst moments: the process ends within 20 s, and what was answered ok is stored once."""

import asyncio
import signal
import time

import psutil
import pytest

from tests.faults.rig import Rig
from tests.faults.story import under_load

ENDS_WITHIN_S = 20.0


async def ends(rig: Rig, *roles: str) -> float:
    """SIGTERM to one process of each role; the seconds until all of them are gone. Raises AssertionError."""
    stopped = [psutil.Process(await rig.signal(role, signal.SIGTERM)) for role in roles]
    began = time.monotonic()
    _, alive = await asyncio.to_thread(psutil.wait_procs, stopped, ENDS_WITHIN_S)
    took_s = time.monotonic() - began
    assert not alive, f"{alive} did not end within {ENDS_WITHIN_S:.0f} s"
    rig.figures.append(f"SIGTERM to {' and '.join(roles)}: ended after {took_s:.1f} s")
    return took_s


async def test_a_worker_and_a_web_process_end_in_the_middle_of_a_flush(rig: Rig) -> None:
    async with under_load(rig, "stopped in a flush", 21, prompt=False):
        for link in rig.links.values():
            link.slow(0.15)  # a flush of either takes a second, so this is in the middle of one
        await asyncio.sleep(3)
        await ends(rig, "worker", "web")
        rig.heal()


@pytest.mark.parametrize("how", ["cut", pytest.param("silence", marks=pytest.mark.long)])
async def test_a_worker_and_a_web_process_end_while_postgres_is_away(rig: Rig, how: str) -> None:
    async with under_load(rig, f"stopped while Postgres is away ({how})", 22, prompt=False):
        getattr(rig.links["postgres"], how)()
        await asyncio.sleep(4)
        await ends(rig, "worker", "web")
        rig.heal()


@pytest.mark.long
@pytest.mark.parametrize("how", ["cut", "silence"])
async def test_a_worker_and_a_web_process_end_while_kafka_is_away(rig: Rig, how: str) -> None:
    async with under_load(rig, f"stopped while Kafka is away ({how})", 23, prompt=False):
        getattr(rig.links["kafka"], how)()
        await asyncio.sleep(4)
        await ends(rig, "worker", "web")
        rig.heal()
