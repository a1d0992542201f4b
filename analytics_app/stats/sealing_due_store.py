"""What is to be sealed: of which websites, which days, and which parts of days that cannot be yet."""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.stats.spans import DAY, HOUR, PART, Piece, quarters


async def seal_worthy(db: AsyncConnection, before: datetime, events: int, within: timedelta) -> list[int]:
    """The websites with seals, and those that had so many events `within` the time before `before`."""
    rows = await db.execute(
        text(
            "SELECT id FROM websites w WHERE deleted_at IS NULL AND ("
            "EXISTS (SELECT FROM seals s WHERE s.website_id = w.id) OR (SELECT count(*) FROM ("
            "SELECT FROM events e WHERE e.website_id = w.id AND e.at >= :since AND e.at < :before LIMIT :events"
            ") AS first_ones) >= :events) ORDER BY id"
        ),
        {"since": before - within, "before": before, "events": events},
    )
    return list(rows.scalars())


_DAYS_TO_SEAL = text("""
WITH bounds AS (
    SELECT (SELECT date_bin('1 day', min(bucket), 'epoch')
            FROM traffic_rollups WHERE website_id = :website_id) AS begun,
        (SELECT min(start) FROM seals WHERE website_id = :website_id AND span = :day) AS sealed_from,
        (SELECT max(start) FROM seals WHERE website_id = :website_id AND span = :day) AS sealed_to
)
SELECT day FROM bounds,
    generate_series(begun, least(sealed_from - interval '1 day', :until), interval '1 day') AS day
UNION
SELECT day FROM bounds, generate_series(coalesce(sealed_to + interval '1 day', begun), :until, interval '1 day') AS day
UNION
SELECT start FROM seals s WHERE website_id = :website_id AND span = :day AND state = 1 AND start <= :until
    AND NOT EXISTS (SELECT FROM sealed_columns c WHERE c.website_id = s.website_id AND c.start = s.start)
UNION
SELECT start FROM seals, LATERAL (SELECT start + interval '1 day' AS ended) AS its
WHERE website_id = :website_id AND span = :day AND state <> 1 AND start <= :until AND :now >= CASE
    WHEN state = 0 OR changed_at >= ended + interval '26 hours' THEN changed_at + interval '10 minutes'
    ELSE ended + least(2 * (changed_at - ended), interval '26 hours') END
ORDER BY day
""")


async def days_to_seal(db: AsyncConnection, website_id: int, now: datetime, until: datetime) -> list[Piece]:
    """The website's days up to that of `until` that are not sealed and should be, the earliest first.

    One that was changed soon after its end is likely to be changed again: it rests for as long as it was old then.
    """
    last = until.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = await db.execute(_DAYS_TO_SEAL, {"website_id": website_id, "day": DAY, "until": last, "now": now})
    return [Piece(DAY, quarters(start)) for start in rows.scalars()]


_LENGTH = f"interval '{PART // HOUR} hours'"
_PARTS_TO_SEAL = text(f"""
SELECT part FROM generate_series(:since, :until, {_LENGTH}) AS part
WHERE part + {_LENGTH} <= :until
    AND NOT EXISTS (SELECT FROM seals WHERE website_id = :website_id AND span = :day
        AND start = date_bin('1 day', part, 'epoch'))
    AND NOT EXISTS (SELECT FROM seals WHERE website_id = :website_id AND span = :part AND start = part
        AND (state = 1 OR changed_at > :now - CASE state WHEN 0 THEN interval '10 minutes'
            ELSE greatest(interval '10 minutes', changed_at - (part + {_LENGTH})) END))
ORDER BY part
""")


async def parts_to_seal(db: AsyncConnection, website_id: int, now: datetime, until: datetime) -> list[Piece]:
    """The parts, over by `until`, of today and yesterday that are to be sealed while these days are not.

    One that was changed rests for as long as it was old then.
    """
    since = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    given = {"website_id": website_id, "day": DAY, "part": PART, "since": since, "until": until, "now": now}
    rows = await db.execute(_PARTS_TO_SEAL, given)
    return [Piece(PART, quarters(start)) for start in rows.scalars()]
