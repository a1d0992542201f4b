"""What a backfill is: the computation of one definition (a goal, a funnel) over a website's stored history. Pure.

How it fits together with live counting, so that nothing is missed and nothing doubled:

1. The transaction that makes or changes a definition also calls `backfills.store.request`. Its table has the trigger
   `version_definition('<kind>', 'website_id')`, which counts the website's version of that kind up.
2. Who counts live calls `DEFINITIONS.bring_up_to_date(db, website_ids)` in the batch's transaction, after the
   position's lock: from the commit of 1 on, no batch begins with an older definition than Postgres has.
3. The runner (`analytics_app/jobs/backfilling.py`) waits until the batches under way at 1 have ended
   (`backfills.store.batches_under_way`). What they stored is visible to it then; all later ones count for themselves.
4. What both write must therefore merge to the same whatever the order, by natural keys: a conversion is the earliest
   of those written under its key, a visitor's progress is derived anew from all of its rows.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from analytics_app.db import AsyncDriver

BackfillState = Literal["waiting", "running", "done", "failed"]

TRIES = 5
"""A step that failed is tried again so many times in all."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """A backfill as it stands. `run` is new with each request: what an older run would still write is undone."""

    kind: str
    definition_id: int
    website_id: int
    run: int
    state: BackfillState
    cursor: Any = None
    """Where the next step goes on: whatever JSON holds, of the filler's own making."""
    done: int = 0
    total: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What one step came to. `cursor` None: this was the last; `forget`: of a definition that is gone, so is this."""

    cursor: Any
    done: int = 0
    """Units of work this step has done."""
    total: int | None = None
    """Units of work in all, where it is known (anew)."""
    forget: bool = False


Take = Callable[[AsyncDriver, Backfill], Awaitable[Step]]
"""Does one step of a backfill, from `cursor` (None: the first), in the transaction of `db`.

It holds the website's lock (`backfills.store.hold_back`): nobody removes sessions of that website meanwhile. Each step
is committed with its cursor, so a killed worker loses at most one; it should take well under a second. It finds the
definition itself, as it is now; one that is gone has its results removed, and ends with `forget`.
"""


def percent(state: BackfillState, done: int, total: int) -> float:
    """How far it is, to 1 decimal: 100 only where it is done."""
    if state == "done":
        return 100.0
    return min(round(100 * done / total, 1), 99.9) if total else 0.0


def pause_s(failures: int) -> int:
    """Seconds to wait before a step that failed so many times is tried again."""
    return min(1 << failures, 60)
