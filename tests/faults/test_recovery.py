"""Kafka hangs while a worker recovers: whatever becomes of Faust's recovery, it is stored again within a minute."""

import asyncio
import os
import random
import shutil
import signal
import time

import pytest

from tests.faults.rig import Rig
from tests.faults.story import under_load
from tests.faults.wire import FETCH, LIST_OFFSETS, Alarm

PAUSED_S = 30.0


@pytest.mark.long
@pytest.mark.parametrize("step", [LIST_OFFSETS, FETCH], ids=["as it asks how far", "as it reads"])
async def test_kafka_paused_during_recovery_costs_a_minute_at_most(rig: Rig, seed: int, step: int) -> None:
    (kafka,) = rig.pids("kafka")
    link = rig.links["kafka"]
    topic = b"analytics-sessions-changelog"
    async with under_load(rig, "Kafka paused during recovery", seed, prompt=False, visitors=400, after_s=10):
        await asyncio.sleep(8)  # something for the changelog
        before = rig.log.stat().st_size
        alarm = Alarm(random.Random(seed), 1, 1, kind=step, topic=topic, ring=lambda: os.kill(kafka, signal.SIGSTOP))
        for pid in rig.pids("worker"):
            rig.note(f"SIGKILL to worker {pid}, which loses its tables")
            os.kill(pid, signal.SIGKILL)
        for name in ("worker-1", "worker-2"):
            await asyncio.to_thread(shutil.rmtree, rig.data_dir / "tables" / name, ignore_errors=True)
        link.cuts = alarm
        until = time.monotonic() + 60
        while not alarm.rung:
            assert time.monotonic() < until, "no worker recovers"
            await asyncio.sleep(0.1)
        rig.note(f"SIGSTOP to kafka {kafka}, as a worker recovers")
        await asyncio.sleep(PAUSED_S)
        rig.note(f"SIGCONT to kafka {kafka}")
        os.kill(kafka, signal.SIGCONT)
    endings = [line for line in rig.said(before).splitlines() if "this worker ends" in line]
    rig.figures.append(f"Kafka paused during recovery: {endings}")
    # Asked how far a changelog goes, a Kafka that hangs ends Faust's recovery for good; what is being read is read on.
    assert endings or step == FETCH
