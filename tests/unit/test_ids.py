import asyncio

import psycopg
import pytest

from analytics_app import db
from analytics_app.ids import FETCHED_AHEAD, EventIds
from analytics_app.sessions.models import EVENT_ID_BLOCK


class Sequence:
    """A sequence of blocks, as Postgres has it; it can be made to wait, and to fail."""

    def __init__(self, first: int = 1) -> None:
        self.next = first
        self.asked = 0
        self.failing: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> int:
        self.asked += 1
        await self.open.wait()
        if self.failing:
            raise self.failing
        block, self.next = self.next, self.next + EVENT_ID_BLOCK
        return block


async def test_ids_of_one_process_rise_and_are_never_twice():
    ids = EventIds(Sequence())
    minted = [await ids.mint() for _ in range(5 * EVENT_ID_BLOCK)]
    assert minted == list(range(1, 5 * EVENT_ID_BLOCK + 1))


async def test_ids_of_processes_that_share_a_sequence_are_never_twice():
    sequence = Sequence()
    processes = [EventIds(sequence) for _ in range(3)]
    minted = [await ids.mint() for _ in range(2500) for ids in processes]
    assert len(set(minted)) == 7500


async def test_many_who_ask_at_once_get_one_each():
    sequence = Sequence()
    ids = EventIds(sequence)
    minted = await asyncio.gather(*(ids.mint() for _ in range(3 * EVENT_ID_BLOCK)))
    assert len(set(minted)) == 3 * EVENT_ID_BLOCK
    assert sequence.asked <= 4


async def test_the_next_block_is_fetched_before_the_one_in_use_runs_out():
    sequence = Sequence()
    ids = EventIds(sequence)
    for _ in range(EVENT_ID_BLOCK - FETCHED_AHEAD + 1):
        await ids.mint()
    await asyncio.sleep(0)
    assert sequence.asked == 2
    sequence.open.clear()  # from here on Postgres says nothing
    for _ in range(FETCHED_AHEAD):
        await asyncio.wait_for(ids.mint(), 1)


async def test_postgres_away_is_told_only_when_the_ids_run_out_and_forgotten_when_it_is_back():
    sequence = Sequence()
    ids = EventIds(sequence)
    await ids.mint()
    sequence.failing = OSError("away")
    for _ in range(EVENT_ID_BLOCK - 1):
        await ids.mint()
        await asyncio.sleep(0)
    with pytest.raises(OSError, match="away"):
        await ids.mint()
    sequence.failing = None
    assert await ids.mint() == EVENT_ID_BLOCK + 1


async def test_who_gives_up_waiting_takes_nobody_elses_block_away():
    sequence = Sequence()
    sequence.open.clear()
    ids = EventIds(sequence)
    impatient, patient = asyncio.create_task(ids.mint()), asyncio.create_task(ids.mint())
    await asyncio.sleep(0)
    impatient.cancel()
    sequence.open.set()
    assert await patient == 1
    assert sequence.asked == 1


async def test_ids_stay_below_what_javascript_holds_exactly():
    ids = EventIds(Sequence(2**53 - EVENT_ID_BLOCK))
    assert await ids.mint() < 2**53


async def test_where_the_database_hangs_an_id_is_given_up_and_the_block_is_used_when_it_comes(monkeypatch):
    monkeypatch.setattr(db, "ANSWERED_WITHIN_S", 0.05)
    released = asyncio.Event()

    async def late():
        await released.wait()
        return 7_000

    ids = EventIds(late)
    with pytest.raises(psycopg.OperationalError):
        await ids.mint()
    released.set()
    assert await ids.mint() == 7_000
