"""What becomes of a message on its way to one address: pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

State = Literal["waiting", "sending", "sent", "failed", "unknown"]

PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240))
"""Before the second attempt, the third, … ; after the last one the delivery has failed."""
UNSET_LOOKED_AT_AGAIN = timedelta(minutes=1)
GIVEN_UP_AFTER = timedelta(days=3)
"""A message that could not even be tried for so long is out of date."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended.

    `sent`: taken by the other side. `refused`: surely not taken, and never will be. `later`: surely not taken, try
    again. `unset`: there is no server to give it to. `unsure`: the connection broke after the message had been handed
    over, before the other side had confirmed it; it is not sent again by itself.
    """

    kind: Literal["sent", "refused", "later", "unset", "unsure"]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Next:
    """What is noted of a delivery after an attempt; `at` is when to try again."""

    state: State
    error: str
    at: datetime | None = None
    counts: bool = True
    """Whether the attempt counts as one."""


def after(outcome: Outcome, attempts: int, created_at: datetime, now: datetime) -> Next:
    """What follows from the `attempts`-th attempt, which ended with `outcome` at `now`."""
    if outcome.kind == "sent":
        return Next("sent", "")
    if outcome.kind == "unsure":
        return Next("unknown", outcome.error)
    if outcome.kind == "unset" and now - created_at < GIVEN_UP_AFTER:
        return Next("waiting", outcome.error, now + UNSET_LOOKED_AT_AGAIN, counts=False)
    if outcome.kind == "later" and attempts <= len(PAUSES):
        return Next("waiting", outcome.error, now + PAUSES[attempts - 1])
    return Next("failed", outcome.error)
