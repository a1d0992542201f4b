"""A goal, as far as it decides what converts."""

from dataclasses import dataclass
from typing import Literal

from analytics_app.stats.filters import MATCHERS, Op

GoalType = Literal["pageview", "event", "duration", "pages_per_session"]
MatchType = Literal["equals", "contains", "starts_with", "ends_with", "regex"]
Count = Literal["once", "every"]

OPS: dict[MatchType, Op] = {
    "equals": "is",
    "contains": "contains",
    "starts_with": "starts_with",
    "ends_with": "ends_with",
    "regex": "matches",
}
"""The filter that compares in the same way: `stats.filters.MATCHERS` has its Python and its SQL."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal that is looked for. `revision` is new whenever anything of this changes."""

    id: int
    revision: int
    type: GoalType
    match_value: str
    match_type: MatchType | None = None
    every: bool = False

    @property
    def threshold(self) -> int:
        """Seconds or pageviews that a session must have, at least."""
        return int(self.match_value)

    def matches(self, text: str) -> bool:
        """Whether a path or name is what the goal asks for."""
        assert self.match_type is not None, "a threshold is compared with no text"
        return MATCHERS[OPS[self.match_type]].python(text, self.match_value)
