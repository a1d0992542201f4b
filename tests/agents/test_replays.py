"""From chunks to rows: each once, in whatever order, and nothing of what was deleted."""

import itertools
import random
import secrets
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import time_machine

from analytics_app.replays import packing
from analytics_app.websites.logic import Website
from tests.factories import NOON_MS, make_record
from tests.recordings import change, click, custom, element, make_chunk, meta, opening, scroll, snapshot, text_node

_websites = itertools.count(3_000_000)


@dataclass
class Keeper:
    """The agent's sink on a topic, website and session of its own."""

    topic: str
    website: Website
    sink: Any
    rows: Any
    session_key: str = field(default_factory=lambda: secrets.token_hex(16))
    visitor: str = field(default_factory=lambda: secrets.token_hex(16))
    next_offset: int = 0

    def chunk(self, sequence: int = 0, events: list[dict[str, Any]] | None = None, **fields: Any) -> Any:
        who = {"website_id": self.website.id, "session_key": self.session_key, "visitor": self.visitor}
        return make_chunk(sequence, events, **{**who, **fields})

    def broken(self, sequence: int) -> Any:
        return msgspec.structs.replace(self.chunk(sequence), packed=b"no frame")

    async def keep(self, *chunks: Any) -> None:
        records = []
        for chunk in chunks:
            records.append(make_record(self.next_offset, chunk))
            self.next_offset += 1
        await self.sink.store(records)

    async def replay(self) -> Any:
        from analytics_app.db import transaction
        from analytics_app.replays import reading_store
        from analytics_app.replays.reading_store import Wanted

        async with transaction() as db:
            found = await reading_store.replays_of(db, self.website.id, Wanted(), after=None, limit=10)
        assert len(found) <= 1
        return found[0] if found else None

    async def stored(self) -> list[tuple[int, list[Any]]]:
        found = await self.rows(
            "SELECT sequence, data FROM replay_chunks JOIN replays ON id = replay_id WHERE website_id = %s "
            "ORDER BY sequence",
            self.website.id,
        )
        return [(sequence, packing.unpacked(data)) for sequence, data in found]

    async def outcomes(self) -> dict[str, int]:
        query = "SELECT outcome, sum(hits)::int FROM stream_outcomes WHERE topic = %s GROUP BY outcome"
        found = dict(await self.rows(query, self.topic))
        assert found.get("received", 0) == sum(hits for outcome, hits in found.items() if outcome != "received")
        return {outcome: hits for outcome, hits in found.items() if hits}


@pytest.fixture
def keeper(pool: None, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    from agents import replays as agent
    from agents import sink
    from analytics_app.db import batch_transaction
    from analytics_app.records import RECORDED

    async def rows(query: str, *given: Any) -> list[Any]:
        async with batch_transaction() as db:
            answer = await db.execute(query, given or None)
            return await answer.fetchall() if answer.description else []

    website = Website(id=next(_websites), workspace_id=1, host="example.com", tracking_type="full", replay_sampling=1)
    topic = f"replay-chunks-{secrets.token_hex(4)}"
    websites = {website.id: website}
    monkeypatch.setattr(agent.DEFINITIONS, "website", websites.get)
    return Keeper(topic, website, sink.Sink(topic, agent.write, RECORDED), rows)


async def test_a_session_is_what_its_chunks_add_up_to(keeper: Keeper):
    with time_machine.travel(NOON_MS / 1000 + 60, tick=True):
        await keeper.keep(
            keeper.chunk(0, [*opening(0, "https://example.com/shop?token=abc"), click(1), click(1.2), click(1.4)]),
            keeper.chunk(1, [scroll(5), custom(6, "error", message="it broke"), custom(7, "page", path="/basket")]),
        )
    row = await keeper.replay()
    assert (row.chunks, row.events, row.clicks, row.rage_clicks, row.errors) == (2, 8, 3, 1, 1)
    assert (row.duration_ms, row.entry_page, row.pages) == (7000, "/shop", ["/shop", "/basket"])
    assert (row.country, row.device_type, row.browser, row.os) == ("GB", "desktop", "Firefox", "Linux")
    assert (row.visitor.hex, row.session_key.hex, row.stopped) == (keeper.visitor, keeper.session_key, None)
    assert 0 < row.stored_bytes < row.raw_bytes
    assert await keeper.outcomes() == {"received": 2, "stored": 2}


async def test_a_repeated_number_counts_once_in_a_batch_and_later(keeper: Keeper):
    first = keeper.chunk(0)
    await keeper.keep(first, first, keeper.chunk(1, [click(2)]))
    await keeper.keep(keeper.chunk(1, [click(3), click(4)]))
    row = await keeper.replay()
    assert (row.chunks, row.clicks) == (2, 1)
    assert await keeper.outcomes() == {"received": 4, "stored": 2, "duplicate": 2}


@pytest.mark.parametrize("seed", range(4))
async def test_the_order_of_arrival_makes_no_difference(keeper: Keeper, seed: int):
    events = [
        [*opening(0), click(3.6, 5, 5), click(3.9, 5, 5)],
        [click(4.1, 5, 5), click(4.3, 300, 5), meta(5, "https://example.com/two"), snapshot(5)],
        [custom(8, "error", message="x"), scroll(9)],
        [meta(10, "https://example.com/three"), snapshot(10), click(11)],
    ]
    chunks = [keeper.chunk(number, said, country=f"C{number}") for number, said in enumerate(events)]
    random.Random(seed).shuffle(chunks)
    for chunk in chunks:
        await keeper.keep(chunk)
    row = await keeper.replay()
    assert (row.clicks, row.rage_clicks, row.errors, row.chunks) == (5, 1, 1, 4), "the burst lies across two chunks"
    assert (row.entry_page, sorted(row.pages), row.duration_ms) == ("/", ["/", "/three", "/two"], 11_000)
    assert (row.country, row.first_sequence, row.last_sequence) == ("C0", 0, 3)
    assert [number for number, _ in await keeper.stored()] == [0, 1, 2, 3]


async def test_what_is_stored_was_cleaned(keeper: Keeper):
    page = element("div", element("a", text_node("call joe@example.com"), href="javascript:alert(1)", onclick="x()"))
    await keeper.keep(keeper.chunk(0, [meta(0), snapshot(0, page), change(1, 9, id=1)]))
    ((_, events),) = await keeper.stored()
    said = packing.write(events)
    assert b"javascript" not in said
    assert b"onclick" not in said
    assert b"joe@" not in said
    assert [event["type"] for event in events] == [4, 2]


async def test_a_full_recording_stops_and_says_why(keeper: Keeper, monkeypatch: pytest.MonkeyPatch):
    from agents import replays as agent

    monkeypatch.setattr(agent, "settings", lambda: agent_settings(20_000))
    loud = [text_node(secrets.token_hex(4000).replace("a", "é")) for _ in range(2)]
    await keeper.keep(
        *(keeper.chunk(number, [meta(number), snapshot(number, element("p", *loud))]) for number in range(4))
    )
    row = await keeper.replay()
    assert row.stopped == "size"
    assert row.stored_bytes <= 20_000
    assert 0 < row.chunks < 4
    await keeper.keep(keeper.chunk(9, [click(9)]))
    assert (await keeper.outcomes())["ignored_size"] == 5 - row.chunks


def agent_settings(most_bytes: int) -> Any:
    from analytics_app.settings import settings

    return settings().model_copy(update={"replay_max_bytes": most_bytes})


async def test_the_tabs_of_a_session_are_recordings_of_their_own_and_share_its_room(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
):
    from agents import replays as agent

    a, b = "a" * 32, "b" * 32
    loud = [meta(0), snapshot(0, element("p", text_node(secrets.token_hex(8000))))]
    await keeper.keep(*(keeper.chunk(number, loud, tab=tab) for number in range(2) for tab in (a, b, None)))
    rows = await keeper.rows(
        "SELECT tab, chunks, stored_bytes::int FROM replays WHERE website_id = %s ORDER BY tab", keeper.website.id
    )
    assert [(tab.hex, chunks) for tab, chunks, _ in rows] == [("0" * 32, 2), (a, 2), (b, 2)]
    monkeypatch.setattr(agent, "settings", lambda: agent_settings(sum(size for *_, size in rows) + 100))
    await keeper.keep(keeper.chunk(2, loud, tab=b), keeper.chunk(1, loud, tab=a))
    outcomes = await keeper.outcomes()
    assert (outcomes["stored"], outcomes["ignored_size"], outcomes["duplicate"]) == (6, 1, 1)


async def test_what_the_edge_has_cleaned_is_stored_as_it_is(keeper: Keeper):
    from analytics_app.replays.events import VERSION

    said = [meta(0), snapshot(0, element("p", text_node("joe@example.com")))]
    await keeper.keep(keeper.chunk(0, said, sanitiser=VERSION), keeper.chunk(1, said, sanitiser=VERSION - 1))
    (_, trusted), (_, cleaned) = await keeper.stored()
    assert b"joe@" in packing.write(trusted), "no time goes into cleaning twice"
    assert b"joe@" not in packing.write(cleaned)


async def test_a_recording_has_a_longest_time(keeper: Keeper):
    await keeper.keep(keeper.chunk(0), keeper.chunk(1, [click(7199)]), keeper.chunk(2, [click(7201)]))
    row = await keeper.replay()
    assert (row.stopped, row.chunks) == ("length", 2)


async def test_a_deleted_session_never_comes_back(keeper: Keeper):
    from analytics_app.db import transaction
    from analytics_app.replays import reading_store

    await keeper.keep(keeper.chunk(0))
    row = await keeper.replay()
    async with transaction() as db:
        assert not await reading_store.delete_replay(db, keeper.website.id + 1, row.id)
        assert await reading_store.delete_replay(db, keeper.website.id, row.id)
        assert not await reading_store.delete_replay(db, keeper.website.id, row.id)
    await keeper.keep(keeper.chunk(1, [click(2)]), keeper.chunk(0))
    assert await keeper.replay() is None
    assert await keeper.stored() == []
    assert await keeper.outcomes() == {"received": 3, "stored": 1, "ignored_deleted": 2}
    async with transaction() as db:
        stopped = await reading_store.stopped_since(db, row.updated_at)
    assert (keeper.website.id, keeper.session_key, "deleted") in stopped


async def test_an_erased_visitor_loses_what_is_stored_and_what_is_on_its_way(keeper: Keeper):
    from datetime import timedelta

    from analytics_app import clock, subjects
    from analytics_app.db import batch_transaction
    from analytics_app.gdpr.logic import Subject
    from analytics_app.replays import subject_store

    subject = Subject(keeper.website.id, keeper.visitor, None)

    other = secrets.token_hex(16)
    await keeper.keep(keeper.chunk(0), keeper.chunk(0, session_key=other, visitor=secrets.token_hex(16)))
    under_way = keeper.chunk(0, session_key=secrets.token_hex(16), at_ms=clock.now_ms())
    async with batch_transaction() as db:
        (held,) = await subject_store.replays_of(db, subject)
        assert held["recording"]
        now = clock.now()
        await subjects.erase(db, keeper.website.id, keeper.visitor, now, now + timedelta(days=1))
        assert await subject_store.replays_of(db, subject) == []
    await keeper.keep(under_way, keeper.chunk(1), keeper.chunk(2, [click(clock.now_ms() / 1000 - NOON_MS / 1000 + 9)]))
    assert (await keeper.replay()).session_key.hex == other, "nor does the session that was under way go on"
    assert await keeper.outcomes() == {"received": 5, "stored": 2, "ignored_erased": 2, "ignored_deleted": 1}
    later = keeper.chunk(0, session_key=secrets.token_hex(16), at_ms=clock.now_ms() + 1000)
    await keeper.keep(later)
    async with batch_transaction() as db:
        assert len(await subject_store.replays_of(db, subject)) == 1


async def test_chunks_of_a_website_that_is_gone_are_counted_and_left(keeper: Keeper):
    await keeper.keep(keeper.chunk(0, website_id=keeper.website.id + 50), keeper.chunk(0, []))
    assert await keeper.outcomes() == {"received": 2, "ignored_nothing": 2}


async def test_a_chunk_that_cannot_be_read_is_set_aside_and_the_others_are_stored(keeper: Keeper):
    await keeper.keep(keeper.chunk(0), keeper.broken(1))
    row = await keeper.replay()
    assert row.chunks == 1
    ((error,),) = await keeper.rows("SELECT error FROM failed_records WHERE topic = %s", keeper.topic)
    assert "Unpackable" in error
    assert await keeper.outcomes() == {"received": 2, "stored": 1, "failed": 1}
