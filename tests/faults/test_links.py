"""The network between the processes and their servers: slow, silent, cut, and connections that nobody answers."""

import asyncio
import time

import pytest

from tests.faults.rig import Rig
from tests.faults.story import under_load

SLOW_S = 0.08
SILENT_S = 8.0
LONG_SILENT_S = 40.0


@pytest.mark.long
async def test_slow_connections_lose_nothing(rig: Rig) -> None:
    async with under_load(rig, "slow", 11, rate=60):
        for link in rig.links.values():
            link.slow(SLOW_S)
        await asyncio.sleep(12)
        rig.heal()


@pytest.mark.parametrize("for_s", [SILENT_S, pytest.param(LONG_SILENT_S, marks=pytest.mark.long)])
async def test_while_kafka_says_nothing_every_hit_is_refused_in_time(rig: Rig, for_s: float) -> None:
    async with under_load(rig, f"silent Kafka for {for_s:.0f} s", 12) as crowd:
        rig.links["kafka"].silence()
        await asyncio.sleep(0.5)
        silent_at = time.monotonic()
        await asyncio.sleep(for_s)
        assert crowd.oks_since(silent_at) == 0
        assert crowd.journal.slowest_refusal_s > 0, "nothing was refused"
        rig.heal()


@pytest.mark.long
async def test_while_kafka_cannot_be_reached_every_hit_is_refused_in_time(rig: Rig) -> None:
    async with under_load(rig, "Kafka cut off", 13) as crowd:
        rig.links["kafka"].cut()
        await asyncio.sleep(0.5)
        cut_at = time.monotonic()
        await asyncio.sleep(SILENT_S)
        assert crowd.oks_since(cut_at) == 0
        rig.heal()


@pytest.mark.parametrize("for_s", [SILENT_S, pytest.param(LONG_SILENT_S, marks=pytest.mark.long)])
async def test_a_silent_postgres_delays_and_loses_nothing(rig: Rig, for_s: float) -> None:
    async with under_load(rig, f"silent Postgres for {for_s:.0f} s", 14):
        rig.links["postgres"].silence()
        await asyncio.sleep(for_s)
        rig.heal()


@pytest.mark.long
async def test_postgres_cut_off_for_a_while_loses_nothing(rig: Rig) -> None:
    async with under_load(rig, "Postgres cut off", 15):
        for _ in range(3):
            rig.links["postgres"].cut()
            await asyncio.sleep(6)
            rig.heal()
            await asyncio.sleep(3)


@pytest.mark.long
@pytest.mark.parametrize("server", ["kafka", "postgres"])
async def test_connections_that_nobody_answers_any_more_are_given_up(rig: Rig, server: str) -> None:
    async with under_load(rig, f"stranded connections to {server}", 16, after_s=45, prompt=False):
        rig.links[server].strand()
