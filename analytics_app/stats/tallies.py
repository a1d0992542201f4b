"""Sums that are put together from several stretches of time. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from analytics_app.stats.visitors import Visitors, read, united, visitors_of

SEALED_SUMS = (
    "pageviews",
    "events",
    "sessions",
    "bounces",
    "duration_s",
    "session_pageviews",
    "time_on_page_s",
    "scroll_depth",
)


@dataclass(slots=True)
class Tally:
    """Sums that are still being put together, with the visitors themselves: sets, and such as are not yet read."""

    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SEALED_SUMS, 0))
    visitors: list[Visitors] = field(default_factory=list)
    unread: list[bytes] = field(default_factory=list)

    def add(self, sums: Mapping[str, Any], visitors: Iterable[Visitors] = (), unread: Iterable[bytes] = ()) -> None:
        """Add what another stretch of time comes to."""
        for name in SEALED_SUMS:
            self.sums[name] += int(sums.get(name) or 0)
        self.visitors.extend(visitors)
        self.unread.extend(unread)

    def seen(self) -> Visitors:
        """Every visitor. Asked again, they are there."""
        whole = united([*self.visitors, *map(read, self.unread)])
        self.visitors, self.unread = [whole], []
        return whole

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Add a row of sums counted from rows, with its visitors' numbers in `who`."""
        self.add(row, [visitors_of(row["who"])] if row.get("who") else ())

    def counted(self) -> dict[str, int]:
        """The sums, and how many different visitors there were."""
        return {**self.sums, "visitors": len(self.seen())}
