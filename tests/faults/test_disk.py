"""The disk is full: under Postgres, under Kafka."""

import asyncio
import time

import psycopg
import pytest

from tests.faults.conftest import needs
from tests.faults.load import Crowd
from tests.faults.rig import Rig
from tests.faults.story import under_load

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def disks(rig: Rig) -> None:
    needs("a disk to fill", lacking=rig.no_disks)


async def test_what_was_answered_ok_is_stored_once_there_is_room_again_for_postgres(rig: Rig) -> None:
    async with under_load(rig, "disk of Postgres full", 31, after_s=8):
        before = await rig.positions(rig.hits_topic)
        rig.disks["postgres"].fill()
        await stands_still(rig, before)
        rig.disks["postgres"].free()


async def stands_still(rig: Rig, before: dict[int, int], for_s: float = 5.0, within_s: float = 40.0) -> None:
    """Returns when nothing has been stored for so long: the disk really is full. Raises AssertionError."""
    until, still_since = time.monotonic() + within_s, time.monotonic()
    while time.monotonic() - still_since < for_s:
        assert time.monotonic() < until, "it goes on storing"
        await asyncio.sleep(0.5)
        try:
            now = await rig.positions(rig.hits_topic)
        except psycopg.Error:  # it is down: no room even for its log
            now = before
        if now != before:
            before, still_since = now, time.monotonic()


async def test_hits_are_refused_while_kafka_has_no_room_and_taken_again_after(rig: Rig) -> None:
    async with under_load(rig, "disk of Kafka full", 32, after_s=8) as crowd:
        rig.disks["kafka"].fill()
        # What its files have allotted already can still be written; then it ends, and cannot start again.
        until = time.monotonic() + 40
        while crowd.oks_since(time.monotonic() - 5):
            assert time.monotonic() < until, "it goes on taking hits"
            await asyncio.sleep(0.5)
        rig.disks["kafka"].free()
        await taken_again(crowd)


async def taken_again(crowd: Crowd, within_s: float = 60.0) -> None:
    began = time.monotonic()
    while not crowd.oks_since(began):
        assert time.monotonic() - began < within_s, "hits are not taken again"
        await asyncio.sleep(0.5)
