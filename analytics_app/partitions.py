"""Monthly partitions of events, sessions and samples: named `events_2026_11`, made ahead, dropped by retention."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, text

PARTITIONED = {"events": "at", "sessions": "started_at", "heatmap_samples": "at", "heatmap_reaches": "day"}
"""The tables that are partitioned, and the column by which."""
AHEAD_MONTHS = 3
BACK_MONTHS = 1
_NAME = re.compile(rf"^({'|'.join(PARTITIONED)})_(\d{{4}}_\d{{2}}|other)(_|$)")


def is_partition(name: str) -> bool:
    """Whether `name` is that of a partition, or of an index on one."""
    return _NAME.match(name) is not None


def months(first: datetime, last: datetime) -> Iterator[datetime]:
    """The first moment of every month from that of `first` to that of `last`, both included, in UTC."""
    at = datetime(first.year, first.month, 1, tzinfo=UTC)
    while at <= last:
        yield at
        at = following(at)


def following(month: datetime) -> datetime:
    """The first moment of the month after."""
    return datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)


def shifted(month: datetime, by: int) -> datetime:
    """The first moment of the month `by` months away."""
    index = month.year * 12 + month.month - 1 + by
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


def make_partitions(db: Connection, first: datetime, last: datetime) -> list[str]:
    """Make what is missing of the months from `first` to `last`; returns the names of the new ones.

    Beside them stands a default partition for rows of any other month, so that no row is ever refused.
    """
    made = []
    present = set(db.execute(text("SELECT relname FROM pg_class WHERE relkind = 'r'")).scalars())
    for table in PARTITIONED:
        if f"{table}_other" not in present:
            db.execute(text(f"CREATE TABLE {table}_other PARTITION OF {table} DEFAULT"))
        for month in months(first, last):
            name = f"{table}_{month:%Y_%m}"
            if name not in present:
                _make(db, table, name, month)
                made.append(name)
    return made


def _make(db: Connection, table: str, name: str, month: datetime) -> None:
    """Make one partition; rows of its month that lie in the default one move into it."""
    column = PARTITIONED[table]
    bounds = {"start": month, "end": following(month)}
    quoted = f"FROM ('{bounds['start'].isoformat()}') TO ('{bounds['end'].isoformat()}')"
    db.execute(
        text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 85)")
    )
    db.execute(
        text(
            f"WITH moved AS (DELETE FROM {table}_other WHERE {column} >= :start AND {column} < :end RETURNING *) "  # noqa: S608
            f"INSERT INTO {name} SELECT * FROM moved"
        ),
        bounds,
    )
    db.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {quoted}"))


def around(now: datetime) -> tuple[datetime, datetime]:
    """The months that must have partitions at `now`: the one before, and three ahead."""
    return shifted(now, -BACK_MONTHS), shifted(now, AHEAD_MONTHS)
