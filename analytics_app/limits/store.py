"""The common budget of all web processes, in Postgres: one row for all, one for each key, one for each process."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.limits.logic import Lease, Limit, Report, granted

# A lost lease is worth less than the wait for the disk.
_NOT_WAITING = text("SET LOCAL synchronous_commit = off")

# The first statement locks the row: leases are given one after the other.
_WINDOW = text("""
INSERT INTO rate_budgets AS b (name, tokens, refilled_at, asked_at)
VALUES ('all', 0, statement_timestamp(), statement_timestamp())
ON CONFLICT (name) DO UPDATE SET
    tokens = CASE WHEN b.refilled_at + :period <= statement_timestamp() THEN 0 ELSE b.tokens END,
    refilled_at = CASE WHEN b.refilled_at + :period <= statement_timestamp()
                       THEN statement_timestamp() ELSE b.refilled_at END,
    asked_at = statement_timestamp()
RETURNING tokens, refilled_at,
    extract(epoch FROM refilled_at + :period - clock_timestamp())::float AS left_s,
    refilled_at = asked_at AS is_new
""")

_NOTE = text("""
INSERT INTO rate_budgets AS b (name, tokens, refilled_at, asked_at)
SELECT name, used, :window, clock_timestamp()
FROM unnest(CAST(:names AS text[]), CAST(:counts AS float[])) AS told (name, used)
ORDER BY name
ON CONFLICT (name) DO UPDATE SET
    tokens = CASE WHEN b.refilled_at = excluded.refilled_at THEN b.tokens ELSE 0 END + excluded.tokens,
    refilled_at = excluded.refilled_at,
    asked_at = excluded.asked_at
""")

_STANDING = text("""
SELECT
    coalesce(sum(greatest(0, tokens - :most)) FILTER (WHERE name LIKE 'key:%' AND refilled_at = :window), 0) AS excess,
    count(*) FILTER (WHERE name LIKE 'process:%') AS processes,
    (array_agg(name ORDER BY asked_at DESC) FILTER (WHERE name LIKE 'key:%'))[1:2] AS rivals
FROM rate_budgets
WHERE asked_at > clock_timestamp() - CAST(:period AS interval)
""")

_USED = text("SELECT name, tokens FROM rate_budgets WHERE name = ANY(:names) AND refilled_at = :window")

_GIVE = text("UPDATE rate_budgets SET tokens = greatest(0, tokens + :change) WHERE name = 'all'")

_FORGET = text("""
DELETE FROM rate_budgets WHERE name <> 'all' AND asked_at < clock_timestamp() - 2 * CAST(:period AS interval)
""")


async def lease(db: AsyncConnection, limit: Limit, process: str, report: Report) -> Lease:
    """Take over what a process reports, and give it what is left of what it wants.

    Written twice (the answer was lost), a report counts twice: too much rather than too little is taken for used.
    """
    period = timedelta(seconds=limit.period_s)
    await db.execute(_NOT_WAITING)
    window = (await db.execute(_WINDOW, {"period": period})).one()
    same = report.window == window.refilled_at
    told = {f"key:{key}": float(report.used.get(key, 0) if same else 0) for key in report.asked | set(report.used)}
    await db.execute(
        _NOTE,
        {
            "window": window.refilled_at,
            "names": [*told, f"process:{process}"],
            "counts": [*told.values(), 0.0],
        },
    )
    about = {"window": window.refilled_at, "period": period}
    standing = (await db.execute(_STANDING, {**about, "most": limit.most_for_one})).one()
    used = await db.execute(_USED, {"names": list(told), "window": window.refilled_at})
    rivals = [_key(name) for name in standing.rivals or ()]
    leased = int(window.tokens) - (report.returned if same else 0)
    tokens = granted(limit, report.wanted, leased, int(standing.excess), others_ask=len(rivals) > 1)
    await db.execute(_GIVE, {"change": float(leased + tokens - window.tokens)})
    if window.is_new:
        await db.execute(_FORGET, {"period": period})
    return Lease(
        window=window.refilled_at,
        left_s=window.left_s,
        tokens=tokens,
        used={_key(row.name): int(row.tokens) for row in used},
        rivals=rivals,
        processes=standing.processes,
    )


def _key(name: str) -> int:
    return int(name.removeprefix("key:"))
