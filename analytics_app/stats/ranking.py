"""The first lines of a breakdown, of tallies whose visitors are counted only where that decides something. Pure."""

import heapq
from collections.abc import Iterable, Mapping

from analytics_app.stats.breakdowns import QUOTIENTS, After, Sort
from analytics_app.stats.tallies import Tally

Keyed = tuple[float, int]
"""A value of a dimension behind what it is sorted by, which is lower the further up it stands."""


def first_values(
    tallies: Mapping[int, Tally], sort: Sort, limit: int, after: After | None, *, of_event: bool
) -> list[Keyed]:
    """The values, in order, that may be among the first `limit` behind `after`: of equal ones texts have to decide.

    `of_event` says that each visitor of a value did something that it counts: a pageview or an event.
    """
    sign = -1 if sort.descending else 1
    if sort.metric == "visitors" and sort.descending and of_event:
        keyed = _most_seen(tallies, limit, after)
    else:
        keyed = [(sign * key_of(tally, sort), value) for value, tally in tallies.items()]
    keyed.sort()
    reached = 0
    if after is not None:
        keyed = [one for one in keyed if one[0] >= sign * after.key]
        reached = sum(key == sign * after.key for key, _ in keyed)
    if len(keyed) > limit + reached:
        furthest = keyed[limit + reached - 1][0]
        keyed = [one for one in keyed if one[0] <= furthest]
    return keyed


def key_of(tally: Tally, sort: Sort) -> float:
    """What a line is sorted by."""
    if sort.metric == "visitors":
        return float(len(tally.seen()))
    if sort.metric not in QUOTIENTS:
        return float(tally.sums[sort.metric])
    part, whole = (tally.sums[name] for name in QUOTIENTS[sort.metric])
    return part / whole if whole else 0.0


def _most_seen(tallies: Mapping[int, Tally], limit: int, after: After | None) -> list[Keyed]:
    """Those that may be among the most seen: once so many were, whoever did less than the last of them was not."""
    found: list[Keyed] = []
    best: list[int] = []
    for at_most, value in sorted(_at_most(tallies), reverse=True):
        if len(best) == limit and at_most < best[0]:
            break
        visitors = len(tallies[value].seen())
        found.append((-float(visitors), value))
        if after is None or visitors < after.key:
            (heapq.heappush if len(best) < limit else heapq.heappushpop)(best, visitors)
    return found


def _at_most(tallies: Mapping[int, Tally]) -> Iterable[tuple[int, int]]:
    return ((tally.sums["pageviews"] + tally.sums["events"], value) for value, tally in tallies.items())
