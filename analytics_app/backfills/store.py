"""SQL of backfills: asking for one, taking its steps, and keeping it apart from what else changes rows."""

from collections.abc import Collection, Sequence
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlalchemy import Row, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.arrays import numbers
from analytics_app.backfills.logic import TRIES, Backfill, Step, pause_s
from analytics_app.backfills.models import BackfillRow, DefinitionVersionRow
from analytics_app.db import AsyncDriver

_LOCK = 7_203_120  # the first of the two keys of a website's advisory lock; the second is its id
_COLUMNS = "kind, definition_id, website_id, run, state, cursor, done, total, failures"


async def request(db: AsyncConnection, kind: str, website_id: int, definition_id: int) -> None:
    """Have a definition computed over the stored history (again), from the commit of this transaction on.

    To be called in the transaction that makes the definition, changes what it finds, or deletes it.
    """
    fresh: dict[str, Any] = {
        "state": "waiting",
        "cursor": None,
        "done": 0,
        "total": 0,
        "failures": 0,
        "error": None,
        "started_at": None,
        "finished_at": None,
    }
    query = insert(BackfillRow).values(
        kind=kind, definition_id=definition_id, website_id=website_id, run=1, **fresh | {"cursor": text("NULL")}
    )
    await db.execute(
        query.on_conflict_do_update(
            index_elements=[BackfillRow.kind, BackfillRow.definition_id],
            set_={
                **fresh,
                "cursor": text("NULL"),
                "run": BackfillRow.run + 1,
                "requested_at": func.now(),
                "next_try_at": func.now(),
            },
        )
    )


async def backfill_of(db: AsyncConnection, kind: str, definition_id: int) -> Row[Any] | None:
    """The latest backfill of a definition; None where there never was one."""
    query = select(BackfillRow.__table__).where(BackfillRow.kind == kind, BackfillRow.definition_id == definition_id)
    return (await db.execute(query)).first()


async def hold_back(db: AsyncDriver, website_id: int, *_: Sequence[int]) -> None:
    """Keep backfills of the website from taking steps until this transaction ends; waits for one under way.

    Called where sessions are gone, before what was derived from them is removed (`analytics_app.removal`): a step would
    otherwise write what it derived from rows that are gone.
    """
    await db.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK, website_id))


async def forget_website(db: AsyncConnection, website_id: int) -> None:
    """Delete the backfills of a website, and the versions of what it defined."""
    await db.execute(delete(BackfillRow).where(BackfillRow.website_id == website_id))
    await db.execute(delete(DefinitionVersionRow).where(DefinitionVersionRow.website_id == website_id))


# Running.


async def due(db: AsyncDriver) -> list[Backfill]:
    """The backfills that are to go on, in the order they were asked for."""
    async with db.cursor(row_factory=class_row(Backfill)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM backfills WHERE state IN ('waiting', 'running') AND next_try_at <= now() "
            "ORDER BY requested_at, kind, definition_id"
        )
        return await cursor.fetchall()


async def batches_under_way(db: AsyncDriver) -> set[str]:
    """The transactions that are storing a batch at this moment: those that hold a partition's position."""
    rows = await db.execute(
        "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND granted AND mode <> 'AccessShareLock' "
        "AND relation = 'stream_positions'::regclass "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return {transaction async for (transaction,) in rows}


async def taken(db: AsyncDriver, job: Backfill) -> Backfill | None:
    """The backfill as it is now, to take a step of; None where it is over, asked for anew, or another's turn."""
    mine = await db.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", (_LOCK, job.website_id))
    got = await mine.fetchone()
    if not (got and got[0]):
        return None
    async with db.cursor(row_factory=class_row(Backfill)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM backfills WHERE kind = %s AND definition_id = %s AND run = %s "
            "AND state IN ('waiting', 'running')",
            (job.kind, job.definition_id, job.run),
        )
        return await cursor.fetchone()


async def note(db: AsyncDriver, job: Backfill, step: Step) -> bool:
    """Note what a step came to; returns False, and notes nothing, where the backfill was asked for anew meanwhile."""
    key = (job.kind, job.definition_id, job.run)
    if step.cursor is None and step.forget:
        query = "DELETE FROM backfills WHERE kind = %s AND definition_id = %s AND run = %s"
        return (await db.execute(query, key)).rowcount > 0
    over = step.cursor is None
    noted = await db.execute(
        "UPDATE backfills SET state = %s, cursor = %s, done = done + %s, total = coalesce(%s, total), failures = 0, "
        "error = NULL, started_at = coalesce(started_at, now()), finished_at = CASE WHEN %s THEN clock_timestamp() END "
        "WHERE kind = %s AND definition_id = %s AND run = %s",
        ("done" if over else "running", None if over else Jsonb(step.cursor), step.done, step.total, over, *key),
    )
    return noted.rowcount > 0


async def note_failure(db: AsyncDriver, job: Backfill, error: str) -> None:
    """Note that a step failed; after `TRIES` the backfill has."""
    failures = job.failures + 1
    await db.execute(
        "UPDATE backfills SET failures = %s, error = %s, state = CASE WHEN %s THEN 'failed' ELSE state END, "
        "next_try_at = now() + %s * interval '1 second' WHERE kind = %s AND definition_id = %s AND run = %s",
        (
            failures,
            error[:1000],
            failures >= TRIES,
            pause_s(failures),
            job.kind,
            job.definition_id,
            job.run,
        ),
    )


# Versions.


async def versions_of(db: AsyncDriver, website_ids: Collection[int]) -> dict[tuple[str, int], int]:
    """The versions of what those websites define, by kind and website; what never changed is missing."""
    rows = await db.execute(
        "SELECT kind, website_id, version FROM definition_versions WHERE website_id = ANY(%s::int[])",
        (numbers(sorted(website_ids)),),
    )
    return {(kind, website_id): version async for kind, website_id, version in rows}
