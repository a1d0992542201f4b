"""The worker's way from records to rows on a real Postgres, without Kafka: its table is a dictionary."""

import itertools
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import Mock

import pytest

from analytics_app.bots.senders import senders_of
from analytics_app.realtime.logic import activity_of
from analytics_app.records import Active, AnyHit, Seen
from analytics_app.sessions.logic import Folded
from analytics_app.sessions.state import Rules
from analytics_app.stream.logic import Record
from tests.factories import make_record
from tests.ledger import SessionRow

_website_ids = itertools.count(1_000_000, 100)


class FakeTable:
    """What `tables.sessions` is to the agent."""

    def __init__(self) -> None:
        self.copies: dict[str, Any] = {}

    def held(self, partition_of: Mapping[str, int]) -> dict[str, Any]:
        return {key: self.copies.get(key) for key in partition_of}

    def keep(self, saved: Any) -> None:
        for held in saved.held.values():
            self.copies.update(held)
        for keys in saved.over.values():
            for key in keys:
                self.copies.pop(key, None)


@dataclass
class Worker:
    """A worker's sink and table, and the rows they come to. Its topic and websites are no other test's."""

    topic: str
    website_id: int
    sink: Any
    table: FakeTable
    gone: set[int] = field(default_factory=set)
    told: list[dict[int, list[Active]]] = field(default_factory=list)
    sent: list[dict[int, list[Seen]]] = field(default_factory=list)
    log: Mock = field(default_factory=Mock)
    next_offset: Counter[int] = field(default_factory=Counter)
    session_key: str = field(default_factory=lambda: secrets.token_hex(16))

    def rules_of(self, website_id: int) -> Rules | None:
        return None if website_id in self.gone else Rules()

    def records(self, *hits: AnyHit, partition: int = 0, writer: str = "edge-1") -> list[Record]:
        """Each hit as the next record of its partition."""
        made = []
        for hit in hits:
            made.append(make_record(self.next_offset[partition], hit, writer=writer, partition=partition))
            self.next_offset[partition] += 1
        return made

    async def store(self, records: Sequence[Record]) -> list[Any]:
        """Store a batch as the agent does: the table is written after the commit."""
        written: list[Any] = await self.sink.store(records)
        for one in written:
            self.table.keep(one.after)
        return written

    async def rows(self, query: str, *given: Any) -> list[Any]:
        from analytics_app.db import batch_transaction

        async with batch_transaction() as db:
            return await (await db.execute(query, given or None)).fetchall()

    async def value(self, query: str, *given: Any) -> Any:
        ((found,),) = await self.rows(query, *given)
        return found

    async def event_ids(self) -> list[int]:
        found = await self.rows("SELECT id FROM events WHERE website_id = %s ORDER BY id", self.website_id)
        return [event_id for (event_id,) in found]

    async def position(self, partition: int = 0) -> int | None:
        found = await self.rows(
            "SELECT next_offset FROM stream_positions WHERE topic = %s AND partition = %s", self.topic, partition
        )
        return found[0][0] if found else None

    async def outcomes(self) -> dict[str, int]:
        """How many hits ended how; that they add up is checked."""
        query = "SELECT outcome, sum(hits)::int FROM stream_outcomes WHERE topic = %s GROUP BY outcome"
        found = dict(await self.rows(query, self.topic))
        assert found.get("received", 0) == sum(hits for outcome, hits in found.items() if outcome != "received")
        return found

    async def failures(self) -> list[tuple[int, int, bytes, str]]:
        query = 'SELECT partition, "offset", value, error FROM failed_records WHERE topic = %s ORDER BY id'
        return [tuple(row) for row in await self.rows(query, self.topic)]

    async def differences(self, *website_ids: int) -> list[Any]:
        """What of the rows is not what a recount gives."""
        from analytics_app.db import snapshot
        from analytics_app.verify.store import recount

        async with snapshot() as db:
            return await recount(db, bounce_engaged_s=10, website_ids=website_ids or [self.website_id])

    async def sessions(self, *website_ids: int) -> dict[int, SessionRow]:
        """The sessions by id, as the ledger has them."""
        query = """
            SELECT s.id, s.website_id, v.hash, s.started_at, s.last_at, s.pageviews, s.events, s.engaged_s, s.is_bounce,
                (SELECT text FROM terms WHERE id = s.entry_path), (SELECT text FROM terms WHERE id = s.exit_path),
                coalesce((SELECT text FROM terms WHERE id = s.source), ''),
                coalesce((SELECT text FROM terms WHERE id = s.country), '')
            FROM sessions s JOIN visitors v ON v.number = s.visitor AND v.website_id = s.website_id
            WHERE s.website_id = ANY(%s::int[])"""
        found = await self.rows(query, list(website_ids or [self.website_id]))
        return {
            row[0]: SessionRow(row[1], row[2].hex, *(round(at.timestamp() * 1000) for at in row[3:5]), *row[5:])
            for row in found
        }


@pytest.fixture(scope="session")
async def pool(database: str) -> AsyncIterator[None]:
    """The process' pool on the tests' database."""
    from analytics_app.db import dispose

    await dispose()
    yield
    await dispose()


@pytest.fixture
def worker(pool: None, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker of its own."""
    return new_worker(monkeypatch)


def new_worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    from agents import sessions as agent
    from agents import sink

    topic = f"hits-{secrets.token_hex(4)}"
    made = Worker(topic, next(_website_ids), sink.Sink(topic, agent.write), FakeTable())

    async def tell(folded: Folded) -> None:
        made.told.append(activity_of(folded))
        made.sent.append(senders_of(folded, 4))

    monkeypatch.setattr(sink, "log", made.log)  # telling a refused batch at length takes seconds
    monkeypatch.setattr(agent, "sessions", made.table)
    monkeypatch.setattr(agent, "_tell", tell)
    monkeypatch.setattr(agent.DEFINITIONS, "rules", lambda: made.rules_of)
    return made
