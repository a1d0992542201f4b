"""Whether a hit costs more where much is stored, where there are many websites, and with a second worker."""

from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from bench.ingest import Conditions, Run, faults, figures, ingest
from bench.profile import Profiler
from bench.reads import seeded
from bench.service import Service

MORE_THAN = 1.15
"""So many times the cost is too much: of history, and of websites."""
MORE_WITH_TWO_WORKERS = 1.25
MANY_WEBSITES = 10_000
FEW_PATHS = 10
"""With many websites: pages by the thousand on each of them would be a question of texts, not of websites."""


RECOUNTED = 20
"""Of many websites so many; the sums of all are compared as a whole."""
HISTORY_DAYS = 365
TURNS = 2


@dataclass(frozen=True, slots=True)
class Sites:
    """Websites of a service that hits are sent to."""

    service: Service
    keys: tuple[str, ...]
    ids: tuple[int, ...]

    @classmethod
    def new(cls, service: Service, count: int) -> "Sites":
        """So many that are new."""
        made = service.new_websites(count)
        return cls(service, tuple(one["pixel_key"] for one in made), tuple(one["id"] for one in made[:RECOUNTED]))

    def run(self, under: Conditions) -> Run:
        """Send to them."""
        return ingest(self.service, under, Profiler(None), self.keys, self.ids)


def growth(fresh: Service, old: Service, under: Conditions, events: int) -> dict[str, Any]:
    """CPU a hit on a service that has stored nothing, and on one that has stored `events`, in turns."""
    seeded(old, events, HISTORY_DAYS)
    sites = {"0 events": Sites.new(fresh, under.websites), f"{events:,} events": Sites.new(old, under.websites)}
    return _in_turns(under, sites)


def websites(service: Service, under: Conditions) -> dict[str, Any]:
    """CPU a hit with one website and ten thousand."""
    few = replace(under, paths=FEW_PATHS)
    return _in_turns(few, {f"{count:,} websites": Sites.new(service, count) for count in (1, MANY_WEBSITES)})


def _in_turns(under: Conditions, sites: dict[str, Sites]) -> dict[str, Any]:
    for one in sites.values():
        one.run(under)  # what is loaded, compiled, numbered and remembered once is no matter of growth
    runs: list[tuple[str, Run]] = []
    for turn in range(1, TURNS + 1):
        runs += [(f"{name}, {turn}", one.run(under)) for name, one in sites.items()]
    few, many = sites
    return compared(runs, [(many, few, "all", MORE_THAN)])


def compared(runs: list[tuple[str, Run]], pairs: list[tuple[str, str, str, float]]) -> dict[str, Any]:
    """The figures of runs by name, and of each pair (name, the one it is measured by, role, limit) how they compare.

    Runs of which the name is followed by a comma are turns of one thing: their mean counts.
    """
    found = {name: figures(run) for name, run in runs}
    wrong = [f"{name}: {fault}" for name, run in runs for fault in faults(run)]
    comparisons = []
    for name, base, role, limit in pairs:
        costs = [mean(_costs(found, one, role)) for one in (name, base)]
        times = costs[0] / costs[1]
        comparisons.append({"run": name, "by": base, "role": role, "times": round(times, 3), "limit": limit})
        if times > limit:
            wrong.append(f"a hit costs {times:.2f} times as much with {name} as with {base}, at most {limit} is meant")
    return {"runs": found, "comparisons": comparisons, "faults": wrong}


def _costs(found: dict[str, dict[str, Any]], name: str, role: str) -> list[float]:
    runs = [one for one in found if one == name or one.startswith(f"{name}, ")]
    return [found[one]["cpu_us_per_hit"][role] for one in runs]
