"""What Postgres holds of the load."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

LOOKED_EVERY_S = 0.02
STILL_S = 1.5
"""A batch of funnels waits for less."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many hits ended how, and how many pageviews there are as rows and in the rollups."""

    stored: int
    not_counted: int
    """Repeats, ignored and failed ones: taken from the stream and not stored."""
    rows: int = 0
    in_rollups: int = 0

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(
            self.stored - other.stored,
            self.not_counted - other.not_counted,
            self.rows - other.rows,
            self.in_rollups - other.in_rollups,
        )


class Database:
    """The service's Postgres, looked at from outside."""

    def __init__(self, db: "psycopg.Connection[Any]") -> None:
        self.db = db

    def settled(self) -> Counts:
        """How many hits are settled now. Their count is committed with their rows and rollups, and cheap to read."""
        row = self.db.execute(
            "SELECT coalesce(sum(hits) FILTER (WHERE outcome = 'stored'), 0)::bigint, coalesce(sum(hits) FILTER "
            "(WHERE outcome IN ('duplicate', 'failed') OR outcome LIKE 'ignored%'), 0)::bigint "
            "FROM stream_outcomes WHERE topic LIKE '%hits'"
        ).fetchone()
        assert row is not None
        return Counts(row[0], row[1])

    def counts(self) -> Counts:
        """The same, and every row counted."""
        row = self.db.execute(
            "SELECT (SELECT count(*) FROM events WHERE kind = 1), "
            "(SELECT coalesce(sum(pageviews), 0)::bigint FROM traffic_rollups)"
        ).fetchone()
        assert row is not None
        settled = self.settled()
        return Counts(settled.stored, settled.not_counted, row[0], row[1])

    def records(self) -> int:
        """How many records of hits were stored ever."""
        return int(
            self._one("SELECT coalesce(sum(next_offset), 0)::bigint FROM stream_positions WHERE topic LIKE '%hits'")
        )

    def live_sessions(self) -> int:
        """How many session ids have a state that a hit may still change."""
        return int(self._one("SELECT count(*) FROM session_states"))

    def bytes(self) -> int:
        """What the database takes on disk."""
        return int(self._one("SELECT pg_database_size(current_database())"))

    def wait_until_followed(self) -> float | None:
        """Wait until visitors have been followed through funnels; returns when the last was, None if none was.

        What lies on their topic is seen by whether its position still moves.
        """
        last, moved_at, began = self._followed(), None, time.monotonic()
        while time.monotonic() - (moved_at or began) < STILL_S:
            time.sleep(LOOKED_EVERY_S)
            if (found := self._followed()) != last:
                last, moved_at = found, time.monotonic()
        return moved_at

    def _followed(self) -> int:
        return int(
            self._one(
                "SELECT coalesce(sum(next_offset), 0)::bigint FROM stream_positions WHERE topic LIKE '%visitor-events'"
            )
        )

    def _one(self, query: LiteralString) -> Any:
        row = self.db.execute(query).fetchone()
        assert row is not None
        return row[0]

    def wait_until_settled(self, before: Counts, hits: int, within_s: float) -> float | None:
        """Wait until `hits` more than `before` are settled; returns when that was, by the monotonic clock.

        None where it takes longer than `within_s` with nothing being settled meanwhile.
        """
        last, moved_at = -1, time.monotonic()
        while True:
            found = self.settled() - before
            now, done = time.monotonic(), found.stored + found.not_counted
            if done >= hits:
                return now
            if done != last:
                last, moved_at = done, now
            elif now - moved_at > within_s:
                return None
            time.sleep(LOOKED_EVERY_S)


@contextmanager
def database(url: str) -> Iterator[Database]:
    """The Postgres at `url`."""
    with psycopg.connect(url, autocommit=True) as db:
        yield Database(db)
