"""What a recount may find."""

from dataclasses import dataclass
from typing import Literal

Check = Literal[
    "rollups",
    "sessions",
    "events",
    "visitors",
    "terms",
    "seals",
    "conversions",
    "funnels",
    "states",
    "exposures",
    "outcomes",
    "heatmaps",
]

CHECKS: dict[Check, str] = {
    "rollups": "quarter-hour sums against a recount of events and sessions",
    "sessions": "sessions against a recount of their events",
    "events": "events against the sessions they belong to",
    "visitors": "visitors that rows name",
    "terms": "texts that rows name",
    "seals": "sealed sums of past days against a recount",
    "conversions": "conversions of goals against the rows of their sessions",
    "funnels": "attempts at funnels against a recount of events",
    "states": "live sessions against their rows",
    "exposures": "exposures against the experiments, variants and visitors they name",
    "heatmaps": "cells of heatmaps against a recount of their samples",
    "outcomes": "hits received against what became of them",
}
"""What is looked at."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something stored that is not what a recount gives. `website_id` 0: of no single website."""

    check: Check
    website_id: int
    where: str
    """What it was found in: a quarter hour, a session, an event."""
    field: str
    stored: str
    counted: str
