"""The numbers of a funnel: what is added up over the attempts that count, and what follows from the sums. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analytics_app.funnels.logic import Funnel
from analytics_app.stats.logic import percent


@dataclass(frozen=True, slots=True)
class Times:
    """How often something was, and how long it took: the sum and the median, in ms."""

    count: int = 0
    sum_ms: int = 0
    median_ms: float = 0.0

    @property
    def mean_s(self) -> int:
        """The mean in whole seconds (half to even); 0 where there is nothing."""
        return round(self.sum_ms / self.count / 1000) if self.count else 0

    @property
    def median_s(self) -> int:
        """The median in whole seconds (half to even)."""
        return round(self.median_ms / 1000)


@dataclass(frozen=True, slots=True)
class Sums:
    """Over the best attempts of a period: by step the visitors who took it, since the required step before."""

    steps: tuple[Times, ...]
    completed: Times

    @property
    def entrants(self) -> int:
        """Visitors who took step 1."""
        return self.steps[0].count if self.steps else 0


def nothing(funnel: Funnel) -> Sums:
    """The sums where there is no attempt."""
    return Sums(tuple(Times() for _ in funnel.steps), Times())


def summary(funnel: Funnel, sums: Sums) -> dict[str, Any]:
    """The numbers of a funnel as a whole."""
    return {
        "total_entrants": sums.entrants,
        "completed": sums.completed.count,
        "completion_rate": percent(sums.completed.count, sums.entrants),
        "avg_completion_time": sums.completed.mean_s,
        "median_completion_time": sums.completed.median_s,
        "total_steps": len(funnel.steps),
    }


def steps(funnel: Funnel, names: Sequence[str], sums: Sums, now: Mapping[int, int]) -> list[dict[str, Any]]:
    """The numbers of each step; `now`: visitors standing at it, by its place from 0."""
    told = []
    for place, (step, name, times) in enumerate(zip(funnel.steps, names, sums.steps, strict=True)):
        before = funnel.required_before[place]
        whole = sums.steps[max(before, 0)].count
        told.append(
            {
                "step_id": step.id,
                "name": name,
                "visitors": times.count,
                "conversion_rate": percent(times.count, whole),
                "drop_off": whole - times.count,
                "drop_off_rate": percent(whole - times.count, whole),
                "position": place + 1,
                "is_optional": step.is_optional,
                "overall_rate": percent(times.count, sums.entrants),
                "avg_time_from_previous": times.mean_s,
                "median_time_from_previous": times.median_s,
                "now": now.get(place, 0),
            }
        )
    return told
