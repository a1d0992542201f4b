"""Who is on a website now: pure."""

import math
from collections import Counter
from collections.abc import Iterable

import msgspec

from analytics_app.records import Active
from analytics_app.sessions.logic import Folded

PAGES_SHOWN = 100


class Presence:
    """The visitors of one website by their latest activity."""

    def __init__(self) -> None:
        self.visitors: dict[int, Active] = {}
        self._none_before_ms: float = math.inf

    def see(self, active: Active) -> None:
        """Take in an activity; of two of a visitor the later counts, whatever order they come in."""
        known = self.visitors.get(active.visitor)
        if known is None or active.at_ms >= known.at_ms:
            self.visitors[active.visitor] = active
            self._none_before_ms = min(self._none_before_ms, active.at_ms)

    @property
    def none_before_ms(self) -> int | None:
        """A time before which nobody was last active; None where nobody is."""
        return None if self._none_before_ms == math.inf else int(self._none_before_ms)

    def leave_before(self, horizon_ms: int) -> bool:
        """Drop who was last active before `horizon_ms`; returns whether anybody was."""
        if horizon_ms <= self._none_before_ms:
            return False  # as nearly always: nobody has to be looked at
        gone = [visitor for visitor, active in self.visitors.items() if active.at_ms < horizon_ms]
        for visitor in gone:
            del self.visitors[visitor]
        self._none_before_ms = min((active.at_ms for active in self.visitors.values()), default=math.inf)
        return bool(gone)

    def remove(self, visitor: int, until_ms: int) -> bool:
        """Drop a visitor who was not seen after `until_ms`; returns whether there was one."""
        known = self.visitors.get(visitor)
        if known is None or known.at_ms > until_ms:
            return False
        del self.visitors[visitor]
        return True

    def oldest_ms(self) -> int | None:
        """When the visitor seen longest ago was last active; None where nobody is."""
        return min((active.at_ms for active in self.visitors.values()), default=None)

    def view(self) -> dict[str, object]:
        """What the API shows, but for the time: `active_visitors`, `active_pages`, `locations`, most first."""
        return view_of(list(self.visitors.values()))


def view_of(active: list[Active]) -> dict[str, object]:
    """The view of visitors who are active now, each of them once."""
    return {
        "active_visitors": len(active),
        "active_pages": [
            {"path": path, "viewers": count} for path, count in _most(one.path for one in active)[:PAGES_SHOWN]
        ],
        "locations": [
            {"country_code": code, "visitors": count} for code, count in _most(one.country for one in active)
        ],
    }


def _most(values: Iterable[str]) -> list[tuple[str, int]]:
    """Each value but the empty one with its count, most first, equals by name."""
    counts = Counter(value for value in values if value)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def not_after(now_ms: int, active: Active) -> Active:
    """An activity from the future, of a machine whose clock was wrong, as of now: it would stay in the view till then.

    Decided by who reads it, not by who writes it: whose clock was wrong reads again when it is right.
    """
    return active if active.at_ms <= now_ms else msgspec.structs.replace(active, at_ms=now_ms)


def activity_of(folded: Folded) -> dict[int, list[Active]]:
    """By website, the visitors whose sessions a batch touched."""
    seen: dict[int, list[Active]] = {}
    for change in folded.changes.values():
        visit = change.visit
        seen.setdefault(visit.website_id, []).append(
            Active(visit.visitor, visit.last_ms, visit.exit_path, visit.country)
        )
    return seen
