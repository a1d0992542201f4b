"""The highest constant rate at which what is sent is stored within a second."""

from dataclasses import replace
from typing import Any

from bench.ingest import Conditions, figures, ingest
from bench.profile import Profiler
from bench.service import Service

LAG_BELOW_S = 1.0
FIRST_PER_S = 1000.0
STEP = 1.5
BISECTIONS = 3


def highest_rate(service: Service, under: Conditions) -> dict[str, Any]:
    """Try the rate that is asked for; without one, climb until one is too high, and narrow it down."""
    keys = tuple(site["pixel_key"] for site in service.new_websites(under.websites))
    tries: list[dict[str, Any]] = []

    def holds(rate: float) -> bool:
        found = figures(ingest(service, replace(under, rate=rate), Profiler(None), keys))
        lag_s = found["longest_lag_s"]
        held = lag_s < LAG_BELOW_S and not found["faults"]
        tries.append({"rate": round(rate), "held": held, **found})
        return held

    best = _search(holds) if not under.rate else under.rate if holds(under.rate) else 0.0
    wrong = [fault for one in tries if one["held"] for fault in one["faults"]]
    if not best:
        wrong.append(f"no rate that was tried is stored within {LAG_BELOW_S:g} s")
    return {"highest_per_s": round(best), "tries": tries, "faults": wrong}


def _search(holds: Any) -> float:
    low, high = 0.0, FIRST_PER_S
    while holds(high):
        low, high = high, high * STEP
    for _ in range(BISECTIONS if low else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
