"""Funnels on a real Postgres, without Kafka: what is told waits, and is followed when a test says so."""

import secrets
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from analytics_app.db import batch_transaction, transaction
from analytics_app.jobs import backfilling
from analytics_app.stream.logic import Record
from tests import funnel_oracle as oracle
from tests.agents.conftest import FakeTable, Worker

KIND = "funnels"


@dataclass
class Follower:
    """A worker's sink of visitors' events and its table, with what was told and is still on the topic."""

    worker: Worker
    sink: Any
    topic: str
    table: FakeTable = field(default_factory=FakeTable)
    waiting: list[tuple[int, bytes]] = field(default_factory=list)
    next_offset: Counter[int] = field(default_factory=Counter)

    async def told(self, _: Any, records: Any) -> None:
        """In the place of Kafka."""
        self.waiting += [(partition, value) for _, value, partition in records]

    async def follow(self, most: int = 1_000_000) -> None:
        """Store the records that wait, as the agent does, up to `most` of them."""
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        records: list[Record] = []
        for partition, value in taken:
            records.append(Record(partition, self.next_offset[partition], value))
            self.next_offset[partition] += 1
        for one in await self.sink.store(records):
            self.table.keep(one.after)

    async def define(self, *steps: oracle.Step, is_strict: bool = False, window_hours: int = 1) -> int:
        """Make a funnel of the worker's website, which is made where it is missing; returns its id."""
        from analytics_app.funnels import store

        website_id = self.worker.website_id
        async with batch_transaction() as db:
            await db.execute("INSERT INTO workspaces (name) VALUES ('tests') ON CONFLICT DO NOTHING")
            await db.execute(
                "INSERT INTO websites (id, workspace_id, name, host) OVERRIDING SYSTEM VALUE "
                "SELECT %s, id, 'A site', 'example.com' FROM workspaces WHERE name = 'tests' ON CONFLICT DO NOTHING",
                (website_id,),
            )
        async with transaction() as db:
            values = {"name": "A funnel", "is_strict": is_strict, "window_hours": window_hours}
            funnel_id = await store.add_funnel(db, website_id, values)
        await self.change(funnel_id, *steps)
        return funnel_id

    async def change(self, funnel_id: int, *steps: oracle.Step) -> None:
        """Give a funnel other steps, as the API does."""
        from analytics_app.backfills import store as backfills
        from analytics_app.funnels import store

        async with transaction() as db:
            await store.put_steps(db, funnel_id, [{"name": "A step", **vars(step)} for step in steps])
            await backfills.request(db, KIND, self.worker.website_id, funnel_id)

    async def backfill(self, most: int = 1_000) -> None:
        """Take up to `most` turns of what is to be gone through."""
        for _ in range(most):
            if not await backfilling.run_once():
                return

    async def take_out(self, session_id: int) -> None:
        """Remove a session as a verdict does."""
        from analytics_app.removal import remove
        from analytics_app.sessions.removal_store import hold_alone

        async with batch_transaction() as db:
            await hold_alone(db, self.worker.website_id)
            await remove(db, self.worker.website_id, [session_id])

    async def stored(self) -> dict[int, list[tuple[int, oracle.Attempt]]]:
        """The attempts stored, by funnel, with their visitors."""
        rows = await self.worker.rows(
            "SELECT r.funnel_id, visitor, event_id, (extract(epoch FROM started_at) * 1000)::bigint, session_id, "
            "offsets_ms, required, is_open, r.revision = f.revision, taken FROM funnel_runs r "
            "JOIN funnels f ON f.id = r.funnel_id WHERE f.website_id = %s ORDER BY 1, 2, 4, 3",
            self.worker.website_id,
        )
        found: dict[int, list[tuple[int, oracle.Attempt]]] = {}
        for funnel_id, visitor, event_id, started_ms, session_id, offsets, required, is_open, is_present, taken in rows:
            assert is_present, "attempts of an earlier revision are removed"
            assert taken == sum(offset is not None for offset in offsets)
            attempt = oracle.Attempt(event_id, started_ms, session_id, tuple(offsets), required, is_open)
            found.setdefault(funnel_id, []).append((visitor, attempt))
        return found

    async def expected(self) -> dict[int, list[tuple[int, oracle.Attempt]]]:
        """What brute force finds in the stored events, by the funnels as they are defined."""
        website_id = self.worker.website_id
        happened: dict[int, list[oracle.Happened]] = defaultdict(list)
        for visitor, *one in await self.worker.rows(
            "SELECT visitor, (extract(epoch FROM at) * 1000)::bigint, e.id, session_id, e.kind, coalesce(t.text, '') "
            "FROM events e LEFT JOIN terms t ON t.id = CASE WHEN e.kind = 1 THEN e.path ELSE e.name END "
            "WHERE e.website_id = %s",
            website_id,
        ):
            happened[visitor].append(oracle.Happened(*one))
        found: dict[int, list[tuple[int, oracle.Attempt]]] = {}
        for funnel_id, is_strict, window_hours in await self.worker.rows(
            "SELECT id, is_strict, window_hours FROM funnels WHERE website_id = %s ORDER BY id", website_id
        ):
            query = (
                "SELECT match_type, match_value, is_optional FROM funnel_steps WHERE funnel_id = %s ORDER BY position"
            )
            steps = [oracle.Step(*row) for row in await self.worker.rows(query, funnel_id)]
            attempts = [
                (visitor, attempt)
                for visitor in sorted(happened)
                for attempt in oracle.attempts(steps, is_strict, window_hours * 3_600_000, happened[visitor])
            ]
            if attempts:
                found[funnel_id] = attempts
        return found


def new_follower(worker: Worker, monkeypatch: Any) -> Follower:
    """The follower of what that worker tells."""
    from agents import funnels, sessions, sink
    from analytics_app.records import VISITOR_EVENTS

    topic = f"visitor-events-{secrets.token_hex(4)}"
    made = Follower(worker, sink.Sink(topic, funnels.write, VISITOR_EVENTS), topic)
    monkeypatch.setattr(sessions, "told", made.told)
    monkeypatch.setattr(funnels, "funnel_progress", made.table)
    return made
