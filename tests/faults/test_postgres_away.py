"""Postgres is away: hits are taken for as long as there are event ids, or refused at once; what was taken is stored."""

import asyncio
import signal
import time

import pytest

from tests.faults.rig import Rig
from tests.faults.story import under_load


async def held_down(rig: Rig, for_s: float) -> None:
    """Postgres is killed whenever it is there; the supervisor starts it again, each time after a longer pause."""
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        if rig.pids("postgres"):
            await rig.kill("postgres")
        await asyncio.sleep(0.2)


async def back(rig: Rig, within_s: float = 45.0) -> None:
    """Returns when Postgres answers."""
    until = time.monotonic() + within_s
    while True:
        try:
            await rig.query("SELECT 1")
        except Exception:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.3)
        else:
            return


@pytest.mark.parametrize("for_s", [10, pytest.param(60, marks=pytest.mark.long)])
async def test_postgres_may_be_away(rig: Rig, for_s: float) -> None:
    async with under_load(rig, f"Postgres away for {for_s} s", 3):
        await held_down(rig, for_s)
        await back(rig)


@pytest.mark.long
async def test_postgres_may_be_restarted_three_times_under_load(rig: Rig, seed: int) -> None:
    async with under_load(rig, "Postgres restarted three times", seed, websites=3):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):  # "fast", "smart", "immediate"
            await rig.signal("postgres", number)
            await asyncio.sleep(7)
            if number is signal.SIGTERM:  # it would wait for its clients for ever
                await rig.signal("postgres", signal.SIGINT)
                await asyncio.sleep(4)
            await back(rig)
