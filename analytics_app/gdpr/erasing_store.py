"""SQL of erasures: who must not come back, and what else than sessions tells of a visitor."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from analytics_app.arrays import numbers
from analytics_app.db import AsyncDriver
from analytics_app.gdpr.logic import Erasure, Subject

# Who must not come back.

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""When a visitor who was only anonymised was erased."""


async def remember(
    db: AsyncDriver, subject: Subject, action: Literal["delete", "anonymise"], now: datetime, until: datetime
) -> None:
    """Have what a visitor sent up to `now` left out, or made nobody's, from here on. The website must be held alone."""
    column = {"delete": "at", "anonymise": "anonymised_at"}[action]
    at, anonymised_at = {"delete": (now, None), "anonymise": (NEVER, now)}[action]
    await db.execute(
        "INSERT INTO erasures (website_id, visitor, at, anonymised_at, forgotten_at) VALUES (%s, %s::uuid, %s, %s, %s) "
        f"ON CONFLICT (website_id, visitor) DO UPDATE SET {column} = excluded.{column}, "
        "forgotten_at = excluded.forgotten_at",
        (subject.website_id, subject.visitor, at, anonymised_at, until),
    )


async def erasures_of(db: AsyncDriver, website_ids: Collection[int]) -> list[Erasure]:
    """The erasures on those websites that are remembered."""
    rows = await db.execute(
        "SELECT website_id, replace(visitor::text, '-', ''), ceil(extract(epoch FROM done) * 1000)::bigint, action "
        "FROM erasures, LATERAL (VALUES (at, 'delete'), (anonymised_at, 'anonymise')) AS each (done, action) "
        "WHERE website_id = ANY(%s::int[]) AND done IS NOT NULL",
        (numbers(sorted(website_ids)),),
    )
    return [Erasure(*row) async for row in rows]


# The visitor's own row.


async def lock_number(db: AsyncDriver, website_id: int, visitor: str) -> int | None:
    """The visitor's number in rows, its row locked; None where it has none."""
    answer = await db.execute(
        "SELECT number FROM visitors WHERE website_id = %s AND hash = %s::uuid FOR UPDATE", (website_id, visitor)
    )
    row = await answer.fetchone()
    return row[0] if row else None


async def number_of(db: AsyncDriver, website_id: int, visitor: str) -> int | None:
    """The visitor's number in rows; None where it has none."""
    answer = await db.execute(
        "SELECT number FROM visitors WHERE website_id = %s AND hash = %s::uuid", (website_id, visitor)
    )
    row = await answer.fetchone()
    return row[0] if row else None


async def forget_hash(db: AsyncDriver, subject: Subject) -> int:
    """Put a random hash in the place of the visitor's: its rows stay, and lead to nobody. Returns how many rows."""
    answer = await db.execute(
        "UPDATE visitors SET hash = gen_random_uuid() WHERE website_id = %s AND number = %s",
        (subject.website_id, subject.number),
    )
    return answer.rowcount


async def visitor_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """The visitor itself."""
    rows = await db.execute(
        "SELECT first_seen_at FROM visitors WHERE website_id = %s AND number = %s",
        (subject.website_id, subject.number),
    )
    return [{"visitor_hash": subject.visitor, "first_seen_at": at} async for (at,) in rows]


# What they consented to.


async def consents_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """Everything the visitor said about consent, in order."""
    rows = await db.execute(
        "SELECT status, policy_version, at FROM consent_changes WHERE website_id = %s AND visitor = %s::uuid "
        "ORDER BY id",
        (subject.website_id, subject.visitor),
    )
    return [{"status": status, "policy_version": version, "at": at} async for status, version, at in rows]


async def remove_consents(db: AsyncDriver, subject: Subject) -> None:
    """Delete what the visitor said about consent."""
    for table in ("consents", "consent_changes"):
        await db.execute(
            f"DELETE FROM {table} WHERE website_id = %s AND visitor = %s::uuid", (subject.website_id, subject.visitor)
        )


# Failed records.


async def remove_failed(db: AsyncDriver, subject: Subject) -> int:
    """Delete the failed records that name the visitor, by hash or by number; returns how many.

    One that holds other visitors' hits too goes whole: it could not be read, so it cannot be taken apart.
    """
    named = [subject.visitor.encode()]
    if subject.number is not None:
        named += [b'"visitor":%d%b' % (subject.number, end) for end in (b",", b"}")]
    answer = await db.execute(
        "DELETE FROM failed_records WHERE EXISTS "
        "(SELECT FROM unnest(%s::bytea[]) AS name WHERE position(name IN value) > 0)",
        (named,),
    )
    return answer.rowcount


# Texts that no row names any more.

TERM_COLUMNS: dict[str, tuple[str, ...]] = {
    "events": ("path", "name", "title"),
    "sessions": (
        "entry_path", "exit_path", "host", "referrer", "source", "channel", "utm_source", "utm_medium", "utm_campaign",
        "utm_term", "utm_content", "country", "device_type", "browser", "browser_version", "os", "os_version",
        "language", "screen",
    ),
    "heatmap_pages": ("page",),
}  # fmt: skip
"""By table of a website's rows, the columns that hold numbers of terms."""


async def websites_with_terms(db: AsyncDriver) -> list[int]:
    """The websites of which there are texts."""
    rows = await db.execute("SELECT DISTINCT website_id FROM terms ORDER BY 1")
    return [website_id async for (website_id,) in rows]


async def unnamed_terms(db: AsyncDriver, website_id: int) -> list[int]:
    """The numbers of the website's texts that no row names: of who was erased, of bots, of what was too old.

    A batch that is under way may name one meanwhile: `remove_unnamed` looks again.
    """
    named = " UNION ALL ".join(
        f"SELECT unnest(ARRAY[{', '.join(columns)}]) FROM {table} WHERE website_id = %(website_id)s"
        for table, columns in TERM_COLUMNS.items()
    )
    rows = await db.execute(
        f"SELECT id FROM terms WHERE website_id = %(website_id)s EXCEPT ({named}) ORDER BY 1",
        {"website_id": website_id},
    )
    return [term async for (term,) in rows]


async def hold_batches(db: AsyncDriver) -> None:
    """Return once no batch is being stored, and let none begin until the transaction ends: they wait, or try again."""
    await db.execute("LOCK TABLE stream_positions IN EXCLUSIVE MODE")


async def remove_unnamed(db: AsyncDriver, website_id: int, terms: Collection[int]) -> int:
    """Delete those of `terms` that no row names, while batches are held; returns how many.

    Processes that know the number of a deleted one are told by the website's version of `terms`.
    """
    left = set(terms)
    for table, columns in TERM_COLUMNS.items():
        named = " OR ".join(f"{column} = ANY(%(terms)s::int[])" for column in columns)
        rows = await db.execute(
            f"SELECT DISTINCT unnest(ARRAY[{', '.join(columns)}]) FROM {table} "
            f"WHERE website_id = %(website_id)s AND ({named})",
            {"website_id": website_id, "terms": sorted(left)},
        )
        left -= {term async for (term,) in rows}
    if not left:
        return 0
    answer = await db.execute(
        "DELETE FROM terms WHERE website_id = %s AND id = ANY(%s::int[])", (website_id, sorted(left))
    )
    await db.execute(
        "INSERT INTO definition_versions AS d (website_id, kind, version) VALUES (%s, 'terms', 1) "
        "ON CONFLICT (website_id, kind) DO UPDATE SET version = d.version + 1",
        (website_id,),
    )
    return answer.rowcount


# Receipts.


async def open_receipts(db: AsyncDriver) -> list[tuple[int, int]]:
    """The receipts that are not finished, as (id, website)."""
    rows = await db.execute("SELECT id, website_id FROM gdpr_receipts WHERE finished_at IS NULL ORDER BY id")
    return [row async for row in rows]


async def finish_receipts(db: AsyncDriver, receipt_ids: Sequence[int], now: datetime) -> None:
    """Note that nothing is left to be removed for those receipts."""
    await db.execute("UPDATE gdpr_receipts SET finished_at = %s WHERE id = ANY(%s::int[])", (now, sorted(receipt_ids)))
