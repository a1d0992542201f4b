"""A backfill as the API shows it."""

from typing import Any

from pydantic import Field

from analytics_app.backfills.logic import BackfillState, percent
from analytics_app.shapes import Instant, Shape


class BackfillOut(Shape):
    """How far the computation over the stored history is."""

    state: BackfillState = Field(description="waiting, running (numbers still grow), done, or failed")
    percent: float = Field(examples=[42.5])
    done: int = Field(description="Stored events looked at")
    total: int = Field(description="Stored events to look at")
    requested_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    error: str | None = Field(description="Of the step that failed last")

    @classmethod
    def of(cls, row: Any) -> "BackfillOut":
        """The answer for a row of `backfills`."""
        return cls(
            state=row.state,
            percent=percent(row.state, row.done, row.total),
            done=row.done,
            total=max(row.total, row.done),
            requested_at=row.requested_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            error=row.error,
        )
